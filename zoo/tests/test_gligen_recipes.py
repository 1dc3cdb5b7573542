"""What `gligen-tiny` learns from, what stays still while it does, and what it leaves."""

import json
import math
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from compose_core.backbones.unet import UNetNetwork
from compose_core.encoded import Encoded
from compose_core.errors import WeightsError
from compose_core.schedule import DiscreteVP
from compose_core.train import train
from compose_worlds.judge import Found
from compose_worlds.primitives import cache, draw
from compose_worlds.primitives.solids import SHAPES
from compose_worlds.primitives.world import COLORS
from compose_zoo.recipes import denoiser, gligen, gligen_measure, gligen_routes, text
from compose_zoo.recipes import gligen_layouts as places
from compose_zoo.recipes.denoiser import CAPTIONS

SCENES = range(6)


class Base:
    """The parts of `sd-tiny` without its training."""

    def __init__(self, words):
        self.unet, self.tokenizer = denoiser.build(), words
        self.text_encoder = text.text_encoder(words)


@pytest.fixture(scope="module")
def words():
    return text.tokenizer()


@pytest.fixture(scope="module")
def drawn():
    return cache.make(SCENES)


@pytest.fixture(scope="module")
def found(drawn):
    return places.layouts(drawn["instance"], drawn["semantics"], drawn["color"])


def _task(words, found):
    n = len(SCENES)
    dice = torch.Generator().manual_seed(0)
    latents = torch.randn(2 * n, 4, 16, 16, generator=dice)
    tokens = torch.randint(0, 100, (2 * n * CAPTIONS, text.LENGTH), generator=dice)
    return gligen.GroundedTask(latents, tokens, found, Base(words))


def _question(seed=0, room=8):
    dice = torch.Generator().manual_seed(seed)
    told = gligen.grounding(
        torch.rand(2, 3, 4, generator=dice),
        torch.randn(2, 3, 128, generator=dice),
        torch.tensor([[True, True, False], [True, False, False]]),
        room,
    )
    x = torch.randn(2, 4, 16, 16, generator=dice)
    return (x, torch.tensor([20, 800]), torch.randn(2, 32, 128, generator=dice)), told


def test_boxes_are_tight_around_what_is_seen(drawn, found) -> None:
    """Nothing of an object is outside its box, and every side of the box touches it."""
    seen = 0
    for scene, box in enumerate(found.boxes):
        for number in range(places.SLOTS):
            if found.kinds[scene, number] < 0:
                assert not bool(box[number].any())
                continue
            seen += 1
            x0, y0, x1, y1 = (box[number] * 64).round().int().tolist()
            mask = drawn["instance"][scene] == number
            inside = mask[y0:y1, x0:x1]
            assert int(inside.sum()) == int(mask.sum()) >= places.LEAST
            assert all(bool(side.any()) for side in (inside[0], inside[-1]))
            assert all(bool(side.any()) for side in (inside[:, 0], inside[:, -1]))
    assert seen >= len(SCENES)


def test_kinds_are_those_of_the_scene(found) -> None:
    for number in SCENES:
        solids = draw.scene(number)[0].solids
        kinds = found.kinds[number].tolist()
        for solid, kind in zip(solids, kinds[: len(solids)], strict=True):
            assert kind in (-1, SHAPES.index(solid.shape) * 8 + list(COLORS).index(solid.color))
        assert set(kinds[len(solids) :]) <= {-1}


def test_mirrored_boxes_are_those_of_mirrored_pictures(drawn, found) -> None:
    flipped = places.layouts(*(drawn[k].flip(-1) for k in ("instance", "semantics", "color")))
    turned = found.mirrored()
    torch.testing.assert_close(turned.boxes, flipped.boxes)
    assert torch.equal(turned.kinds, flipped.kinds)
    torch.testing.assert_close(turned.mirrored().boxes, found.boxes)


def test_a_batch_pairs_mirrored_latents_with_mirrored_boxes(words, found) -> None:
    task = _task(words, found)
    n = len(SCENES)
    batch = task.batch(torch.tensor([2 * CAPTIONS, (n + 2) * CAPTIONS]))
    assert torch.equal(batch["latent"], task.latents[[2, n + 2]])
    assert torch.equal(batch["boxes"][0], found.boxes[2])
    assert torch.equal(batch["boxes"][1], found.mirrored().boxes[2])
    assert torch.equal(batch["kinds"][0], batch["kinds"][1])


def test_phrases_name_the_object(words) -> None:
    orange = SHAPES.index("cube") * len(COLORS) + list(COLORS).index("orange")
    said = places.phrases(orange)
    assert said == ("an orange cube", "orange cube", "a cube", "cube", "an orange object")
    known = places.table(words, text.text_encoder(words))
    assert known.shape == (len(SHAPES) * len(COLORS), len(places.ODDS), 128)
    drawn = places.worded(torch.full((50, 2), orange), known, torch.Generator().manual_seed(0))
    gaps = (drawn[:, :, None] - known[orange]).abs().amax(-1)
    assert bool((gaps.amin(-1) == 0).all()) and len(gaps.argmin(-1).unique()) == len(said)


@torch.no_grad()
def test_closed_gates_leave_the_base_exactly() -> None:
    unet = denoiser.build()
    gated = gligen.build(unet).eval()
    for name, parameter in gated.named_parameters():
        if "alpha_" in name:
            parameter.zero_()
    asked, told = _question()
    theirs = gated(*asked, cross_attention_kwargs={"gligen": told}).sample
    assert torch.equal(theirs, unet.eval()(*asked).sample)


@torch.no_grad()
def test_absent_objects_are_not_heard() -> None:
    """Whatever box and phrase a null token is given, the answer is the same."""
    gated = gligen.build(denoiser.build()).eval()
    dice = torch.Generator().manual_seed(1)
    for name, parameter in gated.named_parameters():
        if gligen.is_new(name):
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=dice))
    asked, told = _question()
    first = gated(*asked, cross_attention_kwargs={"gligen": told}).sample
    moved = {k: v.clone() for k, v in told.items()}
    absent = moved["masks"] == 0
    moved["boxes"][absent], moved["positive_embeddings"][absent] = 0.7, 3.0
    assert torch.equal(gated(*asked, cross_attention_kwargs={"gligen": moved}).sample, first)
    moved["boxes"][0, 0] = torch.tensor([0.0, 0.0, 0.1, 0.1])
    again = gated(*asked, cross_attention_kwargs={"gligen": moved}).sample
    assert not torch.equal(again[0], first[0]) and torch.equal(again[1], first[1])


def test_only_the_new_layers_move(words, found, tmp_path) -> None:
    task = _task(words, found)
    before = {k: v.clone() for k, v in task.unet.state_dict().items()}
    said = {k: v.clone() for k, v in task.text.state_dict().items()}
    config = replace(gligen.CONFIG, steps=4, batch_size=4, warmup=0, checkpoint_every=0)
    for _ in train(task, config, tmp_path):
        pass
    after = task.unet.state_dict()
    base = {k for k in after if not gligen.is_new(k)}
    assert base == set(denoiser.build().state_dict())
    assert all(torch.equal(after[k], before[k]) for k in base)
    assert all(torch.equal(v, said[k]) for k, v in task.text.state_dict().items())
    still = [k for k in after if gligen.is_new(k) and torch.equal(after[k], before[k])]
    assert not still


def test_objects_and_pictures_are_left_out_now_and_then(words, found) -> None:
    task = _task(words, found)
    boxes = torch.tensor([0.1, 0.2, 0.5, 0.6]).expand(4000, 2, 4)
    told = task.told(boxes, torch.zeros(4000, 2, dtype=torch.long), torch.Generator())
    masks = told["masks"]
    assert gligen.ROOM[0] <= masks.shape[1] <= gligen.ROOM[1]
    assert not bool(masks[:, 2:].any()) and told["boxes"].shape[:2] == masks.shape
    none = gligen.UNGROUNDED + (1 - gligen.UNGROUNDED) * gligen.UNSAID**2
    assert float((masks.sum(1) == 0).float().mean()) == pytest.approx(none, abs=0.02)
    both = (1 - gligen.UNGROUNDED) * (1 - gligen.UNSAID) ** 2
    assert float((masks.sum(1) == 2).float().mean()) == pytest.approx(both, abs=0.03)
    empty = task.told(boxes, torch.full((4000, 2), -1), torch.Generator())
    assert not any(bool(empty[name].any()) for name in ("masks", "boxes"))


def test_the_export_is_the_new_tensors_and_no_more(tmp_path) -> None:
    unet = denoiser.build()
    made = gligen.build(unet, seed=3)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "alpha_" in name:
                parameter.fill_(0.5)
    gligen.export(made, tmp_path)
    about = json.loads((tmp_path / "gligen.json").read_text())
    assert about == {"format": 1, "base": "sd-tiny", "attention_type": "gated", "room": 8}
    kept = load_file(tmp_path / "gligen.safetensors")
    assert set(kept) == set(made.state_dict()) - set(unet.state_dict())
    assert all(value.dtype == torch.float16 for value in kept.values())
    again = gligen.load(tmp_path, unet).state_dict()
    for name, value in made.state_dict().items():
        torch.testing.assert_close(again[name], value.half().float() if name in kept else value)


def test_layers_of_another_unet_are_refused(tmp_path) -> None:
    made = gligen.build(denoiser.build())
    made.up_blocks = made.up_blocks[:1]
    gligen.export(made, tmp_path)
    with pytest.raises(WeightsError, match="do not fit"):
        gligen.load(tmp_path, denoiser.build())


def test_tokens_inside_are_those_whose_cells_the_box_holds() -> None:
    boxes = torch.tensor(
        [[[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 1.0, 1.0], [0.51, 0.01, 0.53, 0.02]]]
    )
    found = gligen_routes.inside(boxes, torch.tensor([[1, 0, 1]]), 4).view(4, 4, 3)
    wanted = torch.zeros(4, 4, 3, dtype=torch.bool)
    wanted[2:, 1:3, 0] = True
    wanted[0, 2, 2] = True  # smaller than a cell: the one that holds its centre
    assert torch.equal(found[None, ..., :], wanted[None])


def test_perfect_listeners_have_no_loss_of_routes() -> None:
    """All attention on the box's token inside, none outside; a null token is nobody's business."""
    boxes = torch.tensor([[[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]]])
    there = torch.tensor([[1.0, 0.0]])
    layer = gligen_routes.Listening()
    shares = torch.zeros(1, 2, 18, 18)
    own = gligen_routes.inside(boxes, there, 4)[0, :, 0]
    shares[:, :, :16, 16] = own.float()
    shares[:, :, :16, 17] = (~own).float()
    layer.kept = shares
    assert float(gligen_routes.loss([layer], boxes, there)) == 0
    layer.kept = torch.full((1, 2, 18, 18), 1 / 18)
    expected = 0.5 * (math.log(18) - math.log(17 / 18))
    assert float(gligen_routes.loss([layer], boxes, there)) == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_listening_changes_nothing() -> None:
    gated = gligen.build(denoiser.build(), seed=1).eval()
    for name, parameter in gated.named_parameters():
        if ".fuser.attn.to_out.0.weight" in name:
            torch.nn.init.eye_(parameter)
    asked, told = _question()
    plain = gated(*asked, cross_attention_kwargs={"gligen": told}).sample
    layers = gligen_routes.listen(gated)
    heard = gated(*asked, cross_attention_kwargs={"gligen": told}).sample
    torch.testing.assert_close(heard, plain, atol=1e-5, rtol=1e-5)
    sides = [layer.kept.shape[-1] - 8 for layer in layers]
    assert sorted(sides) == [16, 64, 64, 64, 256, 256, 256]
    for layer in layers:
        torch.testing.assert_close(layer.kept.sum(-1), torch.ones(layer.kept.shape[:-1]))


def test_objects_are_placed_where_they_were_asked_for(drawn, found) -> None:
    """What is really there is all in place; mirrored, it is there but elsewhere."""

    def seen(scene: int, number: int) -> Found:
        kind = int(found.kinds[scene, number])
        mask = drawn["instance"][scene] == number
        y, x = mask.nonzero(as_tuple=True)
        middle = (float(x.float().mean()) + 0.5) / 64, (float(y.float().mean()) + 0.5) / 64
        box = tuple(found.boxes[scene, number].tolist())
        shape, color = SHAPES[kind // len(COLORS)], list(COLORS)[kind % len(COLORS)]
        return Found(shape, color, box, middle, 4.0, int(mask.sum()), mask)

    eyes = [
        [seen(i, n) for n in range(places.SLOTS) if found.kinds[i, n] >= 0]
        for i in range(len(SCENES))
    ]
    right = gligen_measure.placed(eyes, found)
    assert all(value.value == 1 for value in right.values())
    assert right["there"].n == int((found.kinds >= 0).sum())
    wrong = gligen_measure.placed(eyes, found.mirrored())
    assert wrong["there"].value == 1 > wrong["IoU > 0.5"].value
    assert gligen_measure.placed([[] for _ in eyes], found)["there"].value == 0


@torch.no_grad()
def test_a_question_without_boxes_is_the_bases(words) -> None:
    unet = denoiser.build()
    gated = gligen.build(unet)
    for name, parameter in gated.named_parameters():
        if ".fuser.attn.to_out.0.weight" in name:
            torch.nn.init.eye_(parameter)
    schedule = DiscreteVP.from_config(denoiser.scheduler().config)
    level = schedule.levels(4)[1]
    (x, _, said), told = _question()
    base = UNetNetwork(unet, schedule, "epsilon")(x, level, Encoded(text=said)).x0
    network = gligen_measure.GroundedNetwork(gated, schedule)
    torch.testing.assert_close(network(x, level, Encoded(text=said)).x0, base)
    assert not torch.allclose(network(x, level, Encoded(text=said, **told)).x0, base)
