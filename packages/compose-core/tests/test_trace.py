"""A trace is saved, loaded and drawn without loss."""

import pytest
import torch
from safetensors import SafetensorError

from compose_core.compose import Composer, Regional
from compose_core.denoiser import Denoiser, Gaussian, Guided
from compose_core.errors import ComposeError, UsageError
from compose_core.trace import Trace, collect


@pytest.fixture
def trace():
    trace = Trace({"method": "regional", "seed": 7})
    for i in range(12):
        trace.log(
            i, {"x0": torch.full((1, 4, 5, 9), float(i)), "loss": torch.tensor(1.0 / (i + 1))}
        )
    trace.log(3, {"late": torch.eye(4)})
    return trace


def test_round_trip(trace, tmp_path):
    again = Trace.load(trace.save(tmp_path / "run.safetensors"))
    assert again.meta == trace.meta and again.names == trace.names and len(again) == 12
    for name in trace.names:
        assert torch.equal(again.stack(name), trace.stack(name))
    assert list(tmp_path.iterdir()) == [tmp_path / "run.safetensors"]


def test_what_is_logged_is_a_copy():
    trace, x = Trace(), torch.zeros(2)
    trace.log(0, {"x": x})
    x += 1
    assert trace.stack("x").sum() == 0


def test_picture_has_a_row_per_name_and_shows_change(trace):
    picture = trace.picture(columns=4, cell=40)
    assert picture.size == (160, 3 * 54)
    assert picture.getpixel((5, 30)) != picture.getpixel((125, 30))


def test_nothing_but_a_trace_is_read(tmp_path):
    path = tmp_path / "junk.safetensors"
    for content in (b"", b"junk", b"\x08\0\0\0\0\0\0\0{}      "):
        path.write_bytes(content)
        with pytest.raises(ComposeError):
            Trace.load(path)
    with pytest.raises(ComposeError):
        Trace.load(tmp_path / "missing")


def test_unknown_names_list_the_known(trace):
    with pytest.raises(UsageError, match="x0"):
        trace.stack("x1")


class Weighted(Composer):
    """Shows a number; its parts may show theirs."""

    def init_own(self, x_t, generator):
        return torch.tensor(float(len(self.parts)))

    def traced(self, state):
        return {"parts": state[0]}

    def merge(self, predictions, x_t, level, own):
        return predictions[0]


def test_collect_walks_the_tree_of_parts():
    leaf = Gaussian(0.0, 1.0)
    tree = Weighted([Weighted([leaf]), leaf, Weighted([leaf, leaf])])
    found = collect(tree, tree.init(torch.zeros(1, 2)))
    assert {k: float(v) for k, v in found.items()} == {"parts": 3, "0.parts": 1, "2.parts": 2}


class Holder(Denoiser):
    """Not a composer: it names what is inside."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def inner(self, state):
        return [("held", self.part, state)]

    def queries(self, x_t, level, state):
        return ()

    def combine(self, answers, x_t, level, state):
        raise NotImplementedError


def test_collect_goes_through_guidance_and_whatever_names_its_inside():
    weighted = Weighted([Gaussian(0.0, 1.0)])
    tree = Weighted([Guided(Holder(weighted), weighted, 5.0)])
    own = weighted.init(torch.zeros(1, 2))
    found = collect(tree, (torch.tensor(1.0), ((own, own),)))
    assert set(found) == {"parts", "0.cond.held.parts", "0.uncond.parts"}


def test_a_regional_composition_shows_its_shares():
    parts = [Gaussian(0.0, 1.0), Gaussian(1.0, 1.0)]
    tree = Regional(parts, torch.tensor([[1.0, 0.25], [0.0, 0.75]]))
    found = collect(tree, tree.init(torch.zeros(1, 3, 2)))
    assert found["0.share"].flatten().tolist() == [1.0, 0.25]
    assert found["1.share"].flatten().tolist() == [0.0, 0.75]


@pytest.mark.parametrize("error", [SafetensorError("I/O error"), OSError(28, "No space")])
def test_a_trace_that_does_not_fit_on_the_disk_is_one_message(trace, tmp_path, monkeypatch, error):
    def fail(tensors, path, metadata):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr("compose_core.trace.save_file", fail)
    with pytest.raises(ComposeError, match="cannot be written"):
        trace.save(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_the_drawing_of_a_wide_canvas_is_bounded():
    log = Trace()
    log.log(0, {f"{i}.share": torch.zeros(1, 1, 4, 4) for i in range(100)})
    assert log.picture(limit=5).height == log.picture(log.names[:5]).height
