"""Scenes to pictures: what is heard, what is said about the rest, and every kind of bad input."""

import io
import json

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image
from safetensors.torch import load_file, save_file

from compose_core.controls import Palette, Style, write_style
from compose_core.errors import SceneError, UsageError, WeightsError
from compose_core.method import find
from compose_core.pipeline import ComposePipeline
from compose_core.sampler import DDIM
from compose_core.scene import Assets, build
from compose_core.testing.folders import tiny_controlnet, tiny_stable_diffusion_xl
from compose_realcompo.method import RealCompoMethod
from compose_realcompo.pipeline import RealCompoPipeline
from compose_realcompo.planner import told

CUBE = {"name": "cube", "prompt": "a cube", "box": (0.1, 0.2, 0.45, 0.9)}
CONE = {"name": "cone", "prompt": "a cone", "box": (0.55, 0.2, 0.9, 0.9)}


def scene(*layers, files=None, canvas=(64, 64), prompt="a cube, a cone", **more):
    text = {"version": 1, "canvas": canvas, "prompt": prompt, "layers": list(layers), **more}
    return build(text).with_assets(Assets(files or {}))


@pytest.fixture(scope="module")
def pipe(folders):
    pipe = ComposePipeline.from_pretrained(folders["second"])
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def method(folders):
    def make(**options):
        return RealCompoMethod(folders["gated"], **{"start": 0.0, **options})

    return make


def draw(pipe, given, how, **options):
    said = []
    seeds = [
        torch.Generator().manual_seed(i) for i in range(options.get("num_images_per_prompt", 1))
    ]
    options = {"num_inference_steps": 4, "output_type": "pt", "generator": seeds, **options}
    out = pipe(given, method=how, warn=said.append, **options)
    return out, said


def test_it_is_announced():
    assert find("realcompo") is RealCompoMethod


def test_two_boxes_make_a_picture_and_the_shares_move(pipe, method):
    out, said = draw(pipe, scene(CUBE, CONE), method(rate=50.0), trace=True)
    assert said == []
    assert out.images.shape == (1, 3, 64, 64)
    (name,) = [n for n in out.trace.names if n.endswith("text.share")]
    shares = out.trace.stack(name)
    assert shares[0].std() > 1e-4
    assert any(n.endswith("layout.attention.1") for n in out.trace.names)
    still, _ = draw(pipe, scene(CUBE, CONE), method(dynamic=False))
    assert (still.images - out.images).abs().max() > 1e-4


@pytest.mark.parametrize("sampler", ["ddim", "heun", "scheduler"])
@pytest.mark.parametrize("canvas", [(96, 64), (64, 128)])
def test_any_size_and_sampler(pipe, method, sampler, canvas):
    out, _ = draw(pipe, scene(CUBE, CONE, canvas=canvas), method(), sampler=sampler)
    assert out.images.shape == (1, 3, canvas[1], canvas[0])


def test_each_picture_is_its_own_in_any_batch(pipe, method):
    both, _ = draw(pipe, scene(CUBE, CONE), method(), num_images_per_prompt=2)
    alone, _ = draw(pipe, scene(CUBE, CONE), method())
    torch.testing.assert_close(both.images[:1], alone.images, atol=2e-3, rtol=0)


def test_without_places_the_text_model_draws_alone(pipe, method):
    out, said = draw(pipe, scene({"name": "lost", "prompt": "a cone"}), method())
    assert said[-1] == "no layer says where it is: the text-to-image model draws alone"
    plain = pipe(
        "a cube, a cone",
        num_inference_steps=4,
        output_type="pt",
        generator=[torch.Generator().manual_seed(0)],
    )
    assert torch.equal(out.images, plain.images)


def test_layers_that_cannot_be_heard_are_named(pipe, method):
    layers = [CUBE, {"name": "lost", "prompt": "a cone"}, {**CONE, "name": "mute"}]
    del layers[2]["prompt"]
    _, said = draw(pipe, scene(*layers), method())
    assert any("'lost' says nowhere" in line for line in said)
    assert any("'mute' has no prompt" in line for line in said)


def test_a_layer_of_no_weight_is_not_there(pipe, method):
    with_it, _ = draw(pipe, scene(CUBE, {**CONE, "weight": 0.0}), method())
    without, _ = draw(pipe, scene(CUBE), method())
    assert torch.equal(with_it.images, without.images)


def test_thin_identical_and_nested_boxes(pipe, method):
    thin = {**CUBE, "box": (0.5, 0.2, 0.51, 0.9)}
    out, said = draw(pipe, scene(thin, CONE, {**CONE, "name": "twin"}), method())
    assert any("'cube' is thinner than a cell" in line for line in said)
    assert torch.isfinite(out.images).all()
    nested = {**CUBE, "box": (0.6, 0.3, 0.8, 0.7)}
    out, said = draw(pipe, scene(CONE, nested), method())
    assert said == []
    assert torch.isfinite(out.images).all()


def test_more_boxes_than_the_model_takes(pipe, method):
    many = [{**CUBE, "name": str(i)} for i in range(31)]
    with pytest.raises(UsageError, match="more boxes"):
        draw(pipe, scene(*many), method())


def test_phrases_that_the_prompt_lacks(pipe, method):
    lacking = scene(CUBE, prompt="on grass")
    out, said = draw(pipe, lacking, method())
    assert said == ["the prompt has no such words, they are appended: 'a cube'"]
    same, _ = draw(pipe, scene(CUBE, prompt="on grass, a cube"), method())
    assert torch.equal(out.images, same.images)
    with pytest.raises(UsageError, match="'a cube' not in 'on grass'"):
        draw(pipe, lacking, method(absent="refuse"))


def test_models_of_other_latents(pipe, folders, method):
    with pytest.raises(WeightsError, match="text 2: what a latent looks like"):
        draw(pipe, scene(CUBE), method(fidelity=[folders["first"]]))
    with pytest.raises(UsageError, match="nobody is left"):
        RealCompoMethod(instead=True)


def test_three_models_and_one_instead_of_another(pipe, folders, method):
    three, _ = draw(pipe, scene(CUBE, CONE), method(fidelity=[folders["second"]]), trace=True)
    names = {n.rsplit(".", 1)[0] for n in three.trace.names if n.endswith("share")}
    assert {name.split("/")[-1].split(".")[-1] for name in names} >= {"text 2", "layout"}
    same, _ = draw(pipe, scene(CUBE, CONE), method(fidelity=[folders["second"]], instead=True))
    usual, _ = draw(pipe, scene(CUBE, CONE), method())
    torch.testing.assert_close(same.images, usual.images, atol=1e-5, rtol=0)


def test_the_model_itself_pulled_into_boxes_is_the_spatial_one(pipe):
    how = RealCompoMethod("guidance", start=0.5, rate=50.0)
    assert how.adapters == ()
    out, said = draw(pipe, scene(CUBE, CONE), how)
    assert said == []
    free, _ = draw(pipe, scene(CUBE, CONE), RealCompoMethod("guidance", steer=(0.0, 0.5)))
    words, _ = draw(pipe, scene({"name": "all", "prompt": "a cube"}), how)
    torch.testing.assert_close(free.images, words.images, atol=1e-5, rtol=0)
    assert (out.images - free.images).abs().max() > 1e-4


def test_before_t0_it_is_the_layout_model(pipe, method):
    how, model = method(start=1.0), pipe.model
    alone, _ = draw(pipe, scene(CUBE, CONE), how, output_type="latent")
    said = told(scene(CUBE, CONE), absent="append", padding=0.0)
    parts = how.parts(said, model, (16, 16), device="cpu", guidance=5.0)
    walk = DDIM(model.schedule.levels(4))
    seeds = [torch.Generator().manual_seed(0)]
    x_t = walk.initial((1, 4, 16, 16), seeds)
    text, layout = (walk.sample(branch.denoiser, x_t) for branch in parts.branches)
    torch.testing.assert_close(alone.images, layout, atol=1e-4, rtol=1e-4)
    assert (alone.images - text).abs().max() > 1e-2


def test_what_is_not_there_is_told_alike_for_any_number_of_boxes(pipe, method):
    """The unconditional side hears the same missing tokens, whatever else is asked."""
    model = pipe.model
    heard = []
    for given in (scene(CUBE), scene(CUBE, CONE)):
        said = told(given, absent="append", padding=0.0)
        branch = method().parts(said, model, (16, 16), device="cpu", guidance=5.0).branches[-1]
        uncond = branch.denoiser.uncond.encoded
        assert uncond["present"].sum() == 0
        assert uncond["boxes"].shape == (1, 30, 4)
        x_t = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
        heard.append(branch.denoiser.uncond(x_t, model.schedule.level(500.0)).x0)
    torch.testing.assert_close(heard[0], heard[1])


def test_layers_that_ask_for_what_nobody_hears_are_named(pipe, method, folders, tmp_path):
    _, said = draw(pipe, scene({**CUBE, "negative": "ugly"}), method())
    assert any("negative of layer 'cube' is not used" in line for line in said)
    how = RealCompoMethod(tiny_controlnet(tmp_path / "control", seed=3), start=0.0)
    _, said = draw(pipe, scene(CUBE), how)
    assert any("no layer has keypoints" in line for line in said)


def test_boxes_are_heard_as_long_as_the_gates_say(pipe, folders):
    """Closed gates leave the text model alone; the schedule of GLIGEN lies between."""
    shown = {}
    for gates in ((1.0, 0.0), (0.3, 0.2), (0.0, 0.0)):
        how = RealCompoMethod(folders["gated"], gates=gates, start=1.0)
        shown[gates] = draw(pipe, scene(CUBE, CONE), how, output_type="latent")[0].images
    assert not torch.equal(shown[1.0, 0.0], shown[0.3, 0.2])
    assert not torch.equal(shown[0.3, 0.2], shown[0.0, 0.0])
    with pytest.raises(UsageError, match="no schedule"):
        draw(pipe, scene(CUBE), RealCompoMethod(folders["gated"], gates=(0.8, 0.5)))


def test_a_layer_that_says_twice_where_it_is():
    """What rules is said, also where keypoints overrule a box."""
    layer = {**CUBE, "keypoints": "pose.json"}
    (line,) = [x for x in told(scene(layer, files=FILES), absent="append", padding=0.0).remarks]
    assert line == "layer 'cube' has keypoints besides a box: only the first says where it is"
    assert told(scene(CUBE), absent="append", padding=0.0).remarks == ()


def test_options_that_make_no_sense():
    for bad in ({"control": "pose"}, {"shape": "mask"}, {"absent": "drop"}, {"padding": -0.1}):
        with pytest.raises(UsageError, match=next(iter(bad))):
            RealCompoMethod(**bad)
    with pytest.raises(UsageError, match="unknown variant"):
        RealCompoMethod(variant="other")


def test_the_model_instead_also_draws_alone(folders):
    """Two models of one set of latents; the run's own has no part."""
    pipe = ComposePipeline.from_pretrained(folders["first"])
    pipe.set_progress_bar_config(disable=True)
    how = RealCompoMethod(folders["gated"], [folders["second"]], instead=True)
    lost = scene({"name": "lost", "prompt": "a cone"})
    out, _ = draw(pipe, lost, how, output_type="latent")
    second = ComposePipeline.from_pretrained(folders["second"])
    second.set_progress_bar_config(disable=True)
    same, _ = draw(second, lost, RealCompoMethod(folders["gated"]), output_type="latent")
    torch.testing.assert_close(out.images, same.images)


def test_inference_mode_says_what_to_do(pipe, method):
    with torch.inference_mode(), pytest.raises(UsageError, match=r"torch\.no_grad"):
        draw(pipe, scene(CUBE, CONE), method())


def png(values):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()


LABELS = np.zeros((64, 64), np.uint8)
LABELS[10:40, 5:25] = 1
LABELS[20:60, 35:60] = 2
FILES = {
    "labels.png": png(LABELS),
    "pose.json": json.dumps({"head": [0.3, 0.2], "foot": [0.4, 0.8], "hand": None}).encode(),
}


def test_a_controlnet_as_the_spatial_model(pipe, folders, tmp_path):
    control = tiny_controlnet(tmp_path / "control", seed=3)
    layers = [
        {"name": "figure", "prompt": "a cube", "keypoints": "pose.json"},
        {"name": "rest", "prompt": "a cone", "segments": "labels.png"},
    ]
    pictures = {}
    for kind in ("keypoints", "segments"):
        how = RealCompoMethod(control, start=0.0, control=kind)
        out, said = draw(pipe, scene(*layers, files=FILES), how)
        assert said == []
        pictures[kind] = out.images
    assert (pictures["keypoints"] - pictures["segments"]).abs().max() > 1e-4
    true = RealCompoMethod(control, start=0.0, control="segments", shape="true", rate=50.0)
    box = RealCompoMethod(control, start=0.0, control="segments", rate=50.0)
    a, b = (draw(pipe, scene(*layers, files=FILES), how)[0].images for how in (true, box))
    assert not torch.equal(a, b)


def test_a_controlnet_says_itself_what_it_follows(pipe, tmp_path):
    folder = tiny_controlnet(tmp_path / "control", seed=3)
    classes = Palette({"cube": (0, 255, 0), "cone": (255, 0, 0)})
    plain, said = draw(pipe, scene(CUBE), RealCompoMethod(folder, control="segments", start=0.0))
    write_style(Style("segments", palette=classes), folder)
    out, said = draw(pipe, scene(CUBE), RealCompoMethod(folder, start=0.0))
    assert said == [] and not torch.equal(out.images, plain.images)
    with pytest.raises(UsageError, match="follows something else"):
        draw(pipe, scene(CUBE), RealCompoMethod(folder, control="keypoints"))
    other = {**CUBE, "name": "thing", "prompt": "a dog"}
    with pytest.raises(UsageError, match="names no class"):
        draw(pipe, scene(other), RealCompoMethod(folder))


def test_a_controlnet_with_missing_weights_is_refused(pipe, tmp_path):
    """The library would fill them with random numbers and go on."""
    folder = tiny_controlnet(tmp_path / "control", seed=3)
    (path,) = folder.glob("*.safetensors")
    tensors = load_file(path)
    del tensors[min(tensors)]
    save_file(tensors, path)
    with pytest.raises(WeightsError, match="1 missing keys"):
        draw(pipe, scene(CUBE), RealCompoMethod(folder))


def test_stable_diffusion_xl_with_a_controlnet_of_its_own(tmp_path):
    base = tiny_stable_diffusion_xl(tmp_path / "xl", seed=2)
    xl = ComposePipeline.from_pretrained(base)
    xl.set_progress_bar_config(disable=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        control = ControlNetModel.from_unet(
            xl.unet, conditioning_embedding_out_channels=(8, 16, 16)
        )
    control.save_pretrained(tmp_path / "control")
    figure = {"name": "figure", "prompt": "a cube", "keypoints": "pose.json"}
    how = RealCompoMethod(tmp_path / "control", start=0.0, rate=50.0)
    out, said = draw(xl, scene(figure, CONE, files=FILES), how, trace=True)
    assert said == []
    assert torch.isfinite(out.images).all()
    assert any(name.endswith("layout.attention.1") for name in out.trace.names)


def test_the_facade(folders):
    pipe = RealCompoPipeline.from_pretrained(folders["second"], layout=folders["gated"])
    pipe.set_progress_bar_config(disable=True)
    few = {"num_inference_steps": 3, "output_type": "pt"}

    def seeded():
        return torch.Generator().manual_seed(1)

    boxes = [CUBE["box"], CONE["box"]]
    made = pipe(
        "a cube, a cone", phrases=["a cube", "a cone"], boxes=boxes, generator=seeded(), **few
    )
    same = pipe(scene(CUBE, CONE), generator=seeded(), **few)
    assert torch.equal(made.images, same.images)
    wide = pipe("a cube", phrases=["a cube"], boxes=boxes[:1], width=96, **few)
    assert wide.images.shape == (1, 3, 64, 96)
    with pytest.raises(UsageError, match="every box needs a phrase"):
        pipe("a cube", phrases=["a cube"], boxes=boxes, **few)
    with pytest.raises(UsageError, match="belong to one prompt"):
        pipe(scene(CUBE), phrases=["a cube"], boxes=boxes[:1], **few)
    with pytest.raises(SceneError, match="leaves the canvas"):
        pipe("a cube", phrases=["a cube"], boxes=[(0.5, 0.5, 1.5, 1.0)], **few)


def test_on_any_device(folders, method, device):
    pipe = ComposePipeline.from_pretrained(folders["second"]).to(device)
    pipe.set_progress_bar_config(disable=True)
    out, said = draw(pipe, scene(CUBE, CONE), method())
    assert said == []
    assert out.images.device.type == device.type
    assert torch.isfinite(out.images).all()
