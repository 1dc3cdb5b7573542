import pytest
import torch

from compose_core.errors import ComposeError
from compose_metrics.distribution import at_infinity


def test_a_line_is_found_exactly():
    fit = at_infinity(lambda rows: 3 + 40 / len(rows), 200)
    assert fit.value == pytest.approx(3, rel=1e-12)
    assert fit.slope == pytest.approx(40, rel=1e-12)
    assert fit.sizes[0] == 40 and fit.sizes[-1] == 200 and len(fit.sizes) == 15
    assert fit.interval.high - fit.interval.low < 1e-9


def test_subsets_hold_every_row_once_and_are_drawn_by_the_generator():
    drawn = []

    def distance(rows):
        drawn.append(rows)
        return float(rows.double().mean())

    generator = torch.Generator().manual_seed(3)
    at_infinity(distance, 60, sizes=5, generator=generator)
    assert all(len(rows.unique()) == len(rows) for rows in drawn)
    assert drawn[-1].tolist() == list(range(60))
    first = [rows.tolist() for rows in drawn]
    drawn.clear()
    at_infinity(distance, 60, sizes=5, generator=torch.Generator().manual_seed(3))
    assert [rows.tolist() for rows in drawn] == first


def test_scatter_widens_the_interval():
    noise = torch.Generator().manual_seed(0)

    def distance(rows):
        return 3 + 40 / len(rows) + 0.01 * float(torch.randn((), generator=noise))

    fit = at_infinity(distance, 500)
    assert 3 in fit.interval
    assert 0.005 < fit.interval.high - fit.interval.low < 0.1


@pytest.mark.parametrize(("n", "sizes"), [(10, 15), (100, 2), (2, 3)])
def test_too_few_samples_or_sizes_are_refused(n, sizes):
    with pytest.raises(ComposeError, match="too few samples to extrapolate"):
        at_infinity(lambda rows: 1.0, n, sizes=sizes)
