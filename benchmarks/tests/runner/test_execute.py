"""Runs that are stopped, damaged or shared end in the same files."""

import json
import random
import signal
import subprocess
import sys
from dataclasses import replace
from queue import SimpleQueue

import pytest

from compose_benchmarks.runner import Share, execute, make, prepare, several
from compose_benchmarks.runner import files as written
from compose_benchmarks.runner.execute import outcome, wait
from compose_benchmarks.runner.files import path_of, read
from compose_benchmarks.runner.several import make_in_processes
from compose_core.errors import ComposeError, SceneError, UsageError


def files(run):
    return {p.name: p.read_bytes() for p in sorted((run.folder / "items").iterdir())}


def ages(run):
    return {p.name: p.stat().st_mtime_ns for p in (run.folder / "items").iterdir()}


@pytest.fixture
def made(job):
    run = prepare(job())
    make(run)
    return run


def test_one_file_for_each_item_and_nothing_else(made):
    assert list(files(made)) == ["00000.png", "00001.png", "00002.png"]
    for item in made.items:
        assert read(made.folder, made.spec, item).shape == (3, 64, 64)
    assert made.missing() == []
    cost = outcome(made)
    assert cost.seconds > 0 and cost.peak_bytes > 0
    assert cost.timed == 3 and cost.seconds_per_item == cost.seconds / 3
    # Two steps; the place and two or three objects, each with its unconditional side.
    assert 2 * 2 * 2 <= cost.evaluations_per_item <= 2 * 2 * 4


def test_progress_is_told(job):
    told = []
    make(prepare(job()), progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (2, 3), (3, 3)]


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    middle = data.index(b"IDAT") + 20
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [cut, flip, lambda data: b"", lambda data: b"not a picture"])
def test_damaged_files_are_found_and_made_again(made, damage):
    before, old = files(made), ages(made)
    path = path_of(made.folder, 2)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SceneError):
        read(made.folder, made.spec, made.items[2])
    assert made.missing() == [range(2, 3)]
    make(made)
    assert files(made) == before
    new = ages(made)
    assert new["00000.png"] == old["00000.png"] and new["00002.png"] > old["00002.png"]


def test_a_file_of_another_item_does_not_count(made):
    one = path_of(made.folder, 1)
    one.write_bytes(path_of(made.folder, 0).read_bytes())
    with pytest.raises(SceneError, match="another item"):
        read(made.folder, made.spec, made.items[1])


def test_only_the_missing_is_made(made):
    before, old = files(made), ages(made)
    path_of(made.folder, 1).unlink()
    make(made)
    assert files(made) == before
    assert ages(made)["00000.png"] == old["00000.png"]  # same group, but whole already


@pytest.mark.parametrize("count", [2, 3])
def test_the_number_of_processes_does_not_matter(made, job, tmp_path, count):
    shared = prepare(job(out=tmp_path / "shared"))
    for rank in reversed(range(count)):
        make(shared, Share(rank, count))
    assert files(shared) == files(made)


def test_the_first_process_takes_over_what_others_left(job, made, tmp_path):
    run = prepare(job(out=tmp_path / "left"))
    make(run, Share(0, 2))
    assert run.missing()
    wait(run, patience=0.0)
    assert files(run) == files(made)


def test_settings_have_folders_of_their_own(job):
    changes = ({}, {"steps": 3}, {"method": "plain"}, {"micro_batch": 3}, {"max_batch": 1})
    runs = [prepare(job(**change)) for change in changes]
    assert len({run.folder for run in runs}) == len(changes)
    assert prepare(job()).folder == runs[0].folder


def test_a_longer_run_goes_on_where_a_shorter_one_ended(made, job):
    longer = prepare(job(n=5))
    assert longer.folder == made.folder and longer.items_sha256 != made.items_sha256
    # Items 2 and 3 belong into one batch, and item 2 was made alone.
    assert longer.missing() == [range(2, 4), range(4, 5)]
    old = ages(made)
    make(longer)
    new = ages(longer)
    assert [new[name] for name in ("00000.png", "00001.png")] == [
        old[name] for name in ("00000.png", "00001.png")
    ]
    assert new["00002.png"] > old["00002.png"]
    assert outcome(longer).timed == 5
    assert (made.folder / "run-3.json").exists() and (made.folder / "run-5.json").exists()


def test_what_was_asked_for_before_does_not_decide_the_files(made, job, tmp_path):
    before = files(made)
    make(prepare(job(n=5)))
    assert made.missing() == [range(2, 3)]  # it stands in a larger batch now
    make(made)
    assert {name: files(made)[name] for name in before} == before
    straight = prepare(job(n=5, out=tmp_path / "straight"))
    make(straight)
    make(prepare(job(n=5)))
    assert files(made) == files(straight)


class Killed(BaseException):
    """What no code may catch."""


def test_killed_before_any_write_a_run_ends_the_same(made, job, tmp_path, monkeypatch):
    real = execute.write_atomic
    writes = 3 + 2  # the files of three items and the notes of two groups
    longer = prepare(job(n=2, out=tmp_path / "killed"))  # so that notes may be of other sizes
    for stop in range(writes):
        make(longer)
        run = prepare(job(out=tmp_path / "killed"))
        path_of(run.folder, 1).unlink()
        left = [stop]

        def write(path, data, left=left):
            if not left[0]:
                raise Killed
            left[0] -= 1
            real(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(execute, "write_atomic", write)
            patch.setattr(written, "write_atomic", write)
            try:
                make(run)
            except Killed:
                assert run.missing()
        make(run)
        assert files(run) == files(made)
        assert outcome(run).timed == 3
        for path in (run.folder / "items").iterdir():
            path.unlink()
        for path in (run.folder / "cost").iterdir():
            path.unlink()


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"items": 2}'])
def test_a_group_without_its_note_is_made_again(made, content):
    before, note = files(made), made.folder / "cost" / "00000.json"
    note.unlink() if content is None else note.write_text(content)
    # What is left says nothing of the group that was not timed.
    (known,) = [json.loads(p.read_text()) for p in note.parent.glob("00002.json")]
    assert outcome(made).seconds_per_item == known["seconds"]
    assert outcome(made).evaluations_per_item == known["evaluations"]
    assert made.missing() == [range(2)]
    make(made)
    assert files(made) == before and outcome(made).timed == 3


def test_slow_groups_are_waited_for(made):
    assert execute.stalled_after(made) == execute.PATIENCE
    note = made.folder / "cost" / "00000.json"
    note.write_text(json.dumps(json.loads(note.read_text()) | {"seconds": 300.0}))
    assert execute.stalled_after(made) == 3000.0


def test_waiting_ends_with_the_notes_and_not_before(made, job):
    note = made.folder / "cost" / "00000.json"
    old = ages(made)["00000.png"]
    note.unlink()  # the files are there, but their process may still be writing
    wait(made, patience=0.0)
    assert note.exists() and ages(made)["00000.png"] > old


def test_the_first_items_are_the_same_for_every_n(job):
    few, many = prepare(job(n=2)), prepare(job(n=4))
    assert [i.to_json() for i in few.items] == [i.to_json() for i in many.items[:2]]


def test_what_will_be_made_is_written_down(made):
    text = (made.folder / "run-3.json").read_text()
    for word in ('"negative"', '"box"', '"seed"', made.items[0].scene.prompt):
        assert word in text


def test_unknown_names_and_senseless_numbers(job):
    with pytest.raises(UsageError, match="no suite") as caught:
        prepare(job(suite="regional-attribute"))
    assert "regional-attributes" in str(caught.value)
    with pytest.raises(UsageError, match="no method"):
        prepare(job(method="magic"))
    with pytest.raises(ComposeError):
        prepare(job(model="/no/such/folder"))
    for wrong in (
        {"n": 0},
        {"steps": 0},
        {"guidance": float("nan")},
        {"micro_batch": 0},
        {"max_batch": 0},
    ):
        with pytest.raises(UsageError):
            job(**wrong)


@pytest.mark.slow
def test_processes_started_here_write_the_same_files(made, job, tmp_path):
    run = prepare(job(out=tmp_path / "several"))
    make_in_processes(run, 2)
    assert files(run) == files(made)


@pytest.mark.slow
def test_a_run_killed_at_random_moments_goes_on(made, tmp_path):
    job = replace(made.job, out=tmp_path / "killed")
    run, dice = prepare(job), random.Random(0)
    code = (
        "import os, signal, sys, threading\n"
        "from pathlib import Path\n"
        "from compose_benchmarks.runner import Job, make, prepare\n"
        "run = prepare(Job(suite='regional-attributes', method='regional', model=sys.argv[1],\n"
        "                  n=3, steps=2, micro_batch=2, out=Path(sys.argv[2])))\n"
        "end = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "threading.Timer(float(sys.argv[3]), end).start()\n"
        "make(run)\n"
        "os._exit(0)\n"
    )
    whole = 2 * outcome(made).seconds + 0.2  # with loading
    ends, old = [], {}
    for _ in range(5):
        delay = dice.uniform(0.0, whole)
        command = [sys.executable, "-c", code, job.model, str(job.out), str(delay)]
        ends.append(subprocess.run(command, check=False).returncode)
        done = {i for group in run.groups() if group not in run.missing() for i in group}
        now = {i: path_of(run.folder, i).stat().st_mtime_ns for i in done}
        assert {i: now[i] for i in old} == old, "what is done stays and is not made again"
        old = now
    assert -signal.SIGKILL in ends
    make(run)
    assert files(run) == files(made)
    assert outcome(run).timed == 3


def test_a_process_whose_parent_is_gone_ends(job, monkeypatch):
    run = prepare(job())
    queue = SimpleQueue()

    class Parent:
        alive = False

        def is_alive(self):
            return self.alive

    monkeypatch.setattr(several.multiprocessing, "parent_process", Parent)
    with pytest.raises(SystemExit):
        several._work(run.job, 0, 1, queue)
    assert sum(map(len, run.missing())) == len(run.items)
    Parent.alive = True
    several._work(run.job, 0, 1, queue)
    assert not run.missing() and queue.empty()
