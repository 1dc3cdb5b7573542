"""Methods are found by name, and only one may own it."""

from importlib.metadata import EntryPoint

import pytest

from compose_core import method
from compose_core.errors import ComposeError, SceneError, UsageError
from compose_core.regional import RegionalMethod
from compose_core.scene import build


def entry(name, value="compose_core.regional:RegionalMethod"):
    return EntryPoint(name, value, method.GROUP)


@pytest.fixture
def installed(monkeypatch):
    found = []
    monkeypatch.setattr(method, "entry_points", lambda group: found)
    return found


def test_regional_is_there_without_any_installation(installed):
    assert method.find("regional") is RegionalMethod
    assert list(method.methods()) == ["regional"]


def test_the_same_entry_seen_twice_is_one(installed):
    installed += [entry("regional"), entry("regional")]
    assert list(method.methods()) == ["regional"]


def test_two_owners_of_a_name_are_refused(installed):
    installed += [entry("cnc", "a:B"), entry("cnc", "c:D")]
    with pytest.raises(ComposeError, match="cnc"):
        method.methods()
    installed[:] = [entry("regional", "other:Regional")]
    with pytest.raises(ComposeError, match="regional"):
        method.find("regional")


def test_an_unknown_method_lists_those_there_are(installed):
    installed.append(entry("cnc", "a:B"))
    with pytest.raises(UsageError, match="cnc, regional"):
        method.find("reginal")


@pytest.mark.parametrize("value", ["no.such.module:X", "compose_core.regional:Nothing"])
def test_a_broken_package_is_named(installed, value):
    installed.append(entry("broken", value))
    with pytest.raises(ComposeError, match="broken"):
        method.find("broken")


def test_an_entry_point_that_is_no_method_is_refused(installed):
    installed.append(entry("odd", "compose_core.regional:palette"))
    with pytest.raises(ComposeError, match="no method"):
        method.find("odd")


def test_capabilities_name_what_is_used_and_needed(installed):
    row = method.capabilities()["regional"]
    assert row["prompt"] == row["box"] == row["wrap"] == "uses"
    assert "exemplar" not in row


def test_a_canvas_off_the_grid_offers_the_nearest():
    class Codec:
        factor = 4

    class Model:
        codec, channels = Codec(), 4

    scene = {"version": 1, "prompt": "p", "layers": [{"name": "a", "prompt": "b"}]}
    assert method.latent_shape(build({**scene, "canvas": [64, 32]}), Model()) == (4, 8, 16)
    with pytest.raises(SceneError, match=r"\[64, 32\]"):
        method.latent_shape(build({**scene, "canvas": [65, 33]}), Model())


class Cutting:
    """Reads ten characters."""

    def cut(self, prompt):
        return prompt[10:]


def test_what_a_text_encoder_cuts_is_told_once_for_each_owner():
    lines = list(method.too_long(["short", "a red sphere", "a red sphere"], Cutting()))
    assert lines == ["a prompt is too long; this end is not seen: 're'"]
    layers = [
        {"name": "a", "prompt": "a blue cone", "negative": "a grey cone"},
        {"name": "b", "prompt": "a blue cone"},
        {"name": "c", "box": [0, 0, 1, 1]},
    ]
    scene = build({"version": 1, "canvas": [8, 8], "prompt": "toys on grass", "layers": layers})
    assert list(method.too_long(scene, Cutting())) == [
        "a prompt of the scene is too long; this end is not seen: 'ass'",
        "a prompt of layer 'a' is too long; this end is not seen: 'e'",
        "a prompt of layer 'b' is too long; this end is not seen: 'e'",
    ]


def test_a_method_adds_no_weights_unless_it_says_so():
    assert RegionalMethod().adapters == ()
