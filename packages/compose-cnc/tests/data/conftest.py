"""Small sources in the formats that the data sets have, and stand-ins for the networks."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from compose_cnc.data import Tools


def jpeg(seed: int, height: int = 40, width: int = 56) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).resize((width, height)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def labels(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """A thing (label 17) in the middle, stuff around it, unlabelled pixels at the border."""
    found = np.full((height, width), 120 + seed, np.uint8)
    found[10:30, 18:38] = 17
    found[:2] = 255
    return found


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """COCO-Stuff of four pictures, as its archives unpack: grayscale maps, five captions each."""
    root = tmp_path / "coco"
    for part in ("annotations", "val2017", "stuffthingmaps/val2017"):
        (root / part).mkdir(parents=True)
    images, annotations = [], []
    for i in range(4):
        name = f"{139 + i:012d}"
        (root / "val2017" / f"{name}.jpg").write_bytes(jpeg(i))
        Image.fromarray(labels(i)).save(root / "stuffthingmaps/val2017" / f"{name}.png")
        images.append({"id": 139 + i, "file_name": f"{name}.jpg", "height": 40, "width": 56})
        annotations += [
            {"image_id": 139 + i, "id": 1000 + 5 * i + j, "caption": f"picture {i}: caption {j}\n"}
            for j in range(5)
        ]
    body = {"info": {}, "licenses": [], "images": images, "annotations": annotations[::-1]}
    (root / "annotations" / "captions_val2017.json").write_text(json.dumps(body))
    return root


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Pick-a-Pic unpacked: a clear choice for each side, a tie, and a choice made twice."""
    root = tmp_path / "pick"
    (root / "images").mkdir(parents=True)
    rows = [
        ("a: b", "u0", "u1", 1.0, 0.0),
        ("c", "u2", "u3", 0.0, 1.0),
        ("d", "u4", "u5", 0.5, 0.5),
    ]
    rows += [("a: b", "u0", "u6", 1.0, 0.0), ("another", "u0", "u4", 1.0, 0.0)]
    keys = ("caption", "image_0_uid", "image_1_uid", "label_0", "label_1")
    lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
    (root / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    for i in range(7):
        (root / "images" / f"u{i}.jpg").write_bytes(jpeg(i))
    return root


class Paint:
    """Grey noise from each picture's own generator where the mask is."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.masks: list[Tensor] = []

    def __call__(
        self, pictures: Tensor, masks: Tensor, generators: Sequence[torch.Generator]
    ) -> Tensor:
        self.batches.append(len(pictures))
        self.masks.append(masks)
        noise = torch.stack([torch.rand(pictures.shape[1:], generator=g) for g in generators])
        return torch.where(masks[:, None] > 0, noise, 0.9 * pictures + 0.05)


def brightness(pictures: Tensor) -> Tensor:
    return 3 * pictures.mean(1) - 7


def moments(pictures: Tensor) -> Tensor:
    return torch.cat([pictures.mean((2, 3)), pictures.std((2, 3))], 1)


def salient(pictures: Tensor) -> Tensor:
    """The left half."""
    found = torch.zeros(len(pictures), *pictures.shape[2:])
    found[..., : pictures.shape[3] // 2] = 0.9
    return found


@pytest.fixture
def tools() -> Tools:
    return Tools(
        inpaint=Paint(), depth=brightness, encode=moments, salient=salient, described={"test": 1}
    )


@pytest.fixture
def picture_bytes() -> bytes:
    return jpeg(0)
