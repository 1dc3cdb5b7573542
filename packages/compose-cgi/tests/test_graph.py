"""Graphs that make no sense are refused, with a message that says what is wrong."""

import pytest
import torch

from compose_cgi.graph import Graph, Observation, Variable
from compose_cgi.inference import Inference
from compose_cgi.options import Options
from compose_cgi.views import Nonlinear, Pick, Resize, Through
from compose_core.denoiser import Bound, Gaussian
from compose_core.errors import ScheduleError, ShapeError, UsageError
from compose_core.schedule import Rectified
from compose_core.testing.laws import check_adjoint
from compose_core.testing.models import TinyNetwork
from compose_core.views import Blend, Whole, Window, cover

ONE = Gaussian(0.0, 1.0)
CANVAS = Variable("x", (4, 10))


WHOLE = Whole()


def seen(view=WHOLE, name="y", sees=("x",), denoiser=ONE, psi=1.0):
    return Observation(name, sees, denoiser, view, psi)


def test_a_gap_is_named_with_its_canvas_and_cells():
    windows = [Window((0, 0), (4, 3)), Window((0, 7), (2, 3))]
    other = Variable("other", (4, 10))
    with pytest.raises(ShapeError) as error:
        Graph(
            [CANVAS, other],
            [*(seen(w, f"y{w.start}") for w in windows), seen(name="o", sees=("other",))],
        )
    assert "'x': 22 cells (rows 0 to 3, columns 3 to 9)" in str(error.value)
    assert "other" not in str(error.value.got)


@pytest.mark.parametrize("wrap", [False, True])
def test_every_width_is_covered(wrap):
    level = TinyNetwork().schedule.levels(3)[1]
    for width in range(5, 30):
        windows = cover((4, width), (4, 8), (4, 5), (False, wrap))
        graph = Graph(
            [Variable("x", (4, width))],
            [seen(w, f"{i}") for i, w in enumerate(windows)],
        )
        x = torch.ones(1, 1, 4, width)
        found = Inference(graph, Options(kappa=1))(x, level).x0
        torch.testing.assert_close(found, ONE(x, level).x0)


WRONG = {
    "no canvas": ([], [seen()], "needs canvases"),
    "no observation": ([CANVAS], [], "needs canvases"),
    "unknown canvas": ([CANVAS], [seen(sees=("z",))], "sees what there is not"),
    "nothing seen": ([CANVAS], [seen(sees=())], "must see canvases"),
    "the same canvas twice": ([CANVAS], [seen(sees=("x", "x"))], "each once"),
    "two canvases of one name": ([CANVAS, CANVAS], [seen()], "same name"),
    "two observations of one name": ([CANVAS], [seen(), seen()], "same name"),
    "psi 0": ([CANVAS], [seen(psi=0.0)], "no noise level"),
    "psi negative": ([CANVAS], [seen(psi=-1.0)], "no noise level"),
    "psi not a number": ([CANVAS], [seen(psi=float("nan"))], "no noise level"),
    "psi infinite": ([CANVAS], [seen(psi=float("inf"))], "no noise level"),
    "psi of another size": ([CANVAS], [seen(psi=torch.ones(3, 3))], "does not fit"),
    "a view larger than the canvas": ([CANVAS], [seen(Window((0, 0), (5, 10)))], "'y' does not"),
    "a view outside": ([CANVAS], [seen(Window((0, 8), (4, 4)))], "outside the canvas"),
    "cells that are not there": (
        [CANVAS],
        [seen(Pick(torch.tensor([2]), (3,)))],
        "another canvas",
    ),
    "canvases of two shapes": (
        [CANVAS, Variable("z", (4, 9))],
        [seen(Blend(torch.ones(2, 4, 10)), sees=("x", "z"))],
        "different shapes",
    ),
    "a blend of another size": (
        [CANVAS, Variable("z", (4, 10))],
        [seen(Blend(torch.ones(2, 4, 9)), sees=("x", "z"))],
        "does not fit",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_bad_graphs(name):
    variables, observations, message = WRONG[name]
    with pytest.raises((ShapeError, UsageError), match=message):
        Graph(variables, observations)


def test_models_of_different_schedules_meet_only_if_asked_to():
    parts = [Bound(TinyNetwork()), Bound(TinyNetwork(schedule=Rectified()))]
    both = [seen(denoiser=part, name=f"{i}") for i, part in enumerate(parts)]
    with pytest.raises(ScheduleError, match="different schedules"):
        Graph([CANVAS], both)
    Graph([CANVAS], both, translate=True)
    Graph([CANVAS], [seen(denoiser=parts[0]), seen(denoiser=Bound(TinyNetwork()), name="z")])


def test_what_is_not_linear_is_refused_by_name():
    bent = Graph([CANVAS], [seen(), seen(Nonlinear(torch.sin), "bent")])
    assert not bent.linear
    with pytest.raises(UsageError, match="linear") as error:
        Inference(bent)
    assert error.value.got == "bent"


def test_canvases_that_are_not_those_of_the_graph():
    graph = Graph([CANVAS], [seen()])
    with pytest.raises(ShapeError, match="not the canvases"):
        graph.join({"x": torch.zeros(1, 1, 4, 9)})
    with pytest.raises(UsageError, match="no such canvas"):
        graph.view_of("z")


VIEWS = {
    "pick": (Pick(torch.tensor([[3, 0], [3, 11]]), (3, 4)), (2, 3, 3, 4)),
    "enlarge": (Resize((7, 9)), (2, 3, 3, 4)),
    "reduce": (Resize((2, 3)), (2, 3, 5, 6)),
    "window of a blend": (
        Through(Blend(torch.rand(2, 4, 5).double()), Window((1, 1), (2, 3)), (4, 5)),
        (1, 2, 3, 4, 5),
    ),
    "resized crop": (Through(Window((0, 1), (2, 3)), Resize((4, 6)), (2, 3)), (1, 2, 4, 5)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_the_adjoint_is_the_transpose(name, draw):
    view, shape = VIEWS[name]
    check_adjoint(view, draw(*shape), torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["pick", "enlarge", "reduce"])
def test_the_weight_is_the_diagonal_of_the_normal_matrix(name):
    view, shape = VIEWS[name]
    cells = torch.Size(shape[2:]).numel()
    basis = torch.eye(cells, dtype=torch.float64).reshape(cells, 1, *shape[2:])
    normal = view.adjoint(view.observe(basis), shape[2:]).reshape(cells, cells)
    torch.testing.assert_close(view.weight(shape[2:]).flatten(), normal.diagonal())


def test_resizing_keeps_what_is_even_and_averages_what_is_covered():
    x = torch.arange(8.0).reshape(1, 1, 8)
    torch.testing.assert_close(Resize((2,)).observe(x), torch.tensor([[[1.5, 5.5]]]))
    flat = torch.full((1, 1, 3, 5), 0.7)
    torch.testing.assert_close(Resize((7, 2)).observe(flat), torch.full((1, 1, 7, 2), 0.7))


def test_cells_that_no_function_sees_are_named_too():
    """Only `solver="gd"` takes these graphs; it would leave such cells as the noise they were."""
    left = Nonlinear(lambda x: x[..., :5].sin())
    with pytest.raises(ShapeError, match="20 cells .rows 0 to 3, columns 5 to 9"):
        Graph([CANVAS], [seen(left)])
    with pytest.raises(ShapeError, match="16 cells .rows 0 to 3, columns 6 to 9"):
        Graph([CANVAS], [seen(left), seen(Window((0, 2), (4, 4)), "w")])
    Graph([CANVAS], [seen(left), seen(Window((0, 5), (4, 5)), "w")])
    # Half of all random cells lie where a ReLU is flat; they are seen all the same.
    Graph([CANVAS], [seen(Nonlinear(torch.relu))])


def test_a_function_that_torch_cannot_descend_is_refused():
    with pytest.raises(UsageError, match="'y' has no derivative"):
        Graph([CANVAS], [seen(Nonlinear(lambda x: x.detach().sin()))])


@pytest.mark.parametrize(
    ("function", "got"), [(lambda x: 3.0, "float"), (lambda x: x[0, 0], r"\(4, 10\)")]
)
def test_what_is_no_picture_is_refused(function, got):
    with pytest.raises(ShapeError, match=f"'y' shows no picture(?s:.)*{got}"):
        Graph([CANVAS], [seen(Nonlinear(function))])


def test_several_canvases_are_seen_as_one_picture():
    two = [CANVAS, Variable("z", (4, 10))]
    with pytest.raises(ShapeError, match="(?s)shows no picture.*through a Blend"):
        Graph(two, [seen(sees=("x", "z"))])
    Graph(two, [seen(Blend(torch.full((2, 4, 10), 0.5)), sees=("x", "z"))])


def test_names_in_one_string_are_refused():
    with pytest.raises(UsageError, match=r"one string(?s:.)*\('x',\)"):
        Graph([CANVAS], [seen(sees="x")])


@pytest.mark.parametrize("shape", [(), (0, 4), (-1, 4), (2.5,), [4, 10], None])
def test_canvases_have_whole_cells(shape):
    with pytest.raises(ShapeError, match="'x' has no such shape"):
        Variable("x", shape)


@pytest.mark.parametrize(
    "wrong",
    [{"clamp": 0.9}, {"clamp": (0.9,)}, {"kappa": None}, {"kappa": "a"}, {"iterations": 2.5}],
)
def test_options_of_other_types_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Options(**wrong)
