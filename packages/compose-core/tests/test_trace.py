"""A trace is saved, loaded and drawn without loss."""

import pytest
import torch

from compose_core.compose import Composer
from compose_core.denoiser import Gaussian
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
