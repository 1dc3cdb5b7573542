"""Random adapters that fit the toy model, and a scene in two layers with files."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from compose_core.backbones import load_model
from compose_core.scene import Assets, build


def png(values, mode=None):
    stream = io.BytesIO()
    Image.fromarray(values, mode).save(stream, "PNG")
    return stream.getvalue()


def grey(values):
    """16-bit bytes of values (H, W) in [0, 1]."""
    return png((np.asarray(values) * 65535).round().astype(np.uint16))


@pytest.fixture(scope="session")
def model(toy):
    return load_model(toy)


@pytest.fixture(scope="session")
def adapters(toy, model, tmp_path_factory):
    """Folders of adapters by the name of the method."""
    from diffusers import T2IAdapter

    from compose_cnc.testing import tiny_adapter
    from compose_core.testing.folders import tiny_controlnet

    here = tmp_path_factory.mktemp("adapters")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = T2IAdapter(
            in_channels=3,
            channels=[16, 32],
            num_res_blocks=1,
            downscale_factor=4,
            adapter_type="full_adapter",
        )
    made.save_pretrained(here / "t2i")
    control = tiny_controlnet(here / "control")
    cnc = tiny_adapter(here / "cnc", model.components["unet"])
    return {
        "controlnet": control,
        "controlnet-pasted": control,
        "t2i-adapter": here / "t2i",
        "uni-controlnet": cnc,
        "cnc-canny": cnc,
    }


@pytest.fixture(scope="session")
def maps():
    """Depth of a ground that comes nearer downwards, and of a box that is as near as the middle
    of it."""
    ground = np.linspace(0, 1, 64, dtype=np.float32)[:, None].repeat(64, 1)
    box = ground.copy()
    box[16:48, 16:48] = 0.5
    mask = np.zeros((64, 64), bool)
    mask[16:48, 16:48] = True
    return ground, box, mask


@pytest.fixture(scope="session")
def scene(maps):
    """Make the scene; `front` is added to the layer in front, `back` to the other."""
    ground, box, mask = maps
    red = np.zeros((8, 8, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    files = {
        "ground.png": grey(ground),
        "box.png": grey(box),
        "mask.png": png(mask.astype(np.uint8) * 255),
        "red.png": png(red),
        "blue.png": png(red[..., ::-1].copy()),
    }

    def make(front=None, back=None, **changes):
        usual_back = {"name": "ground", "z": 0.0, "depth": "ground.png"} | (back or {})
        usual_front = {"name": "box", "z": 1.0, "depth": "box.png", "mask": "mask.png"}
        layers = [usual_back, usual_front | (front or {})]
        kept = [{k: v for k, v in x.items() if v is not None} for x in layers]
        text = {"version": 1, "canvas": [64, 64], "prompt": "a box", "layers": kept}
        return build(text | changes).with_assets(Assets(files))

    return make
