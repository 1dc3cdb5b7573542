"""Checkpoints by name: the sources in their order, and every byte checked."""

import json
import os
import random
import shutil
from pathlib import Path

import huggingface_hub
import pytest

from compose_core import zoo
from compose_core.errors import ComposeError, UsageError, WeightsError
from compose_core.zoo import digest as digests
from compose_core.zoo.verify import verify

MODEL = "unet/model.safetensors"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing but a test's own pretended Hub is ever asked."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *a, **k: None)


@pytest.fixture
def hub(shelf, monkeypatch):
    """A Hub that serves a folder; returns the folder and the list of calls."""
    remote, calls = shelf.fill(shelf.folder.parent / "remote"), []

    def download(repo, name, *, revision, local_dir):
        calls.append((repo, name, revision))
        target = Path(local_dir) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (Path(local_dir) / ".cache").mkdir(exist_ok=True)
        shutil.copy(remote / name, target)
        return str(target)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return remote, calls


def damage(path: Path, bit: int = 77) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


def test_a_packaged_checkpoint_is_found_and_verified(shelf):
    weights = shelf.add()
    assert "toy-model" in zoo.known()
    assert zoo.resolve("toy-model") == weights
    assert zoo.resolve("toy-model", MODEL) == weights / MODEL
    assert zoo.place("toy-model").kind == "packaged"
    assert {f.status for f in zoo.verify("toy-model")} == {"ok"}


def test_sources_are_tried_in_order(shelf, monkeypatch):
    packaged = shelf.add()
    local = shelf.fill(Path(os.environ["COMPOSE_HOME"]) / "zoo" / "toy-model")
    own = shelf.fill(shelf.folder.parent / "own")
    monkeypatch.setenv("COMPOSE_ZOO_TOY_MODEL", str(own))
    assert zoo.resolve("toy-model") == own
    monkeypatch.delenv("COMPOSE_ZOO_TOY_MODEL")
    assert zoo.resolve("toy-model") == local
    shutil.rmtree(local)
    assert zoo.resolve("toy-model") == packaged
    shutil.rmtree(packaged)
    with pytest.raises(WeightsError, match="not on this machine.*\n.*zoo train toy-model"):
        zoo.resolve("toy-model")


def test_the_cache_of_the_hub_is_the_last_source(shelf, monkeypatch):
    snapshot = shelf.add(packaged=False, hub=True)

    def cached(repo, name, revision):
        assert len(revision) == 40
        return str(snapshot / name)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert zoo.place("toy-model").kind == "hub"
    assert zoo.resolve("toy-model") == snapshot


@pytest.mark.parametrize("where", ["environment", "local", "packaged"])
def test_a_wrong_byte_is_refused_wherever_it_is(shelf, monkeypatch, where):
    weights = shelf.add()
    if where == "environment":
        weights = shelf.fill(shelf.folder.parent / "own")
        monkeypatch.setenv("COMPOSE_ZOO_TOY_MODEL", str(weights))
    if where == "local":
        weights = shelf.fill(Path(os.environ["COMPOSE_HOME"]) / "zoo" / "toy-model")
    zoo.resolve("toy-model")
    damage(weights / MODEL)
    with pytest.raises(WeightsError) as caught:
        zoo.resolve("toy-model")
    assert MODEL in str(caught.value)
    good = next(file for file in zoo.find("toy-model").files if file.name == MODEL)
    assert caught.value.expected == f"sha256 {good.sha256}"
    assert caught.value.got == f"sha256 {digests.digest(weights / MODEL)}"
    zoo.resolve("toy-model", "merges.txt")  # other files can still be asked for


@pytest.mark.parametrize(
    "name", ["unet/model.safetensors.index.json", "added_tokens.json", "vae/config.json"]
)
def test_a_file_that_is_not_listed_is_refused(shelf, name):
    weights = shelf.add()
    (weights / name).parent.mkdir(exist_ok=True)
    (weights / name).write_text("{}")
    with pytest.raises(WeightsError, match="is wrong") as caught:
        zoo.resolve("toy-model")
    assert caught.value.remedy == "remove it" and "does not list" in str(caught.value)
    (wrong,) = [f for f in zoo.verify("toy-model") if f.status == "wrong"]
    assert wrong.name == name.removesuffix("/config.json")
    assert zoo.resolve("toy-model", MODEL) == weights / MODEL  # one file: nothing else is loaded


def test_a_link_to_an_unlisted_folder_is_refused(shelf, tmp_path):
    weights = shelf.add()
    (weights / "vae").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(WeightsError, match="vae is wrong"):
        zoo.resolve("toy-model")


def test_what_no_loader_reads_may_lie_beside_a_checkpoint(shelf):
    weights = shelf.add()
    for name in (".gitattributes", "README.md", "LICENSE", "unet/.note"):
        (weights / name).write_text("text")
    (weights / ".git").mkdir()
    assert zoo.resolve("toy-model") == weights
    assert {f.status for f in zoo.verify("toy-model")} == {"ok"}


def test_every_flipped_bit_and_every_truncation_is_found(shelf):
    weights, manifest = shelf.add(), zoo.find("toy-model")
    generator = random.Random(0)
    for file in manifest.files:
        path = weights / file.name
        whole = path.read_bytes()
        for _ in range(256):
            damage(path, generator.randrange(len(whole) * 8))
            with pytest.raises(WeightsError, match="is wrong"):
                verify(manifest, weights, only=file.name, fresh=True)
            path.write_bytes(whole)
        for data in (whole[:-1], whole + b"\0", b""):
            path.write_bytes(data)
            with pytest.raises(WeightsError, match="is wrong"):
                verify(manifest, weights)
        path.unlink()
        with pytest.raises(WeightsError, match="is missing"):
            verify(manifest, weights)
        path.write_bytes(whole)
    verify(manifest, weights)


def test_hashes_are_computed_once_until_the_file_changes(shelf, monkeypatch):
    weights = shelf.add()
    read: list[str] = []
    whole = digests.digest
    monkeypatch.setattr(digests, "digest", lambda path: read.append(path.name) or whole(path))
    zoo.resolve("toy-model")
    assert len(read) == 3
    zoo.resolve("toy-model")
    assert len(read) == 3
    before = (weights / MODEL).stat()
    damage(weights / MODEL)
    os.utime(weights / MODEL, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsError):  # a modification time that was set back hides nothing
        zoo.resolve("toy-model")
    damage(weights / MODEL)  # flips the bit back
    for note in (Path(os.environ["COMPOSE_HOME"]) / "verified").iterdir():
        note.write_text("damaged")
    zoo.resolve("toy-model")


def test_a_home_that_cannot_be_written_is_no_obstacle(shelf, monkeypatch, tmp_path):
    weights = shelf.add()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COMPOSE_HOME", str(tmp_path / "file"))
    assert zoo.resolve("toy-model") == weights


def test_a_path_is_taken_as_it_is(shelf, tmp_path, monkeypatch):
    folder = shelf.fill(tmp_path / "mine")
    assert zoo.resolve(folder) == zoo.resolve(str(folder)) == folder
    assert zoo.resolve(folder, MODEL) == folder / MODEL
    monkeypatch.chdir(tmp_path)
    assert zoo.resolve("mine") == Path("mine")
    for bad in (tmp_path / "absent", str(tmp_path / "absent")):
        with pytest.raises(WeightsError, match="no such model folder"):
            zoo.resolve(bad)
    with pytest.raises(WeightsError, match="lacks a file"):
        zoo.resolve(folder, "absent.json")


def test_unknown_names(shelf, monkeypatch):
    shelf.add()
    with pytest.raises(UsageError, match="did you mean toy-model"):
        zoo.resolve("toy-modle")
    with pytest.raises(WeightsError, match="has no file"):
        zoo.resolve("toy-model", "../../etc/passwd")
    monkeypatch.setenv("COMPOSE_ZOO_TOY_MODEL", "/nowhere/at/all")
    with pytest.raises(WeightsError, match="COMPOSE_ZOO_TOY_MODEL"):
        zoo.resolve("toy-model")


def test_pull_fetches_checks_and_places_all_at_once(shelf, hub):
    shelf.add(packaged=False, hub=True)
    _, calls = hub
    with pytest.raises(WeightsError, match="zoo pull toy-model"):
        zoo.resolve("toy-model")
    folder = zoo.pull("toy-model")
    assert {(repo, len(revision)) for repo, _, revision in calls} == {("owner/model", 40)}
    assert zoo.resolve("toy-model") == folder
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]
    assert not (folder / ".cache").exists()
    count = len(calls)
    assert zoo.pull("toy-model") == folder and len(calls) == count
    damage(folder / MODEL)
    assert zoo.pull("toy-model") == folder  # fetched again over the damaged one
    assert {f.status for f in zoo.verify("toy-model")} == {"ok"}
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_a_fetch_of_wrong_bytes_leaves_nothing(shelf, hub):
    shelf.add(packaged=False, hub=True)
    damage(hub[0] / MODEL)
    with pytest.raises(WeightsError, match="is wrong"):
        zoo.pull("toy-model")
    assert list((Path(os.environ["COMPOSE_HOME"]) / "zoo").iterdir()) == []
    assert zoo.place("toy-model") is None


def test_a_fetch_that_fails_is_one_clear_error(shelf, hub):
    shelf.add(packaged=False, hub=True)
    (hub[0] / MODEL).unlink()
    with pytest.raises(ComposeError, match="could not be fetched"):
        zoo.pull("toy-model")
    assert zoo.place("toy-model") is None


def test_pull_records_unpinned_hashes_and_later_changes_are_refused(shelf, hub):
    shelf.add(packaged=False, pinned=False, hub=True)
    text = (shelf.folder / "manifests" / "toy-model.toml").read_text()
    folder = zoo.pull("toy-model")
    assert {f.status for f in zoo.verify("toy-model")} == {"recorded"}
    assert (shelf.folder / "manifests" / "toy-model.toml").read_text() == text
    zoo.resolve("toy-model")
    damage(folder / MODEL)
    with pytest.raises(WeightsError, match="is wrong"):
        zoo.resolve("toy-model")
    damage(hub[0] / MODEL)  # now the source has changed, too: not accepted in silence
    with pytest.raises(WeightsError, match="is wrong"):
        zoo.pull("toy-model")


def test_an_unpinned_packaged_file_is_recorded_in_the_users_folder(shelf):
    weights = shelf.add(pinned=False)
    assert {f.status for f in zoo.verify("toy-model")} == {"unpinned"}
    assert zoo.pull("toy-model") == weights
    assert {f.status for f in zoo.verify("toy-model")} == {"recorded"}
    note = Path(os.environ["COMPOSE_HOME"]) / "recorded" / "toy-model.json"
    assert len(json.loads(note.read_text())) == 3
    note.write_text("[]")
    with pytest.raises(WeightsError, match="recorded hashes"):
        zoo.resolve("toy-model")


def test_pull_without_a_source_says_what_to_do(shelf):
    shutil.rmtree(shelf.add())
    with pytest.raises(UsageError, match="no source of it is known"):
        zoo.pull("toy-model")
