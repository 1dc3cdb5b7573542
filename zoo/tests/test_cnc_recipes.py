"""What `cnc-tiny` and its baselines are trained on, and what stays still while they are."""

from dataclasses import replace
from importlib import import_module

import pytest
import torch
from diffusers import T2IAdapter

from compose_cnc.data.adapters import DiffusersInpainter
from compose_cnc.folder import load_adapter
from compose_cnc.model import TINY, GlobalFuser, LocalFuser
from compose_cnc.network import CnCNetwork
from compose_core.schedule import DiscreteVP
from compose_core.zoo import resolve
from compose_worlds.primitives import cache, canny, draw
from compose_worlds.primitives.apart import front
from compose_zoo.recipes import (
    cnc_crossed,
    cnc_exemplars,
    cnc_samples,
    cnc_scenes,
    cnc_stages,
    denoiser,
    sd_tiny_inpaint,
    t2i_adapter_tiny,
    text,
    towers,
)
from compose_zoo.recipes import sd_tiny_inpaint_task as holes
from compose_zoo.recipes.denoiser import CAPTIONS

SCENES = range(12)


@pytest.fixture(scope="module")
def apart():
    return cnc_scenes.make(SCENES)


@pytest.fixture(scope="module")
def whole():
    return cache.make(SCENES)


@pytest.fixture(scope="module")
def words():
    return text.tokenizer()


class Base:
    """The parts of `sd-tiny` without its training."""

    def __init__(self, words):
        self.unet, self.tokenizer = denoiser.build(), words
        self.text_encoder = text.text_encoder(words)


def test_a_scene_is_its_foreground_before_its_background(apart, whole):
    """Depth of the whole is that of the foreground inside the mask, of the background outside."""
    mask = apart["depth_fg"] > 0
    assert bool(mask.flatten(1).any(1).all())
    together = torch.where(mask, apart["depth_fg"], apart["depth_bg"])
    torch.testing.assert_close(together, whole["depth"], atol=2e-3, rtol=2e-3)
    assert bool((apart["depth_bg"][mask] <= apart["depth_fg"][mask]).all())
    alone = apart["background"].float() - whole["picture"].float()
    assert float(alone.abs().mean(1)[mask].mean()) > 10


def test_the_foreground_is_the_nearest():
    hides = 0
    for number in range(60):
        scene = draw.scene(number)[0]
        chosen = front(scene, number)
        depth = [draw.seen(solid, scene.setting).depth for solid in scene.solids]
        ahead = [d for d, c in zip(depth, chosen, strict=True) if c]
        behind = [d for d, c in zip(depth, chosen, strict=True) if not c]
        assert ahead and (not behind or max(ahead) <= min(behind))
        hides += bool(behind)
    assert 10 < hides < 50  # both kinds occur


def test_scenes_are_made_once(tmp_path, monkeypatch):
    first = cnc_scenes.load(tmp_path, range(2), ("depth_fg",))
    monkeypatch.setattr(cnc_scenes, "make", None)
    again = cnc_scenes.load(tmp_path, range(2), ("depth_fg",))
    assert torch.equal(first["depth_fg"], again["depth_fg"])


def step_edge(contrast):
    shown = torch.zeros(1, 3, 24, 24)
    shown[..., 12:] = contrast
    return shown


def test_a_step_is_one_line():
    found = canny.canny(step_edge(1.0))
    columns = found[0].any(0).nonzero().flatten().tolist()
    assert len(columns) == 1 and columns[0] in (11, 12) and bool(found[0, :, columns[0]].all())
    assert not bool(canny.canny(torch.full((1, 3, 16, 16), 0.7)).any())
    assert not bool(canny.canny(step_edge(0.02)).any())


def test_edges_turn_with_the_picture():
    y, x = torch.meshgrid(torch.arange(33), torch.arange(33), indexing="ij")
    radius = torch.hypot(x - 16.3, y - 15.6)
    shown = torch.sigmoid((9 - radius) / 0.7).expand(1, 3, 33, 33)
    found = canny.canny(shown)
    assert 40 < int(found.sum()) < 80
    turned = canny.canny(shown.rot90(1, (2, 3)))
    assert (turned ^ found.rot90(1, (1, 2))).sum() <= 2


def test_weak_edges_live_by_strong_ones():
    """A step that fades: kept as far as it is above the low threshold, if it is strong at all."""
    faded = step_edge(1.0) * torch.linspace(0.5, 0.05, 24)[None, None, :, None]
    lone = step_edge(1.0) * torch.linspace(0.15, 0.05, 24)[None, None, :, None]
    kept = canny.canny(faded, low=0.05, high=0.12).any(2)[0]
    strong = canny.canny(faded, low=0.12, high=0.12).any(2)[0]
    assert int(kept.sum()) > int(strong.sum()) > 0 and bool(kept[: int(kept.sum())].all())
    assert not bool(canny.canny(lone, low=0.05, high=0.12).any())


@pytest.mark.weights
def test_the_picture_tower_is_that_of_clip_tiny(whole):
    """transformers' class and open_clip's give the same embeddings, not normalised."""
    folder = resolve("clip-tiny")
    shown = whole["picture"]
    mine = cnc_exemplars.embed(cnc_exemplars.encoder(folder), shown)
    clip = towers.load(folder)
    with torch.no_grad():
        for part, flip in ((mine[: len(shown)], False), (mine[len(shown) :], True)):
            seen = (shown.flip(-1) if flip else shown).float() / 127.5 - 1
            theirs = clip.encode_image(seen, normalize=False)
            torch.testing.assert_close(part, theirs, atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def pairs(words):
    return cnc_crossed.make(range(6), words)


def test_pairs_have_two_orders_of_the_same_maps(pairs):
    """What covers in one picture is covered in the other; the ground stays as it is."""
    fg, bg = pairs.depth_fg.float(), pairs.depth_bg.float()
    one, other = fg[0::2] > 0, fg[1::2] > 0
    assert bool((one & other).flatten(1).any(1).all())
    torch.testing.assert_close(torch.where(one, bg[1::2], 0.0), fg[0::2])
    torch.testing.assert_close(torch.where(other, bg[0::2], 0.0), fg[1::2])
    gap = (pairs.pictures[0::2].float() - pairs.pictures[1::2].float()).abs().mean(1)
    assert float(gap[one & other].mean()) > 20
    # Inside, the one in front is without the shadow that the other throws on it.
    near = torch.nn.functional.max_pool2d((one | other).float(), 5, 1, 2) > 0
    assert float(gap[~near].max()) <= 1.0


def test_who_covers_looks_as_it_does_alone(pairs):
    """In the overlap the picture is the covering object, whichever is nearer."""
    for turn in (0, 1):
        front = pairs.depth_fg[turn::2] > 0
        shared = front & (pairs.depth_fg[1 - turn :: 2] > 0)
        inside = -torch.nn.functional.max_pool2d(-shared.float(), 3, 1, 1) > 0
        alone = pairs.backgrounds[1 - turn :: 2].float()
        wrong = (pairs.pictures[turn::2].float() - alone).abs().mean(1)
        assert float(wrong[inside].max()) <= 1.0


def test_captions_of_pairs_do_not_tell_the_order(pairs, words):
    said = words.batch_decode(pairs.tokens, skip_special_tokens=True)
    assert len(said) == 2 * len(pairs.pictures) * CAPTIONS
    assert not any(word in text for text in said for word in ("behind", "front", "on a cube"))


def test_joined_samples_keep_halves_apart(samples):
    both = cnc_samples.joined(samples, samples)
    n = len(SCENES)
    assert len(both) == 2 * len(samples)
    plain, flipped = torch.tensor([0, n * CAPTIONS]), torch.tensor([n * CAPTIONS])
    twice = both.batch(torch.cat([plain, 2 * flipped]))
    once = samples.batch(torch.cat([plain[:1], plain[:1], flipped]))
    for name, value in once.items():
        assert torch.equal(twice[name], value), name


@pytest.fixture
def samples(apart):
    n = len(SCENES)
    dice = torch.Generator().manual_seed(0)
    maps = {name: apart[name] for name in ("depth_fg", "depth_bg")}
    told = {f"embedding_{x}": torch.randn(2 * n, 128, generator=dice) for x in ("fg", "bg")}
    return cnc_samples.SceneSamples(
        torch.randn(2 * n, 4, 16, 16, generator=dice),
        torch.randint(0, 100, (2 * n * CAPTIONS, text.LENGTH), generator=dice),
        maps,
        apart["depth_fg"] > 0,
        told,
    )


def test_mirrored_samples_have_mirrored_maps(samples):
    n = len(SCENES)
    batch = samples.batch(torch.tensor([3 * CAPTIONS, (n + 3) * CAPTIONS]))
    for name in ("depth_fg", "depth_bg", "mask"):
        assert torch.equal(batch[name][0], batch[name][1].flip(-1)), name
        assert float(batch[name].amin()) == 0 and float(batch[name].amax()) == 1
    assert batch["depth_fg"].shape == (2, 3, 64, 64) and batch["mask"].shape == (2, 1, 64, 64)
    assert torch.equal(batch["mask"][0, 0] > 0, batch["depth_fg"][0, 0] > 0)
    assert not torch.equal(batch["embedding_fg"][0], batch["embedding_fg"][1])
    assert len(samples) == 2 * n * CAPTIONS


def test_edges_are_of_the_foreground_and_of_what_is_behind(apart, whole):
    mask = apart["depth_fg"] > 0
    found = cnc_samples.edges_of(whole["picture"], apart["background"], mask)
    near = torch.nn.functional.max_pool2d(mask[:, None].float(), 5, 1, 2)[:, 0] > 0
    assert not bool((found["depth_fg"] & ~near).any())
    assert all(value.dtype == torch.bool and bool(value.any()) for value in found.values())


def tiny_network(words):
    base = Base(words)
    return CnCNetwork(
        base.unet,
        DiscreteVP.from_config(denoiser.scheduler().config),
        "epsilon",
        local_fuser=LocalFuser.from_unet(base.unet, TINY),
        global_fuser=GlobalFuser.fresh(128, 128, 4),
    )


def test_one_stream_hears_one_map(words):
    network = tiny_network(words)
    for conv in network.local_fuser.streams.zero:
        torch.nn.init.ones_(conv.weight)
    cnc_stages.silence(network)
    one = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = network.local_fuser.streams
    with torch.no_grad():
        pairs = zip(features(one, one), features(one, 0 * one), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
        assert not torch.equal(features(one, one)[0], features(0 * one, one)[0])
        assert not bool(network.global_fuser(torch.ones(1, 128), "bg").any())
    moving = {name for name, p in network.named_parameters() if p.requires_grad}
    assert not any(".bg." in name for name in moving)


def test_the_adapter_is_heard_at_every_level(words, samples):
    base = Base(words)
    task = t2i_adapter_tiny.AdapterTask(samples, base)
    batch = task.batch(torch.arange(2))
    features = task.adapter(batch["depth_fg"])
    assert [tuple(x.shape[1:]) for x in features] == [(64, 16, 16), (128, 8, 8), (128, 4, 4)]
    loss, _ = task.loss(batch, torch.Generator().manual_seed(0))
    loss.backward()
    assert all(bool(p.grad.any()) for p in task.adapter.parameters() if p.dim() > 1)
    assert all(p.grad is None for p in base.unet.parameters())


@torch.no_grad()
def test_an_untrained_inpainter_is_its_base(words):
    unet = denoiser.build()
    wide = sd_tiny_inpaint.build(unet)
    dice = torch.Generator().manual_seed(0)
    x, rest = torch.randn(2, 4, 16, 16, generator=dice), torch.randn(2, 5, 16, 16, generator=dice)
    said = torch.randn(2, 32, 128, generator=dice)
    t = torch.tensor([10, 700])
    theirs = wide(torch.cat([x, rest], 1), t, said).sample
    torch.testing.assert_close(theirs, unet(x, t, said).sample, atol=1e-6, rtol=1e-5)


def test_holes_cover_some_of_the_picture():
    found = holes.holes(2000, (32, 32), torch.Generator().manual_seed(0))
    share = found.mean((1, 2, 3))
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert float((share == 1).float().mean()) == pytest.approx(holes.WHOLE, abs=0.03)
    assert 0.15 < float(share[share < 1].mean()) < 0.6
    assert float((share == 0).float().mean()) < 0.02


def test_masks_grow_by_odd_squares():
    mask = torch.zeros(2, 1, 15, 15)
    mask[:, :, 7, 7] = 1
    wide = holes.grown(mask, torch.tensor([3, 7]))
    assert wide.sum((1, 2, 3)).tolist() == [9, 49]
    assert torch.equal(wide, wide.flip(-1)) and torch.equal(wide, wide.flip(-2))


def inpainting(words, apart, whole, vae):
    n = len(SCENES)
    dice = torch.Generator().manual_seed(0)
    latents = torch.randn(2 * n, 4, 16, 16, generator=dice)
    said = sd_tiny_inpaint.sentences(SCENES)
    table = words(said, padding="max_length", truncation=True, return_tensors="pt").input_ids
    tokens = torch.randint(0, 100, (2 * n * CAPTIONS, text.LENGTH), generator=dice)
    mask = apart["depth_fg"] > 0
    data = holes.Holes(whole["picture"], mask, latents, tokens, -latents, table)
    unet = sd_tiny_inpaint.build(denoiser.build())
    return holes.InpaintTask(data, unet, text.text_encoder(words), vae, words)


def test_objects_are_taken_away_or_holes_filled(words, apart, whole, monkeypatch):
    """A hole over the foreground goes with the emptied scene, any other with the scene itself."""
    from compose_zoo.recipes import autoencoder

    task = inpainting(words, apart, whole, autoencoder.build())
    batch = task.batch(torch.arange(0, 12 * CAPTIONS, CAPTIONS))
    hole, x0, tokens = task._wanted(batch, torch.Generator().manual_seed(0))
    empty = (x0 == batch["emptied"]).flatten(1).all(1)
    assert 0 < int(empty.sum()) < 12
    assert torch.equal(x0[~empty], batch["latent"][~empty])
    assert torch.equal(tokens[empty], batch["said"][empty])
    assert bool((hole >= batch["mask"])[empty].all())
    loss, _ = task.loss(batch, torch.Generator().manual_seed(0))
    loss.backward()
    assert bool(task.unet.conv_in.weight.grad[:, 4:].any())
    assert all(p.grad is None for p in task.vae.parameters())


RECIPES = (
    "cnc-tiny",
    "cnc-tiny-canny",
    "uni-controlnet-tiny",
    "t2i-adapter-tiny",
    "sd-tiny-inpaint",
)


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_leaves_what_can_be_loaded(recipe, tmp_path, monkeypatch):
    """Two steps of each stage on a few scenes; then the export is whole, in half precision."""
    module = import_module(f"compose_zoo.recipes.{recipe.replace('-', '_')}")
    n = len(SCENES)
    dice = torch.Generator().manual_seed(0)
    latents = torch.randn(2 * n, 4, 16, 16, generator=dice).half()
    tokens = torch.randint(0, 100, (2 * n * CAPTIONS, text.LENGTH), generator=dice)
    monkeypatch.setattr(cnc_samples, "latents_of", lambda *_: (latents, tokens))
    monkeypatch.setattr(cnc_samples, "SCENES", SCENES)
    monkeypatch.setattr(cnc_samples.load, "__defaults__", (SCENES,))
    monkeypatch.setattr(cnc_samples, "LAYERED", SCENES[:4])
    monkeypatch.setattr(cnc_crossed, "PAIRS", range(2))
    small = {k: replace(v, batch_size=2) for k, v in cnc_stages.CONFIG.items()}
    monkeypatch.setattr(cnc_stages, "CONFIG", small)
    if hasattr(module, "CONFIG"):
        monkeypatch.setattr(module, "CONFIG", replace(module.CONFIG, batch_size=2))
    module.train(tmp_path / recipe, steps=2)
    out = tmp_path / recipe / "export"
    if recipe == "t2i-adapter-tiny":
        made = T2IAdapter.from_pretrained(out)
        assert made.total_downscale_factor == 16
    elif recipe == "sd-tiny-inpaint":
        shown = paint(out)
        assert shown.shape == (1, 3, 64, 64) and bool(shown.isfinite().all())
    else:
        found = load_adapter(out)
        assert found.base == "sd-tiny" and found.local_fuser is not None
        assert (found.global_fuser is None) == (recipe == "cnc-tiny-canny")
        assert (found.exemplars is None) == (recipe == "cnc-tiny-canny")


def paint(folder):
    """What the tool of `compose cnc triplets` paints with the exported pipeline."""
    tool = DiffusersInpainter(folder, steps=2)
    shown, mask = torch.rand(1, 3, 64, 64), torch.zeros(1, 64, 64)
    mask[:, 20:40, 20:40] = 1
    return tool(shown, mask, [torch.Generator().manual_seed(0)])
