"""A card for each checkpoint of the zoo, from its manifest."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from workspace import DOCS, NOTE, ROOT

from compose_core.zoo.manifest import Manifest, load
from compose_zoo.recipes.painters import PLANS

MANIFESTS = ROOT / "zoo" / "src" / "compose_zoo" / "manifests"
ORDER = ("sd-tiny",)  # what people look for first
CAPTIONS = {
    "sd-tiny": "What it makes of captions that it never saw; seeds 0, 1, 2...",
    "judge-tiny": "A render, and what the judge reads in it.",
    "clip-tiny": "Pictures and captions; the fullest cell of a row is the caption chosen.",
    "controlnet-tiny-depth": "A depth map, and pictures that follow it.",
    "controlnet-tiny-keypoints": "Keypoints of solids, and pictures that follow them.",
    "controlnet-tiny-segments": "A segmentation, and pictures that follow it.",
    "cnc-tiny": "Depth in front, depth behind, and a picture that follows both.",
    "t2i-adapter-tiny": "A depth map, and pictures that follow it.",
    **dict.fromkeys(PLANS, "Semantics, and what is painted of all labels that it sees."),
}
"""What stands over the sample pictures; `pictures.py` draws them."""


def manifests() -> list[Manifest]:
    """All of them, the default model first."""
    found = [load(path) for path in sorted(MANIFESTS.glob("*.toml"))]
    return sorted(found, key=lambda m: (m.id not in ORDER, m.id))


def pages() -> dict[str, str]:
    """The cards and their index."""
    cards = manifests()
    found = {f"zoo/{card.id}.md": NOTE + "\n".join(_card(card)) for card in cards}
    return {"zoo/index.md": NOTE + _index(cards), **found}


def nav() -> list[object]:
    """The zoo's part of the navigation."""
    return ["zoo/index.md", *({card.id: f"zoo/{card.id}.md"} for card in manifests())]


def _index(cards: list[Manifest]) -> str:
    rows = [
        f"| [`{card.id}`]({card.id}.md) | {card.summary} | {_parameters(card)} "
        f"| {_size(card)} | {card.licence} |"
        for card in cards
    ]
    return (
        "# Zoo\n\nSmall trained checkpoints, so that everything runs without a network. They are "
        "real models in the real classes, only small: every code path is the one that a larger "
        "model takes, and a larger model takes their place by its name or folder "
        "([how](../how-to/own-weights.md)).\n\n"
        "| checkpoint | what it does | parameters | size | licence |\n|---|---|--:|--:|---|\n"
        + "\n".join(rows)
        + "\n\nEvery file that is shipped is pinned by its size and sha256 and checked before it "
        "is opened; all are safetensors or text. What is not shipped is made by its recipe, or is "
        "a full-size original that you bring; its hashes are recorded when it is first used. "
        "[Weights](../concepts/weights.md) says where all are looked for.\n"
        "\n```bash\ncompose zoo list\ncompose zoo verify\n```\n"
    )


def _parameters(card: Manifest) -> str:
    return f"{card.parameters:,}" if card.parameters else ""


def _size(card: Manifest) -> str:
    return f"{card.size / 1e6:.1f} MB" if card.pinned else "not shipped"


def _card(card: Manifest) -> Iterator[str]:
    yield f"# `{card.id}`\n\n{card.summary}.\n"
    yield from _samples(card.id)
    yield "## Facts\n\n| | |\n|---|---|"
    facts = {
        "parameters": f"{card.parameters:,}" if card.parameters else "",
        "size": f"{_size(card)} in {len(card.files)} files" if card.pinned else _size(card),
        "licence": card.licence,
        "licence of the base model": card.base_licence,
        "meant for": card.intended_use,
        "published at": f"{card.source.repo} at {card.source.revision}" if card.source else "",
        "made by": f"`{card.recipe}`" if card.recipe else "",
        "trained on": f"{card.training.data}; seed {card.training.seed}" if card.training else "",
        "cost": f"{card.budget.steps:,} steps, {card.budget.seconds:,.0f} s on "
        f"{card.budget.trained_on}"
        if card.budget
        else "",
    }
    yield "\n".join(f"| {name} | {value} |" for name, value in facts.items() if value) + "\n"
    if card.scores:
        yield "## Scores\n\nMeasured when it was published; a repetition by the same protocol lies"
        yield "within the tolerance.\n\n| score | value | tolerance | protocol |"
        yield "|---|--:|--:|---|"
        for score in card.scores:
            tolerance = f"± {score.tolerance:.3f}" if score.tolerance else ""
            yield f"| {score.name} | {score.value:.4f} | {tolerance} | {score.protocol} |"
    yield f"\n## Use it\n\n```bash\ncompose zoo show {card.id}\ncompose zoo verify {card.id}"
    yield (f"compose zoo train {card.id}\n" if card.recipe else "") + "```\n"
    yield '??? note "Files"\n\n    | file | bytes | sha256 |\n    |---|--:|---|'
    for file in card.files:
        size = f"{file.size:,}" if file.size is not None else "?"
        yield f"    | `{file.name}` | {size} | `{file.sha256[:16] or 'unpinned'}` |"
    yield "\n    The hash is cut here; `compose zoo show` prints all of it.\n"


def _samples(model_id: str) -> Iterator[str]:
    """The pictures that `pictures.py` left for this checkpoint, with the captions beside them."""
    folder = DOCS / "zoo" / "samples" / model_id
    captions = _captions(folder / "captions.txt")
    if not captions:
        return
    yield f'{CAPTIONS.get(model_id, "Samples.")}\n\n<div class="pictures">'
    for name, caption in captions.items():
        source = f"../samples/{model_id}/{name}"
        words = escape(caption)
        yield f'<figure><img src="{source}" alt="{words}" loading="lazy">'
        yield f"<figcaption>{words}</figcaption></figure>"
    yield "</div>\n"


def _captions(path: Path) -> dict[str, str]:
    """`file: caption` on each line."""
    if not path.is_file():
        return {}
    pairs = (line.partition(": ") for line in path.read_text("utf-8").splitlines())
    return {name: caption for name, _, caption in pairs}
