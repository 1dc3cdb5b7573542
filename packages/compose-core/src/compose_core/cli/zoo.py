"""``compose zoo``: list, check, fetch and train checkpoints."""

from __future__ import annotations

import argparse
from pathlib import Path

from compose_core.cli import say
from compose_core.errors import ComposeError, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
        made.add_argument("--debug", action="store_true", default=argparse.SUPPRESS)
        return made

    action("list", "all known checkpoints, and where they are")
    action("show", "everything that is known about one").add_argument("id", metavar="ID")
    check = action("verify", "read every byte again and compare it with what was published")
    check.add_argument("id", metavar="ID", nargs="?", help="default: all that are here")
    fetch = action("pull", "fetch one, check it, and record the hashes of unpinned files")
    fetch.add_argument("id", metavar="ID")
    train = action("train", "train one again by its recipe, in runs/ID")
    train.add_argument("id", metavar="ID")
    train.add_argument("--device", metavar="D", help="cpu, cuda... (default: a GPU if any)")
    train.add_argument("--resume", action="store_true", help="continue the run in runs/ID")
    train.add_argument("--steps", metavar="N", type=int, help="fewer or more than the recipe's")


def run(args: argparse.Namespace) -> int:
    """Do what was asked; 1 if something that was listed or verified is not as it should be."""
    if args.action == "list":
        return _list()
    if args.action == "show":
        return _show(args.id)
    if args.action == "verify":
        return _verify(args.id)
    if args.action == "pull":
        return _pull(args.id)
    return _train(args.id, args.device, args.resume, args.steps)


def _list() -> int:
    from compose_core import zoo

    bad = 0
    for model_id in zoo.known():
        try:
            say(f"{model_id:<24} {_row(model_id)}")
        except ComposeError as error:
            bad += 1
            say(f"{model_id:<24} {'unusable':<12} {error}")
    return 1 if bad else 0


def _row(model_id: str) -> str:
    from compose_core import zoo

    manifest = zoo.find(model_id)
    where = zoo.place(model_id)
    here = where.kind if where else "absent"
    pins = "pinned" if manifest.pinned else "unpinned"
    size = f"{manifest.size / 1e6:.1f} MB" if manifest.size else "? MB"
    return f"{here:<12} {size:>10}  {pins:<9} {manifest.summary}"


def _show(model_id: str) -> int:
    from compose_core import zoo

    manifest = zoo.find(model_id)
    where = zoo.place(model_id)
    facts: dict[str, object] = {"id": model_id, "summary": manifest.summary}
    facts["here"] = f"{where.folder} ({where.kind})" if where else "no"
    facts["override"] = f"{zoo.variable(model_id)}=FOLDER"
    facts["licence"] = manifest.licence
    facts["base licence"] = manifest.base_licence
    facts["parameters"] = f"{manifest.parameters:,}" if manifest.parameters else ""
    facts["use"] = manifest.intended_use
    facts["recipe"] = manifest.recipe
    if manifest.source:
        facts["source"] = f"{manifest.source.repo} at {manifest.source.revision}"
    if manifest.training:
        facts["trained on"] = f"{manifest.training.data} (seed {manifest.training.seed})"
    if manifest.budget:
        cost = manifest.budget
        facts["budget"] = f"{cost.steps} steps, {cost.seconds:.0f} s on {cost.trained_on}"
    for name, value in facts.items():
        if value:
            say(f"{name + ':':<14} {value}")
    for score in manifest.scores:
        about = f"  ({score.protocol})" if score.protocol else ""
        say(f"score:         {score.name} {score.value:g} ± {score.tolerance:g}{about}")
    for file in manifest.files:
        size = "?" if file.size is None else str(file.size)
        say(f"file:          {file.sha256 or 'unpinned':<64} {size:>12} {file.name}")
    return 0


def _verify(model_id: str | None) -> int:
    from compose_core import zoo

    if model_id is not None:
        return 1 if _faults(model_id) else 0
    bad = 0
    for name in zoo.known():
        try:
            if zoo.place(name) is None:
                say(f"{name}: absent")
            else:
                bad += _faults(name)
        except ComposeError as error:
            bad += 1
            say(f"{name}: unusable  {error}")
    return 1 if bad else 0


def _faults(model_id: str) -> int:
    """Print what became of each file; returns how many are not as they should be."""
    from compose_core import zoo

    bad = 0
    for finding in zoo.verify(model_id):
        say(f"{model_id}: {finding.status:<9} {finding.name}")
        if finding.status in ("missing", "wrong"):
            bad += 1
            say(f"  got: {finding.got}\n  expected: {finding.expected}")
    return bad


def _pull(model_id: str) -> int:
    from compose_core import zoo

    say(str(zoo.pull(model_id)))
    for finding in zoo.verify(model_id):
        if finding.status == "recorded":
            say(f"recorded {finding.got}  {finding.name}")
    return 0


def _train(model_id: str, device: str | None, resume: bool, steps: int | None) -> int:
    from compose_core import zoo

    recipe = zoo.find_recipe(model_id)
    if not callable(getattr(recipe, "train", None)):
        raise ComposeError(f"{recipe.__name__} cannot train: it has no function `train`.")
    folder = Path("runs") / model_id
    recipe.train(folder, _device(device), resume, steps)
    say(str(folder))
    return 0


def _device(wanted: str | None) -> str:
    """The device to train on: the wanted one if it is here, else a GPU if there is one."""
    import torch

    gpus = torch.cuda.device_count()
    if wanted is None:
        return "cuda" if gpus else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        known = "cpu, cuda, cuda:1, mps"
        raise UsageError("There is no such device.", got=wanted, expected=known) from error
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise UsageError("There is no such device.", got=wanted, expected=f"{gpus} GPUs are here")
    return wanted
