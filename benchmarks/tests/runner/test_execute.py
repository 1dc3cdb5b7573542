"""Runs that are stopped, damaged or shared end in the same files."""

import os
import signal
import subprocess
import sys
import time

import pytest

from compose_benchmarks.runner import Share, make, prepare
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
    # Two steps; the place and two or three objects, each with its unconditional side.
    assert 2 * 2 * 2 <= cost.evaluations <= 2 * 2 * 4


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
    runs = [prepare(job(**c)) for c in ({}, {"n": 2}, {"steps": 3}, {"method": "plain"})]
    assert len({run.folder for run in runs}) == 4
    assert prepare(job()).folder == runs[0].folder


def test_the_first_items_are_the_same_for_every_n(job):
    few, many = prepare(job(n=2)), prepare(job(n=4))
    assert [i.to_json() for i in few.items] == [i.to_json() for i in many.items[:2]]


def test_what_will_be_made_is_written_down(made):
    text = (made.folder / "run.json").read_text()
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
def test_a_killed_run_goes_on(made, job, tmp_path):
    out = tmp_path / "killed"
    run = prepare(job(out=out))
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from compose_benchmarks.runner import Job, make, prepare\n"
        "run = prepare(Job(suite='regional-attributes', method='regional', model=sys.argv[1],\n"
        "                  n=3, steps=2, micro_batch=2, out=Path(sys.argv[2])))\n"
        "make(run, progress=lambda done, total: done and time.sleep(60))\n"
    )
    command = [sys.executable, "-c", code, str(run.job.model), str(out)]
    with subprocess.Popen(command) as process:
        for _ in range(1200):
            if path_of(run.folder, 1).exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
    assert path_of(run.folder, 0).exists() and not path_of(run.folder, 2).exists()
    old = ages(run)
    make(run)
    assert files(run) == files(made)
    assert ages(run)["00000.png"] == old["00000.png"]
