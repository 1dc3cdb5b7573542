"""The log of a run survives whatever happens to the run."""

import json
import sys
from pathlib import Path

import pytest
import torch

from compose_core.errors import UsageError
from compose_core.train.journal import Journal


def steps(folder):
    return [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]


def written(folder, *numbers, after=0, tensorboard=False):
    journal = Journal(folder, after=after, tensorboard=tensorboard)
    for number in numbers:
        journal.write(number, {"loss": 1 / number})
    journal.close()


def test_a_resumed_run_continues_the_log(tmp_path):
    written(tmp_path, 1, 2, 3)
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 4, "lo')  # killed while writing
    written(tmp_path, 3, 4, after=2)
    assert steps(tmp_path) == [1, 2, 3, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_run_that_is_stopped_while_it_resumes_keeps_the_log(tmp_path, monkeypatch):
    written(tmp_path, 1, 2, 3)

    def stop(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        written(tmp_path, after=2)
    assert steps(tmp_path) == [1, 2, 3]


def test_tensorboard_sees_numbers_and_pictures(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    journal = Journal(tmp_path, after=0, tensorboard=True)
    for step in (1, 2):
        journal.write(step, {"loss": 1 / step})
    journal.show(2, torch.zeros(3, 3, 4, 4))
    journal.close()
    seen = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in seen.Scalars("loss")] == [(1, 1.0), (2, 0.5)]
    (picture,) = seen.Images("pictures")
    assert (picture.step, picture.width, picture.height) == (2, 8, 8)


def test_tensorboard_that_is_not_installed_is_one_message(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(UsageError, match="pip install tensorboard"):
        Journal(tmp_path, after=0, tensorboard=True)
