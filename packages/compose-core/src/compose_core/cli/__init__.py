"""The ``compose`` command.

Each subcommand is a module (or any object) with two functions, see `Command`. The ones in
`BUILT_IN` live here; other packages add theirs through the entry point group ``compose.commands``.
A subcommand is imported only when it is called, so ``compose --help`` stays fast.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, cast

from compose_core._version import __version__
from compose_core.errors import ComposeError, UsageError

COMMANDS = "compose.commands"
"""Entry point group of further subcommands; each names a `Command`."""

BUILT_IN = {
    "run": "turn a scene file into a picture, or make a picture again",
    "methods": "what each method understands",
    "doctor": "check versions, devices and checkpoints",
    "zoo": "list, check, fetch and train checkpoints",
    "bench": "run and compare benchmarks",
}
"""Names of the subcommands of this package, each a module of `compose_core.cli`."""

DONE, FAILED, INTERRUPTED = 0, 1, 130


class Command(Protocol):
    """A subcommand: declares its arguments, then runs. It raises `ComposeError` when it fails."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        ...

    def run(self, args: argparse.Namespace) -> int:
        """Do the work and return the exit code."""
        ...


def say(text: str) -> None:
    """A result: one line on standard output."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """A remark: one line on standard error, so that results can be piped."""
    sys.stderr.write(f"compose: {text}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted (128 and the number of
        SIGINT, as shells have it).
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(arguments)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in arguments:
            traceback.print_exc()
        message, code = _explain(error)
        note(message)
        return code


def _dispatch(arguments: list[str]) -> int:
    place = next((i for i, text in enumerate(arguments) if not text.startswith("-")), None)
    plugins = {entry.name: entry for entry in entry_points(group=COMMANDS)}
    options = _top(plugins).parse_args(arguments if place is None else arguments[:place])
    if place is None:
        _top(plugins).print_help()
        return DONE
    name = arguments[place]
    parser = argparse.ArgumentParser(
        prog=f"compose {name}", description=BUILT_IN.get(name), allow_abbrev=False
    )
    command = _find(name, plugins)
    command.configure(parser)
    parser.add_argument(
        "--debug", action="store_true", default=options.debug, help="show where an error arose"
    )
    return command.run(parser.parse_args(arguments[place + 1 :]))


def _top(plugins: dict[str, EntryPoint]) -> argparse.ArgumentParser:
    others = {name: f"from {_origin(entry)}" for name, entry in plugins.items()}
    lines = [f"  {name:<12} {text}" for name, text in {**others, **BUILT_IN}.items()]
    parser = argparse.ArgumentParser(
        prog="compose",
        usage="compose COMMAND ...",
        description="Compose pretrained diffusion models: one scene file, many methods.",
        epilog="commands:\n" + "\n".join(lines) + "\n\ncompose COMMAND --help tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"compose {__version__}")
    parser.add_argument("--debug", action="store_true", help="show where an error arose")
    return parser


def _origin(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.value


def _find(name: str, plugins: dict[str, EntryPoint]) -> Command:
    if name in plugins:  # first, so that a package can bring the real `bench`
        return cast(Command, plugins[name].load())
    if name in BUILT_IN:
        return cast(Command, import_module(f"compose_core.cli.{name}"))
    known = sorted({*plugins, *BUILT_IN})
    near = get_close_matches(name, known, 1)
    raise UsageError(
        f"there is no command {name!r}",
        expected=f"one of {', '.join(known)}",
        remedy=f"compose {near[0]} --help" if near else "compose --help",
    )


def _explain(error: BaseException) -> tuple[str, int]:
    """Message and exit code of anything that can end a command."""
    if isinstance(error, ComposeError):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; nothing unfinished was left behind", INTERRUPTED
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        cause = ComposeError(
            "not enough memory", got=error, remedy="a smaller canvas or --max-batch"
        )
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        cause = ComposeError("the disk is full", got=error, remedy="free some space")
    else:
        cause = ComposeError(
            "an unexpected error: this is a fault of the program, not of your input",
            got=f"{type(error).__name__}: {error}",
            remedy="run again with --debug and report what it shows",
        )
    return str(cause), FAILED
