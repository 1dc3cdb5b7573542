import math

import pytest
import torch

from compose_core.errors import ComposeError
from compose_metrics.dense import EdgeF1, NormalAngle


def value(metric, *samples, **named):
    metric.update(*samples, **named)
    return metric.compute().value


def turned(degrees, *shape):
    angle = math.radians(degrees)
    vector = torch.tensor([math.sin(angle), 0.0, math.cos(angle)], dtype=torch.float64)
    return vector.view(1, 3, 1, 1).expand(shape[0], 3, *shape[1:]).clone()


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 10.0, 90.0, 179.0, 180.0])
def test_angle_is_the_angle(degrees):
    result = NormalAngle()
    result.update(turned(degrees, 2, 4, 4), turned(0, 2, 4, 4))
    assert result.compute().value == pytest.approx(degrees, abs=1e-9)


def test_length_does_not_matter_and_unlabelled_pixels_do_not_count():
    truth, predicted = turned(0, 1, 4, 4), 7 * turned(20, 1, 4, 4)
    truth[..., 0] = 0  # the sky
    predicted[..., 0] = float("nan")
    metric = NormalAngle()
    with pytest.raises(ComposeError, match="finite"):
        metric.update(predicted, truth)
    predicted[..., 0] = 0
    metric.update(predicted, truth)
    result = metric.compute()
    assert result.value == pytest.approx(20)
    assert result.parts["within 11.25"] == 0
    assert result.parts["within 22.5"] == 1


def test_prediction_without_direction_is_an_error():
    with pytest.raises(ComposeError, match="direction"):
        NormalAngle().update(torch.zeros(1, 3, 4, 4), turned(0, 1, 4, 4).float())
    with pytest.raises(ComposeError, match="label"):
        NormalAngle().update(turned(0, 1, 4, 4), torch.zeros(1, 3, 4, 4, dtype=torch.float64))


def line(column, size=9):
    edges = torch.zeros(1, size, size, dtype=torch.bool)
    edges[..., column] = True
    return edges


def test_tolerance_forgives_so_many_pixels():
    assert value(EdgeF1(tolerance=0), line(4), line(4)) == 1
    assert value(EdgeF1(tolerance=0), line(5), line(4)) == 0
    assert value(EdgeF1(tolerance=1), line(5), line(4)) == 1
    assert value(EdgeF1(tolerance=1), line(6), line(4)) == 0
    assert value(EdgeF1(tolerance=2), line(6), line(4)) == 1


def test_precision_and_recall():
    two = line(1) | line(7)
    assert value(EdgeF1(), two, line(1)) == pytest.approx(2 * 0.5 / 1.5)
    assert value(EdgeF1(), line(1), two) == pytest.approx(2 * 0.5 / 1.5)
    nothing = torch.zeros_like(two)
    assert value(EdgeF1(), nothing, nothing) == 1
    assert value(EdgeF1(), nothing, two) == 0
    assert value(EdgeF1(), two, nothing) == 0


def test_real_edges_have_a_threshold():
    soft = 0.4 * line(1).float() + 0.9 * line(5).float()
    assert value(EdgeF1(threshold=0.5), soft, line(5)) == 1
    assert value(EdgeF1(threshold=0.3), soft, line(5)) < 1


def test_masked_edges_do_not_count():
    valid = torch.ones(1, 9, 9, dtype=torch.bool)
    valid[..., 6:] = False
    assert value(EdgeF1(), line(1) | line(7), line(1), valid=valid) == 1
