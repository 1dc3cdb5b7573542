"""The judge against a person: 64 generated pictures and what a person saw in them.

``hand_checked/pictures.png`` holds the pictures as `sd-tiny` drew them, eight by eight, and
``hand_checked/labels.json`` for each its caption and the objects seen, written down before the
judge's reading was compared. An object that a person cannot name is noted as "?".
"""

from __future__ import annotations

import json
from collections import Counter
from importlib.resources import files

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from compose_worlds.judge import JudgeNet, read
from compose_zoo.recipes.scores import Share

SIDE, COLUMNS = 64, 8
UNCLEAR = "?"


def sheet(pictures: Tensor) -> Image.Image:
    """Pictures (64, 3, 64, 64) in [-1, 1] as one picture, row by row."""
    levels = ((pictures + 1) * 127.5).round().to(torch.uint8)
    cells = levels.view(-1, COLUMNS, 3, SIDE, SIDE).permute(0, 3, 1, 4, 2)
    return Image.fromarray(cells.reshape(-1, COLUMNS * SIDE, 3).numpy())


def load() -> tuple[Tensor, list[list[str]]]:
    """The pictures (64, 3, 64, 64) in [-1, 1], and the objects seen in each: "red cube"."""
    folder = files("compose_zoo") / "recipes" / "hand_checked"
    with (folder / "pictures.png").open("rb") as file:
        levels = torch.from_numpy(np.array(Image.open(file).convert("RGB")))
    cells = levels.view(-1, SIDE, COLUMNS, SIDE, 3).permute(0, 2, 4, 1, 3)
    rows = json.loads((folder / "labels.json").read_text("utf-8"))["pictures"]
    return cells.reshape(-1, 3, SIDE, SIDE).float() / 127.5 - 1, [row["seen"] for row in rows]


def agreement(seen: list[list[str]], found: list[list[str]]) -> dict[str, Share]:
    """How far a judge's objects agree with a person's.

    "object": a clear object of the person's is among the judge's; "claim": an object of the
    judge's is among the person's; "picture": exactly the same objects. Pictures with an unclear
    object count for "object" only.
    """
    hits = {"object": 0, "claim": 0, "picture": 0}
    totals = dict.fromkeys(hits, 0)
    for person, judge in zip(seen, found, strict=True):
        clear = Counter(name for name in person if name != UNCLEAR)
        claimed = Counter(judge)
        common = (clear & claimed).total()
        hits["object"] += common
        totals["object"] += clear.total()
        if UNCLEAR not in person:
            hits["claim"] += common
            totals["claim"] += claimed.total()
            hits["picture"] += clear == claimed
            totals["picture"] += 1
    return {name: Share(hits[name], totals[name]) for name in hits}


def judge_by_hand(network: JudgeNet) -> dict[str, Share]:
    """The judge's agreement with the person on the 64 pictures."""
    pictures, seen = load()
    found = [[f"{o.color} {o.shape}" for o in objects] for objects in read(network, pictures)]
    return agreement(seen, found)
