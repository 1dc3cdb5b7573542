"""Pictures of studies: made once, kept, and the same whenever they are made."""

import json

import pytest

from compose_benchmarks.studies import walk
from compose_benchmarks.studies.study import Setting

SETTINGS = (Setting(), Setting(soft_guidance="off"), Setting(lambda_bg=0.5), Setting(swapped=True))


def never():
    raise AssertionError("nothing is missing")


@pytest.fixture
def made(sit):
    sitting = sit()

    def make(load=None):
        pipe = load or (lambda: walk.load(sitting.model, sitting.adapter, "cpu"))
        walk.make(sitting.folder, sitting.plan, pipe, sitting.pairs, SETTINGS)
        return sitting.folder

    make()
    return make, sitting.folder


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.png")}


def test_every_setting_gives_other_pictures(made):
    _, folder = made
    found = [walk.read(folder, one, 3) for one in SETTINGS]
    assert all(one.shape == (3, 3, 64, 64) for one in found)
    for i, one in enumerate(found):
        assert all(bool((one != other).any()) for other in found[i + 1 :])


def test_what_is_there_is_kept_and_no_model_is_loaded(made):
    make, folder = made
    before = files(folder)
    make(never)
    assert files(folder) == before


@pytest.mark.parametrize("spoil", ["remove", "cut", "note"])
def test_what_is_missing_or_damaged_is_made_again_alike(made, spoil):
    make, folder = made
    before = files(folder)
    path = folder / SETTINGS[1].id / "00001.png"
    if spoil == "remove":
        path.unlink()
    elif spoil == "cut":
        path.write_bytes(path.read_bytes()[:100])
    else:
        (path.parent / "00000.json").write_text("{")
    make()
    assert files(folder) == before
    note = json.loads((path.parent / "00000.json").read_text())
    assert note["items"] == 2


def test_more_pairs_keep_the_full_groups(made, sit):
    make, folder = made
    before = files(folder)
    longer = sit(n=4)
    assert longer.folder == folder
    pipe = lambda: walk.load(longer.model, longer.adapter, "cpu")  # noqa: E731
    walk.make(folder, longer.plan, pipe, longer.pairs, SETTINGS)
    after = files(folder)
    kept = [name for name in before if name.name in ("00000.png", "00001.png")]
    assert len(after) == 4 * len(SETTINGS) and all(after[k] == before[k] for k in kept)


def test_the_folder_tells_what_decides_pictures(sit):
    usual = sit()
    assert sit(n=1).folder == usual.folder
    for change in ({"steps": 2}, {"guidance": 2.0}, {"micro_batch": 1}, {"threads": 2}):
        assert sit(**change).folder != usual.folder
