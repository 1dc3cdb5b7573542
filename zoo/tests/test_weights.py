"""The published checkpoints: whole, loadable, and as good as their manifests say."""

import pytest
import torch

from compose_core import zoo
from compose_core.backbones import load_model
from compose_core.pipeline import ComposePipeline
from compose_worlds.judge import JudgeNet
from compose_worlds.primitives import cache
from compose_zoo.recipes import measure, scores

pytestmark = pytest.mark.weights

MODELS = ("sd-tiny", "judge-tiny", "clip-tiny", "controlnet-tiny-depth")


@pytest.fixture(scope="module")
def judge() -> JudgeNet:
    return JudgeNet.load(zoo.resolve("judge-tiny"))


@pytest.mark.parametrize("model", MODELS)
def test_every_file_is_pinned_and_as_published(model: str) -> None:
    manifest = zoo.find(model)
    assert manifest.pinned
    assert {finding.status for finding in zoo.verify(model)} == {"ok"}
    assert manifest.budget is not None and manifest.training is not None
    assert manifest.scores


def test_the_base_is_small() -> None:
    assert zoo.find("sd-tiny").size <= 15_000_000


def _score(model: str, name: str) -> float:
    return next(s.value for s in zoo.find(model).scores if s.name == name)


@pytest.mark.slow
def test_one_object_comes_out_as_asked(judge) -> None:
    """48 held-out captions; the bar is four standard errors below the published share."""
    pipe = ComposePipeline.from_pretrained("sd-tiny")
    claims = scores.captions("one", 48)
    pictures = measure.draw(pipe, [c.text for c in claims], seed=cache.HELD_OUT)
    share = scores.summary(scores.judge(judge, pictures, claims), claims)["all"]
    published = _score("sd-tiny", "one object: colour and shape")
    spread = (published * (1 - published) / 48) ** 0.5
    assert share.value >= published - 4 * max(spread, 0.02)


@pytest.mark.slow
def test_the_judge_reads_renders(judge, tmp_path) -> None:
    found = scores.judge_on_renders(judge, tmp_path, 64)
    published = _score("judge-tiny", "object: colour and shape on renders")
    assert found["object"].value >= published - 0.05
    assert found["pixels"].value > 0.95


def test_the_depth_guide_loads_beside_the_base() -> None:
    model = load_model(zoo.resolve("sd-tiny"), controlnet=zoo.resolve("controlnet-tiny-depth"))
    encoded = model.text.encode("a red sphere on grass")
    assert encoded["text"].shape[-1] == 128
    assert type(model.network).__name__ == "ControlledUNet"


def test_the_towers_prefer_the_right_caption() -> None:
    """Of two captions the true one is closer to the picture, in most of 64 held-out pairs."""
    import json

    import open_clip
    from safetensors.torch import load_file
    from transformers import CLIPTokenizer

    folder = zoo.resolve("clip-tiny")
    settings = json.loads((folder / "open_clip_config.json").read_text())
    clip = open_clip.CLIP(**settings["model_cfg"])
    weights = load_file(folder / "open_clip_model.safetensors")
    missing = clip.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    assert missing.unexpected_keys == [] and set(missing.missing_keys) <= {"attn_mask"}
    words = CLIPTokenizer.from_pretrained(folder)
    made = cache.make(range(cache.HELD_OUT, cache.HELD_OUT + 64))["picture"]
    claims = [measure.scores.draw.scene(n) for n in range(cache.HELD_OUT, cache.HELD_OUT + 64)]
    texts = [measure.scores.draw.caption(*claims[i], cache.HELD_OUT + i).text for i in range(64)]
    tokens = words(texts, padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        image = clip.eval().encode_image(made.float() / 127.5 - 1, normalize=True)
        said = clip.encode_text(tokens, normalize=True)
    true = (image * said).sum(-1)
    other = (image * said.roll(1, 0)).sum(-1)
    assert float((true > other).float().mean()) > 0.9
