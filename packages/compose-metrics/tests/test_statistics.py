import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from compose_core.errors import ComposeError, UsageError
from compose_metrics import FID, KID, FeatureMetrics, Header, Source, Statistics, manifest


@pytest.fixture
def known(toy, reference):
    return Statistics.of(toy, reference.split(64), manifest({"a.png": "11", "b.png": "22"}))


def test_a_file_comes_back_and_gives_the_same_values(tmp_path, toy, known, generated, reference):
    path = known.save(tmp_path)
    assert path.name == f"{known.header.address}.safetensors"
    again = Statistics.find(tmp_path, known.header)
    plain, through = (
        FeatureMetrics(FID(toy), KID(toy)),
        FeatureMetrics(*(metric(toy, again) for metric in (FID, KID))),
    )
    plain.update(generated, reference)
    through.update(generated)
    for name, result in plain.compute().items():
        assert through.compute()[name].value == pytest.approx(result.value, abs=1e-12)
        assert through.compute()[name].params["reference"] == known.header.address


def test_moments_alone_serve_the_frechet_distance_only(toy, reference, generated):
    lean = Statistics.of(toy, reference.split(40), manifest(["a"]), rows=False)
    full = Statistics.of(toy, [reference], manifest(["a"]))
    assert lean.rows is None and lean.header.address != full.header.address
    values = []
    for known in (lean, full):
        metric = FID(toy, known)
        metric.update(generated)
        values.append(metric.compute().value)
    assert values[0] == pytest.approx(values[1], abs=1e-9)
    metric = KID(toy, lean)
    metric.update(generated)
    with pytest.raises(ComposeError, match="rows=True"):
        metric.compute()


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "0" * 64},
        {"transform": "bilinear to 299"},
        {"n": 149},
        {"dataset": manifest(["another"])},
        {"dtype": "float16"},
        {"rows": False},
        {"extractor": "other"},
    ],
)
def test_everything_that_matters_changes_the_address_and_is_named(tmp_path, known, change):
    wanted = Header(**{**vars(known.header), **change})
    assert wanted.address != known.header.address
    path = known.save(tmp_path)
    (name,) = change
    with pytest.raises(UsageError, match=f"got: {name} "):
        Statistics.find(tmp_path, wanted)
    with pytest.raises(UsageError, match=f"expected: {name} {change[name]}"):
        Statistics.read(path, wanted)


def test_statistics_of_other_weights_never_hit(toy, other_toy, known):
    assert other_toy.source.id == toy.source.id
    with pytest.raises(UsageError, match="of another network[^$]*sha256"):
        FID(other_toy, known)


@pytest.mark.parametrize("sha", ["", "11", "x" * 64, "A" * 64])
def test_hashes_that_tell_nothing_apart_are_refused(toy, reference, known, sha):
    # Two networks without a hash would find each other's statistics.
    with pytest.raises(UsageError, match="sha256 of the network"):
        Header(**{**vars(known.header), "sha256": sha})
    with pytest.raises(UsageError, match="sha256 of the data set"):
        Statistics.of(toy, [reference], sha)
    toy.source = Source("toy", sha, False)
    with pytest.raises(UsageError, match="sha256 of toy"):
        Statistics.of(toy, [reference], manifest(["a"]))


def test_foreign_files_in_the_folder_are_passed_over(tmp_path, known):
    save_file({"mu": torch.zeros(3)}, tmp_path / "weights.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"no safetensors at all")
    wanted = Header(**{**vars(known.header), "n": 149})
    with pytest.raises(UsageError, match="there are no reference statistics"):
        Statistics.find(tmp_path, wanted)
    known.save(tmp_path)
    with pytest.raises(UsageError, match="got: n 150"):
        Statistics.find(tmp_path, wanted)


def test_only_headers_are_read_to_name_what_differs(tmp_path, known, monkeypatch):
    class Opened:
        def __init__(self, path, framework):
            self.file = safe_open(path, framework=framework)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def metadata(self):
            return self.file.metadata()

    known.save(tmp_path)
    monkeypatch.setattr("compose_metrics.statistics.safe_open", Opened)
    with pytest.raises(UsageError, match="got: n 150"):
        Statistics.find(tmp_path, Header(**{**vars(known.header), "n": 149}))


def test_an_empty_folder_says_what_to_do(tmp_path, known):
    with pytest.raises(UsageError, match=known.header.address):
        Statistics.find(tmp_path, known.header)


def test_a_renamed_file_is_refused(tmp_path, known):
    path = known.save(tmp_path)
    moved = path.rename(tmp_path / "coco.safetensors")
    with pytest.raises(ComposeError, match="changed after"):
        Statistics.read(moved)


def test_changed_numbers_are_refused(tmp_path, known):
    path = known.save(tmp_path)
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    tensors = load_file(path)
    tensors["mean"][0] += 1e-6
    save_file(tensors, path, about)
    with pytest.raises(ComposeError, match="changed after"):
        Statistics.read(path)


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", b"\x80\x04."])
def test_damaged_files_are_explained(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ComposeError, match="cannot be read"):
        Statistics.read(path)


def test_a_foreign_file_is_explained(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"mu": torch.zeros(3)}, path)
    with pytest.raises(ComposeError, match="cannot be read"):
        Statistics.read(path)
    with pytest.raises(ComposeError, match="cannot be read"):
        Statistics.read(tmp_path / "missing.safetensors")


def test_an_interrupted_write_leaves_nothing(tmp_path, known, monkeypatch):
    def fail(self, target):
        raise OSError("the disk is full")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(OSError, match="full"):
        known.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_does_not_depend_on_the_order_of_files():
    assert manifest({"a": "1", "b": "2"}) == manifest({"b": "2", "a": "1"})
    assert manifest({"a": "1", "b": "2"}) != manifest({"a": "2", "b": "1"})
    assert manifest(["7", "8"]) != manifest(["8", "7"])


def test_no_pictures_no_statistics(toy):
    with pytest.raises(ComposeError, match="without pictures"):
        Statistics.of(toy, [], manifest(["a"]))
