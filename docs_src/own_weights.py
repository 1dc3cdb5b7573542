"""A model folder of one's own in the place of the embedded one."""
# ruff: noqa: E402 (imports stand where they are first needed)

# --8<-- [start:folder]
from compose_core import zoo
from compose_core.backbones import load_model

folder = zoo.resolve("sd-tiny")  # any folder of the Stable Diffusion layout
model = load_model(folder)
# --8<-- [end:folder]

# --8<-- [start:pipeline]
from compose_core import ComposePipeline

pipeline = ComposePipeline.from_pretrained(folder)
# --8<-- [end:pipeline]

# --8<-- [start:diffusers]
from diffusers import UNet2DConditionModel

unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet", use_safetensors=True)
pipeline = ComposePipeline.from_pretrained(folder, unet=unet)
# --8<-- [end:diffusers]

# --8<-- [start:pin]
from pathlib import Path

from compose_core.zoo.manifest import File, Manifest, describe

files = describe(folder)
manifest = Manifest(id="my-model", summary="what it does", licence="Apache-2.0", files=files)
assert manifest.pinned and isinstance(files[0], File) and Path(folder).is_dir()
# --8<-- [end:pin]
