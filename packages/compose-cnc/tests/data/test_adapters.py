"""The real classes of diffusers and transformers, tiny and random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from compose_cnc.data import adapters
from compose_cnc.testing import EMBEDDING, tiny_encoder
from compose_core.errors import UsageError, WeightsError
from compose_core.testing.folders import tiny_stable_diffusion


@pytest.fixture(scope="module")
def inpainting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inpainting pipeline: nine channels in, as the published one."""
    import diffusers

    folder = tmp_path_factory.mktemp("inpainting")
    plain: Any = diffusers.StableDiffusionPipeline.from_pretrained(
        tiny_stable_diffusion(folder / "base"), safety_checker=None
    )
    config = {**plain.unet.config, "in_channels": 9}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = diffusers.UNet2DConditionModel.from_config(config)
    parts = {**plain.components, "unet": unet}
    pipeline: Any = diffusers.StableDiffusionInpaintPipeline(
        **parts, requires_safety_checker=False
    )
    pipeline.save_pretrained(folder / "pipeline")
    return folder / "pipeline"


@pytest.fixture(scope="module", params=["dpt", "depth-anything"])
def depth(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import transformers

    folder = tmp_path_factory.mktemp(request.param)
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if request.param == "dpt":
            config: Any = transformers.DPTConfig(
                **sizes,
                intermediate_size=32,
                image_size=32,
                patch_size=8,
                backbone_out_indices=[0, 1, 2, 3],
                neck_hidden_sizes=[8, 8, 8, 8],
                fusion_hidden_size=8,
            )
            model: Any = transformers.DPTForDepthEstimation(config)
        else:
            backbone = transformers.Dinov2Config(
                **sizes,
                image_size=28,
                patch_size=14,
                out_features=["stage1", "stage2", "stage3", "stage4"],
                reshape_hidden_states=False,
            )
            config = transformers.DepthAnythingConfig(
                backbone_config=backbone,
                patch_size=14,
                reassemble_hidden_size=16,
                neck_hidden_sizes=[8, 8, 8, 8],
                fusion_hidden_size=8,
                head_hidden_size=8,
            )
            model = transformers.DepthAnythingForDepthEstimation(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # transformers' own weights are so small that depth would be flat
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, weight[0].numel() ** -0.5, generator=generator)
    model.save_pretrained(folder)
    size = {"height": 56, "width": 56} if request.param != "dpt" else {"height": 32, "width": 32}
    processor: Any = transformers.DPTImageProcessor(size=size)
    processor.save_pretrained(folder)
    return folder


def test_inpainting_paints_from_each_own_generator(inpainting: Path):
    paint = adapters.DiffusersInpainter(inpainting, steps=2)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(2, 64, 64)
    masks[:, 16:48, 16:48] = 1
    seeds = [torch.Generator().manual_seed(i) for i in (5, 6)]
    both = paint(pictures, masks, seeds)
    assert both.shape == pictures.shape and both.min() >= 0 and both.max() <= 1
    alone = paint(pictures[1:], masks[1:], [torch.Generator().manual_seed(6)])
    assert torch.allclose(both[1:], alone, atol=1e-4)
    assert not torch.equal(both[0], both[1])


def test_inpainting_asks_what_the_paper_asks(inpainting: Path):
    options = adapters.DiffusersInpainter(inpainting).options
    assert options["prompt"] == "empty scenery, highly detailed, no people"
    assert (options["strength"], options["guidance_scale"], options["num_inference_steps"]) == (
        1.0,
        10.0,
        25,
    )


def test_depth_is_read_at_the_size_of_the_picture(depth: Path):
    pictures = torch.rand(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    estimate = adapters.TransformersDepth(depth)
    found = estimate(pictures)
    assert found.shape == (2, 56, 56) and bool(torch.isfinite(found).all())
    assert torch.allclose(found[1:], estimate(pictures[1:]), atol=1e-5)


def test_raw_pictures_are_not_prepared(depth: Path):
    side = 32 if "dpt" in depth.name else 56
    pictures = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    raw, prepared = (
        adapters.TransformersDepth(depth, preprocess=how)(pictures) for how in ("raw", "processor")
    )
    assert raw.shape == prepared.shape and not torch.allclose(raw, prepared)


def test_metric_depth_is_turned_around(depth: Path):
    estimate: Any = adapters.TransformersDepth(depth)
    pictures = torch.rand(1, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    far: Any = estimate._model.forward
    estimate._model.forward = lambda **given: _Answer(far(**given).predicted_depth.abs() + 0.5)
    plain = estimate(pictures)
    estimate._metric = True
    low, high = plain.flatten().argmin(), plain.flatten().argmax()
    turned = estimate(pictures).flatten()
    assert turned[low] > turned[high]


class _Answer:
    def __init__(self, depth: torch.Tensor) -> None:
        self.predicted_depth = depth


def test_embeddings_are_those_of_the_exemplar_encoder(tmp_path: Path):
    encoder = tiny_encoder()
    encoder.network.save_pretrained(tmp_path)  # type: ignore[operator]
    pictures = torch.rand(2, 3, 30, 20, generator=torch.Generator().manual_seed(0))
    loaded = adapters.load_exemplar_encoder(tmp_path)
    found = adapters.ClipEmbedding(loaded)(pictures)
    assert found.shape == (2, EMBEDDING)
    same = type(encoder)(encoder.network, loaded.preprocess)
    assert torch.equal(found, same.encode(pictures * 2 - 1))


@pytest.mark.parametrize("content", [None, "{}", "no json"])
def test_folders_that_hold_something_else(tmp_path: Path, content: str | None):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
        (tmp_path / "model_index.json").write_text(content)
    for load in (
        adapters.DiffusersInpainter,
        adapters.TransformersDepth,
        adapters.load_exemplar_encoder,
    ):
        with pytest.raises(WeightsError):
            load(tmp_path)
        with pytest.raises(WeightsError, match="missing"):
            load(tmp_path / "nothing")


def test_pickled_weights_are_not_opened(tmp_path: Path, depth: Path):
    for path in depth.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        adapters.TransformersDepth(tmp_path)


def test_a_folder_is_known_by_its_contents(tmp_path: Path):
    (tmp_path / "a.json").write_text("1")
    first = adapters.describe_folder(tmp_path)
    assert first == adapters.describe_folder(tmp_path) and first["name"] == tmp_path.name
    (tmp_path / "a.json").write_text("22")
    assert adapters.describe_folder(tmp_path) != first
    with pytest.raises(WeightsError):
        adapters.describe_folder(tmp_path / "nothing")


def test_a_salient_object_network_is_found_by_name():
    made = adapters.salient_object("functools:lru_cache")
    assert callable(made)
    for name in (
        "nowhere.at.all:f",
        "compose_cnc.data.adapters:nothing",
        "torch",
        "builtins:dict",
    ):
        with pytest.raises(UsageError, match="salient"):
            adapters.salient_object(name)
