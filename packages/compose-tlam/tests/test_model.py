"""Painters in folders: what is saved is what is loaded; labels are mapped by their names."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compose_core.errors import UsageError, WeightsError
from compose_tlam.labels import PRIMITIVES, Label, LabelSet
from compose_tlam.model import Config, Painter
from compose_tlam.stack import LabelStack
from compose_tlam.testing import random_stack, tiny_config, tiny_painter

KINDS = [("tlam", "asap"), ("clam", "spade"), ("poe", "asap"), ("mean", "asap")]


def stack_of(seed, labels=PRIMITIVES):
    return random_stack((1, 16, 16), torch.Generator().manual_seed(seed), labels=labels)


@pytest.mark.parametrize(("merger", "generator"), [*KINDS, ("concatenation", "spade")])
def test_a_saved_painter_paints_the_same(tmp_path, merger, generator):
    made = tiny_painter(merger, generator)
    if generator == "spade":  # running statistics and estimates of norms are part of it
        for seed in range(3):
            made(stack_of(seed))
    made.eval().half().float()  # as folders hold it
    made.save(tmp_path)
    found = Painter.load(tmp_path)
    assert found.config.labels == PRIMITIVES and not found.training
    a, b = made(stack_of(9)), found(stack_of(9))
    gap = (a - b).detach().abs()  # half precision, through five layers of predicted weights
    assert float(gap.mean()) < 0.005 and float(gap.max()) < 0.1
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", "model.safetensors"}


def test_a_painter_takes_any_size_and_any_subset():
    made = tiny_painter().eval()
    some = random_stack((2, 9, 13), torch.Generator().manual_seed(0))
    assert made(some).shape == (2, 3, 9, 13)
    only = LabelStack(PRIMITIVES, {"edges": some.layers["edges"]})
    assert made(only).shape == (2, 3, 9, 13)


def height():
    return Label(name="height", kind="continuous")


def test_other_labels_are_mapped_by_name_and_said(tmp_path):
    old = tiny_painter(missing="attention_mask").eval()
    old.save(tmp_path)
    labels = LabelSet([height(), *PRIMITIVES.only("edges", "depth", "normals", "semantics")])
    found, remarks = Painter.adapted(tmp_path, labels)
    assert any("'height' is new" in line for line in remarks)
    assert any("'curvature' of the checkpoint is left out" in line for line in remarks)
    stack = stack_of(0)
    before = old(stack.without("curvature"))
    after = found(LabelStack(labels, {k: stack.layers[k] for k in labels.names[1:]}))
    torch.testing.assert_close(before, after, atol=0.02, rtol=0)


@pytest.mark.parametrize("merger", ["tlam", "clam", "poe"])
def test_the_order_of_labels_does_not_matter(tmp_path, merger):
    old = tiny_painter(merger).eval()
    old.save(tmp_path)
    labels = LabelSet(list(PRIMITIVES)[::-1])
    found, remarks = Painter.adapted(tmp_path, labels)
    assert remarks == []
    stack = stack_of(1)
    after = found(LabelStack(labels, dict(stack.layers)))
    torch.testing.assert_close(old(stack), after, atol=0.02, rtol=0)


def test_labels_that_changed_are_named(tmp_path):
    tiny_painter().save(tmp_path)
    classes = Label(name="semantics", kind="discrete", high=3)
    _, remarks = Painter.adapted(tmp_path, LabelSet([classes, *PRIMITIVES.only("depth")]))
    assert any("has 4 channels, and had 9" in line for line in remarks)
    with pytest.raises(WeightsError, match="knows none of these labels"):
        Painter.adapted(tmp_path, LabelSet([height()]))


def test_channels_side_by_side_cannot_be_mapped(tmp_path):
    tiny_painter("concatenation").save(tmp_path)
    with pytest.raises(WeightsError, match="cannot be mapped"):
        Painter.adapted(tmp_path, PRIMITIVES.only("depth"))


@pytest.mark.parametrize("damage", ["cut", "gone", "json", "labels", "kind", "format"])
def test_damaged_folders_are_refused(tmp_path, damage):
    tiny_painter().save(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    said = json.loads(config.read_text())
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:200])
    elif damage == "gone":
        weights.unlink()
    elif damage == "json":
        config.write_text("{")
    elif damage == "labels":
        said["labels"] = said["labels"][:2]
        config.write_text(json.dumps(said))
    elif damage == "kind":
        said["merger"]["kind"] = "blender"
        config.write_text(json.dumps(said))
    else:
        config.write_text(json.dumps({**said, "format": 9}))
    with pytest.raises(WeightsError):
        Painter.load(tmp_path)


@given(st.sampled_from(["width", "layers", "shape"]))
def test_unknown_options_are_refused(name):
    config = tiny_config()
    wrong = Config(labels=PRIMITIVES, merger="tlam", merging={"widths": 3})
    with pytest.raises(UsageError):
        Painter(wrong)
    assert Config.from_json(json.loads(json.dumps(config.to_json()))).labels == config.labels
    with pytest.raises(WeightsError):
        Config.from_json({"format": 1, name: 3})


@pytest.mark.parametrize(("merger", "generator"), [("tlam", "spade"), *KINDS])
def test_a_checkpoint_under_its_own_labels_is_itself_whatever_it_is_made_of(
    tmp_path, merger, generator
):
    old = tiny_painter(merger, generator).eval()
    old.save(tmp_path)
    found, remarks = Painter.adapted(tmp_path, PRIMITIVES)
    assert remarks == []
    a, b = Painter.load(tmp_path)(stack_of(1)), found(stack_of(1))
    assert torch.equal(a, b)


def test_as_many_labels_as_a_layer_has_rows_lose_no_weights(tmp_path):
    old = tiny_painter()
    old.save(tmp_path)
    six = PRIMITIVES.with_label(height())  # the last layers of the tiny ASAP-Net have 6 rows
    found, _ = Painter.adapted(tmp_path, six)
    saved = Painter.load(tmp_path).generator.state_dict()
    for name, tensor in found.generator.state_dict().items():
        assert torch.equal(tensor, saved[name]), name


def test_a_label_that_means_something_else_is_said(tmp_path):
    tiny_painter().save(tmp_path)
    others = [one for one in PRIMITIVES if one.name != "depth"]
    metres = Label(name="depth", kind="continuous", high=80.0, meaning="metres")
    _, remarks = Painter.adapted(tmp_path, LabelSet([*others, metres]))
    (line,) = remarks
    assert "'depth' meant something else" in line


def test_a_painter_with_one_more_label_is_saved_and_loaded(tmp_path):
    old = tiny_painter(missing="attention_mask").eval()
    made = old.with_label(height())
    assert made.labels.names == (*PRIMITIVES.names, "height")
    assert not any(p.requires_grad for p in made.generator.parameters())
    assert [n for n, p in made.merger.named_parameters() if p.requires_grad] == [
        "position", "projection.matrix.height", "projection.bias.height"
    ]  # fmt: skip
    stack = stack_of(0)
    same = made(LabelStack(made.labels, stack.layers))
    torch.testing.assert_close(same, old(stack))
    made.half().float().save(tmp_path)
    found = Painter.load(tmp_path)
    torch.testing.assert_close(
        found(LabelStack(made.labels, stack.layers)), same, atol=0.1, rtol=0
    )
    with pytest.raises(UsageError, match="only TLAM"):
        tiny_painter("clam").with_label(height())


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("merger", "width", -3),
        ("merger", "ratio", -1),
        ("merger", "kind", ["tlam"]),
        ("generator", "pixel", 0),
        ("generator", "tile", 3),
    ],
)
def test_configurations_that_make_no_sense_name_their_folder(tmp_path, part, key, value):
    tiny_painter().save(tmp_path)
    said = json.loads((tmp_path / "config.json").read_text())
    said[part][key] = value
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(WeightsError, match=tmp_path.name):
        Painter.load(tmp_path)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    made = tiny_painter()
    with torch.no_grad():
        next(made.generator.parameters()).fill_(float("nan"))
    made.save(tmp_path)
    with pytest.raises(WeightsError, match="no numbers"):
        Painter.load(tmp_path)


@pytest.mark.parametrize("options", [{"name": "a.b"}, {"name": "../x"}, {"scale": (0.0,)}])
def test_labels_that_could_not_be_kept_are_refused(options):
    with pytest.raises(UsageError, match="contradicts itself"):
        Label(**{"name": "height", "kind": "continuous", **options})


@pytest.mark.parametrize("merger", ["tlam", "concatenation"])
@pytest.mark.parametrize("number", [-1, 9])
def test_classes_outside_the_registry_are_never_painted(merger, number):
    stack = stack_of(0)
    stack.layers["semantics"].value[0, 3, 3] = number
    stack.layers["semantics"].valid[0, 3, 3] = True
    with pytest.raises(UsageError, match="class numbers of 'semantics'"):
        tiny_painter(merger)(stack)
