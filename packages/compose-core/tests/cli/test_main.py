"""The command itself: help, exit codes, one message for each failure."""

import argparse
import errno
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import EntryPoint

import pytest

from compose_core import cli
from compose_core.errors import ComposeError, UsageError

COMPOSE = [sys.executable, "-c", "import sys; from compose_core.cli import main; sys.exit(main())"]


class Failing:
    """A subcommand that raises what it is told to."""

    def __init__(self, error):
        self.error = error

    def configure(self, parser):
        parser.add_argument("--level", type=int)

    def run(self, args):
        if self.error is not None:
            raise self.error
        return args.level


def use(monkeypatch, command):
    monkeypatch.setattr(cli, "_find", lambda name, plugins: command)


def test_help_lists_every_command_and_imports_no_torch():
    check = """
import sys
from compose_core.cli import main
try:
    main(["--help"])
finally:
    assert not {"torch", "pydantic", "numpy", "PIL"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in cli.BUILT_IN:
        assert name in done.stdout


def test_no_arguments_show_the_help(capsys):
    assert cli.main([]) == 0
    assert "commands:" in capsys.readouterr().out


def test_help_of_a_command_needs_no_torch(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["run", "--help"])
    assert caught.value.code == 0
    assert "--allow-outside" in capsys.readouterr().out


def test_an_unknown_command_names_the_nearest(capsys):
    assert cli.main(["dcotor"]) == 2
    assert "compose doctor --help" in capsys.readouterr().err


def test_bench_says_what_is_missing(capsys, monkeypatch):
    monkeypatch.setattr(cli, "entry_points", lambda group: ())
    assert cli.main(["bench", "list"]) == 2
    assert "not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ComposeError("no such thing", got="x", expected="y", remedy="z"), 1, "try: z"),
        (UsageError("wrong"), 2, "wrong"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "not enough memory"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "disk is full"),
        (RuntimeError("surprise"), 1, "RuntimeError: surprise"),
    ],
)
def test_every_failure_is_one_message_and_an_exit_code(monkeypatch, capsys, error, code, message):
    use(monkeypatch, Failing(error))
    assert cli.main(["fail"]) == code
    text = capsys.readouterr().err
    assert message in text and "Traceback" not in text


@pytest.mark.parametrize("arguments", [["--debug", "fail"], ["fail", "--debug"]])
def test_debug_shows_where(monkeypatch, capsys, arguments):
    use(monkeypatch, Failing(ComposeError("no such thing")))
    assert cli.main(arguments) == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_exit_code_of_a_command_is_passed_on(monkeypatch):
    use(monkeypatch, Failing(None))
    assert cli.main(["fail", "--level", "7"]) == 7


def test_a_plugin_comes_before_what_is_built_in(monkeypatch):
    entry = EntryPoint("bench", "test_plugin:command", cli.COMMANDS)
    monkeypatch.setattr(EntryPoint, "load", lambda self: Failing(None))
    monkeypatch.setattr(cli, "entry_points", lambda group: [entry])
    assert cli.main(["bench", "--level", "3"]) == 3


@pytest.mark.parametrize("name", cli.BUILT_IN)
def test_every_command_can_be_configured(name):
    parser = argparse.ArgumentParser()
    cli._find(name, {}).configure(parser)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_ends_cleanly(tmp_path):
    from compose_core.testing.folders import tiny_stable_diffusion

    model = tiny_stable_diffusion(tmp_path / "model")
    (tmp_path / "toys.toml").write_text(
        'version = 1\ncanvas = [64, 64]\nprompt = "toys"\n[[layers]]\nname = "a"\nprompt = "b"\n'
    )
    out = tmp_path / "out"
    out.mkdir()
    arguments = ["run", "toys.toml", "--model", str(model), "--steps", "900", "--out", str(out)]
    running = subprocess.Popen(
        [*COMPOSE, *arguments],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # A shell lets what it starts in the background ignore interrupts, and tests with it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    text = ""
    deadline = time.monotonic() + 400
    while "%" not in text and running.poll() is None and time.monotonic() < deadline:
        text += running.stderr.read(1)
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=60)
    assert running.returncode == 130, text + rest
    assert "interrupted" in rest and "Traceback" not in rest
    assert list(out.iterdir()) == []
