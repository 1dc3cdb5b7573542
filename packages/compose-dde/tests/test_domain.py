import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compose_core.errors import ShapeError, UsageError
from compose_core.testing.laws import check_cover
from compose_core.views import Whole
from compose_dde.domain import Domain, span


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_chains_and_rings_cover_every_cell(size, window, stride, closed):
    make = Domain.ring if closed else Domain.chain
    if window > size or stride > window:
        with pytest.raises(UsageError):
            make(size, window, stride)
        return
    domain = make(size, window, stride)
    check_cover(domain.views, domain.size)
    assert float(domain.coverage().sum()) == len(domain) * window


def test_the_windows_of_the_paper():
    length = 2**18
    stride = 3 * length // 4
    for windows, seconds in ((5, 47.5), (13, 118.9)):
        domain = Domain.chain(span(windows, length, stride), length, stride)
        assert len(domain) == windows
        assert domain.size[0] / 22_050 == pytest.approx(seconds, abs=0.06)
    assert {cells for cells in domain.overlaps().values()} == {length // 4}
    assert len(Domain.grid((96, 96), 64, 32)) == 4 and len(Domain.grid((128, 128), 64, 32)) == 9


def test_the_tail_is_covered_by_a_window_aligned_to_the_end():
    domain = Domain.chain(88, 32, 24)
    assert domain.starts == ((0,), (24,), (48,), (56,))


@given(st.sampled_from(["chain", "ring", "grid", "torus"]), st.integers(1, 3))
def test_tokens_that_show_the_same_cells_have_the_same_position(kind, patch):
    size, window = 12 * patch, 6 * patch
    domain = {
        "chain": lambda: Domain.chain(size, window, 3 * patch),
        "ring": lambda: Domain.ring(size, window, 3 * patch),
        "grid": lambda: Domain.grid((size, size), window, 3 * patch),
        "torus": lambda: Domain.torus((size, size), window, 3 * patch),
    }[kind]()
    axes = [torch.arange(cells) // patch for cells in domain.size]
    canvas = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None].double()
    positions = domain.positions(patch)
    for view, found in zip(domain.views, positions, strict=True):
        seen = view.observe(canvas)[0]
        for axis in range(domain.axes):
            seen = seen.unfold(axis + 1, patch, patch)[..., 0]
        expected = seen.flatten(1).T
        wrapped = found % torch.tensor([cells / patch for cells in domain.size])
        assert torch.equal(wrapped, expected)


def test_neighbours_of_a_chain_are_counted_in_windows():
    found = Domain.chain(88, 32, 24).neighbours()
    assert [[one.index for one in row if one.hops <= 1] for row in found] == [
        [0, 1],
        [1, 0, 2],
        [2, 1, 3],
        [3, 2],
    ]
    assert all(len(row) == 4 and row[0].hops == 0 for row in found)


def test_neighbours_on_a_grid_are_kings_moves():
    domain = Domain.grid((40, 40), 16, 8)
    columns = 4
    for i, row in enumerate(domain.neighbours()):
        for one in row:
            dy = abs(one.index // columns - i // columns)
            dx = abs(one.index % columns - i % columns)
            assert one.hops == max(dy, dx)
            assert one.shift == (0, 0)


def test_across_the_seam_positions_are_shifted():
    domain = Domain.ring(48, 12, 12)
    first, *others = domain.neighbours()[0]
    assert first.index == 0
    nearest = {one.index: one.shift[0] for one in others if one.hops == 1}
    assert nearest == {1: 0, 3: -48}
    for i, row in enumerate(domain.neighbours()):
        for one in row:
            away = domain.starts[one.index][0] + one.shift[0] - domain.starts[i][0]
            assert abs(away) == 12 * one.hops, "the shifted place is the nearest one"


def ways(domain):
    """From each window to each other one, in cells, on each axis."""
    return {
        (i, one.index): tuple(
            there + by - here
            for there, by, here in zip(domain.starts[one.index], one.shift, start, strict=True)
        )
        for i, (start, row) in enumerate(zip(domain.starts, domain.neighbours(), strict=True))
        for one in row
    }


def check_short_ways(domain):
    """Modulo the size each way is given; left is which way round, the same for all at a tie."""
    found = ways(domain)
    assert len(found) == len(domain) ** 2
    for (i, j), way in found.items():
        places = zip(domain.starts[i], domain.starts[j], domain.size, domain.wrap, strict=True)
        expected = tuple(
            (there - here + cells // 2) % cells - cells // 2 if closed else there - here
            for here, there, cells, closed in places
        )
        assert way == expected
        for one, back, cells in zip(way, found[j, i], domain.size, strict=True):
            assert one == -back or 2 * one == 2 * back == -cells


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60))
def test_around_a_ring_the_way_is_the_short_one(size, window, stride):
    if stride <= window <= size:
        check_short_ways(Domain.ring(size, window, stride))


@pytest.mark.parametrize(
    ("size", "window", "stride"), [(36, 32, 24), (40, 32, 24), (100, 32, 32), (161, 32, 32)]
)
def test_around_an_uneven_ring_the_way_is_the_short_one(size, window, stride):
    check_short_ways(Domain.ring(size, window, stride))


@pytest.mark.parametrize(
    ("size", "window", "stride", "wrap"),
    [
        ((20, 9), (8, 5), (5, 4), True),
        ((36, 40), (32, 32), (24, 24), True),
        ((100, 32), (32, 32), (32, 32), True),
        ((30, 14), (6, 8), (4, 3), (True, False)),
        ((12, 50), (4, 6), (4, 5), True),
    ],
)
def test_on_a_torus_and_a_tube_the_way_is_the_short_one(size, window, stride, wrap):
    check_short_ways(Domain.grid(size, window, stride, wrap))


def test_a_condition_set_shows_one_object():
    domain = Domain.conditions((8, 8), 3)
    assert len(domain) == 3 and set(domain.views) == {Whole()}
    positions = domain.positions(2)
    assert torch.equal(positions[0], positions[1]) and torch.equal(positions[0], positions[2])
    assert all(max(one.hops for one in row) == 1 for row in domain.neighbours())


def test_a_graph_of_ones_own():
    corners = [(0, 0), (0, 8), (8, 0), (8, 8), (4, 4)]
    spokes = [(i, 4) for i in range(4)]
    domain = Domain.graph((16, 16), (8, 8), corners, spokes)
    hops = {one.index: one.hops for one in domain.neighbours()[0]}
    assert hops == {0: 0, 4: 1, 1: 2, 2: 2, 3: 2}
    assert domain.overlaps() == {(i, 4): 16 for i in range(4)}
    by_default = Domain.graph((16, 16), (8, 8), corners).neighbours()
    assert all(one.hops <= 1 for row in by_default for one in row), "corners touch, too"


@pytest.mark.parametrize(
    "domain", [Domain.chain(48, 16, 16), Domain.grid((24, 16), 8, 8), Domain.chain(44, 16, 14)]
)
def test_a_graph_of_the_windows_of_a_chain_is_the_chain(domain):
    found = Domain.graph(domain.size, domain.window, domain.starts)
    for one, other in zip(found.neighbours(), domain.neighbours(), strict=True):
        assert set(one) == set(other)


def test_windows_without_a_way_are_infinitely_far():
    domain = Domain.graph((40,), (16,), [(0,), (12,), (24,)], [(0, 1)])
    first, _, last = domain.neighbours()
    assert [(one.index, one.hops) for one in first] == [(0, 0), (1, 1), (2, math.inf)]
    assert [(one.index, one.hops) for one in last] == [(2, 0), (0, math.inf), (1, math.inf)]
    assert all(one.shift == (0,) for one in last)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Domain.chain(10, 12, 4), "larger than the object"),
        (lambda: Domain.chain(40, 8, 9), "leave gaps"),
        (lambda: Domain.conditions((4, 4), 0), "empty"),
        (lambda: Domain.graph((8,), (4,), [(0,)]), "uncovered"),
        (lambda: Domain.graph((8,), (4,), [(0,), (5,)]), "leaves the object"),
        (lambda: Domain.graph((8,), (4,), [(0,), (4,)], [(0, 2)]), "no window at its end"),
    ],
)
def test_impossible_domains_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


def test_windows_of_broken_tokens_are_refused():
    with pytest.raises(ShapeError, match="whole number of tokens"):
        Domain.chain(40, 10, 5).positions(4)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Domain.grid((64, 64), (32,), 16),
        lambda: Domain.grid((64, 64), 32, (16, 16, 16)),
        lambda: Domain.grid((64, 64), 32, 16, (True,)),
        lambda: Domain.graph((48,), (16,), [(0,), (16, 3)]),
    ],
)
def test_axes_agree(wrong):
    with pytest.raises(UsageError, match="axes of size"):
        wrong()
