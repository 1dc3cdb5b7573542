"""Folders: what is damaged is refused with its name, and writing is all or nothing."""

import errno
import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from compose_core.errors import ComposeError, UsageError, WeightsError
from compose_dde import folder as writing
from compose_dde.folder import Expansion, Walk, load_expansion, save_expansion
from compose_dde.networks import Backbone, EDMNetwork
from compose_dde.pipeline import MapsPipeline, MusicPipeline, PositionsPipeline

KINDS = {"music": MusicPipeline, "positions": PositionsPipeline, "maps": MapsPipeline}
GONE = object()
NAN = float("nan")


def copied(source, target):
    shutil.copytree(source, target)
    return target


def changed(folder, *path, to):
    """Change one place of the index."""
    index = json.loads((folder / "dde.json").read_text())
    *way, last = path
    place = index
    for key in way:
        place = place[key]
    if to is GONE:
        del place[last]
    else:
        place[last] = to
    (folder / "dde.json").write_text(json.dumps(index))


DAMAGED = [
    ("music", ("base", "settings", "channels"), -8),
    ("music", ("base", "settings", "patch"), 0),
    ("music", ("base", "settings", "multipliers"), GONE),
    ("music", ("base", "network"), "unet7d"),
    ("music", ("base", "clamp"), "no"),
    ("music", ("base", "sigma_data"), "0.2"),
    ("positions", ("base", "settings", "head_dim"), 1000),
    ("music", ("coordinators",), []),
    ("music", ("coordinators", "local", "settings", "axes"), 2),
    ("music", ("coordinators", "local", "settings", "patch"), 5),
    ("music", ("coordinators", "rnn", "settings", "hidden"), 3),
    ("maps", ("coordinators", "full", "settings", "context"), 4),
    ("music", ("channels",), 3),
    ("music", ("channels",), "2"),
    ("music", ("window",), []),
    ("music", ("window",), [32, 32]),
    ("music", ("window",), [31]),
    ("music", ("window",), [2**40]),
    ("music", ("window",), 32),
    ("positions", ("window",), [8]),
    ("maps", ("window",), [8, 16]),
    ("music", ("stride",), ["a"]),
    ("music", ("stride",), [33]),
    ("music", ("stride",), [0]),
    ("maps", ("stride",), [4]),
    ("music", ("walk", "method"), "dpm"),
    ("music", ("walk", "steps"), "3"),
    ("music", ("walk", "steps"), 2.5),
    ("music", ("walk", "steps"), 0),
    ("music", ("walk", "churn"), NAN),
    ("music", ("walk", "sigma_max"), 10**400),
    ("music", ("walk", "sigma_max"), 1e-5),
    ("music", ("walk", "rho"), 0),
    ("music", ("walk", "more"), 0),
    ("music", ("facts",), []),
    ("music", ("facts", "sample_rate"), GONE),
    ("music", ("facts", "sample_rate"), 0),
    ("music", ("facts", "stems"), GONE),
    ("music", ("facts", "stems"), ["bass", "drums", "piano"]),
    ("music", ("facts", "stems"), ["bass", "bass"]),
    ("music", ("facts", "stems"), ["bass", "../drums"]),
    ("music", ("facts", "stems"), "bd"),
    ("music", ("facts", "gain"), 0),
    ("music", ("facts", "windows"), 0),
    ("music", ("facts", "grain"), "4"),
    ("music", ("facts", "strides"), 5),
    ("music", ("facts", "strides"), {"rnn": 32}),
    ("music", ("facts", "strides"), {"rnn": [33]}),
    ("positions", ("facts", "apart"), -0.1),
    ("maps", ("facts", "map_channels"), 4),
    ("music", ("subject",), "maps"),
    ("music", ("format",), 2),
]


@pytest.mark.parametrize(("subject", "path", "value"), DAMAGED)
def test_a_damaged_index_is_refused_with_its_name(subject, path, value, folders, tmp_path):
    folder = copied(folders[subject], tmp_path / "damaged")
    changed(folder, *path, to=value)
    with pytest.raises(WeightsError) as caught:
        load_expansion(folder)
    assert str(folder / "dde.json") in caught.value.got
    assert caught.value.expected


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, '{"format": 1}', "\x00"])
def test_what_is_no_index_is_refused(text, folders, tmp_path):
    folder = copied(folders["music"], tmp_path / "damaged")
    (folder / "dde.json").write_text(text)
    with pytest.raises(WeightsError, match="dde.json"):
        load_expansion(folder)


def places(value, way=()):
    """Every place of an index."""
    yield way
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*way, key))


def test_facts_that_nothing_knows_are_kept(folders, tmp_path):
    folder = copied(folders["music"], tmp_path / "more")
    changed(folder, "facts", "hall", to={"seconds": 2.5})
    changed(folder, "facts", "strides", to={"rnn": [32], "not made yet": [8]})
    made = load_expansion(folder)
    assert made.facts["hall"] == {"seconds": 2.5}
    assert MusicPipeline(made, coordinator="rnn").stride == (32,)
    used(made)


def used(made):
    """Make something small."""
    pipe = KINDS[made.subject](made, walk=replace(made.walk, steps=min(made.walk.steps, 2)))
    generator = torch.Generator().manual_seed(0)
    if isinstance(pipe, MusicPipeline):
        pipe(4.0, generator=generator)
        next(pipe.stream(4.0, generator=generator))
    elif isinstance(pipe, PositionsPipeline):
        pipe([(0.2, 0.2), (0.8, 0.8)], generator=generator)
    else:
        pipe(torch.zeros(3, 12, 16), generator=generator)


@pytest.mark.slow
@pytest.mark.parametrize("subject", KINDS)
@pytest.mark.parametrize("value", [None, -1, 0, 2.5, "3", [], {}, True], ids=repr)
def test_whatever_is_loaded_can_be_used(subject, value, folders, tmp_path):
    """One place of an index is wrong: it is refused there, or something can be made with it."""
    folder = copied(folders[subject], tmp_path / "damaged")
    whole = json.loads((folder / "dde.json").read_text())
    for way in places(whole):
        if way:
            (folder / "dde.json").write_text(json.dumps(whole))
            changed(folder, *way, to=value)
        else:
            (folder / "dde.json").write_text(json.dumps(value))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about layers of no size
            try:
                made = load_expansion(folder)
            except WeightsError:
                continue
        try:
            used(made)
        except ComposeError:
            pass
        except Exception as error:
            raise AssertionError(f"{way} = {value!r}") from error


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"steps": True},
        {"steps": 10**9},
        {"method": "dpm"},
        {"sigma_min": 0.0},
        {"sigma_min": 30.0},
        {"sigma_max": float("inf")},
        {"rho": 1e-300},
        {"churn": -1.0},
        {"w": NAN},
        {"clip": 0.0},
        {"clip": NAN},
        {"clip": True},
    ],
    ids=str,
)
def test_impossible_walks_are_refused(wrong):
    with pytest.raises(UsageError, match="walk"):
        Walk(**wrong)
    with pytest.raises(UsageError, match="walk"):
        replace(Walk(), **wrong)


@pytest.mark.parametrize(
    ("subject", "wrong", "word"),
    [
        ("music", {"facts": {"stems": ["bass", "drums"]}}, "sample_rate"),
        ("music", {"facts": {"sample_rate": 16}}, "stems"),
        ("music", {"window": (32, 32)}, "window"),
        ("music", {"stride": (40,)}, "stride"),
        ("maps", {"window": (8, 4), "stride": (4, 4)}, "window"),
        ("maps", {"facts": {"strides": {"full": (4,)}}}, "'full'"),
        ("positions", {"channels": 4}, "channels"),
        ("positions", {"subject": "words"}, "subject"),
    ],
)
def test_what_does_not_fit_together_is_refused(subject, wrong, word, folders):
    given = vars(load_expansion(folders[subject]))
    with pytest.raises(UsageError, match=word):
        Expansion(**{**given, **wrong})
    (one, *_) = given["coordinators"].values()
    for name in ("none", "", "../local", "a/b", ".hidden"):
        with pytest.raises(UsageError, match="this name"):
            Expansion(**{**given, "coordinators": {name: one}})


def tells(made, value):
    """The same, with every weight set to a number."""
    for module in (made.base, *made.coordinators.values()):
        for weight in module.parameters():
            weight.fill_(value)
    return made


def told(folder):
    """The numbers that are the weights of a folder; empty if it does not load."""
    try:
        made = load_expansion(folder)
    except WeightsError:
        return set()
    modules = (made.base, *made.coordinators.values())
    return {float(x) for one in modules for weight in one.parameters() for x in weight.unique()}


def stopping(patch, at, error):
    """Raise at one of the operations on files."""
    left = [at]

    def counted(operation):
        def called(*given, **options):
            left[0] -= 1
            if left[0] == 0:
                raise error
            return operation(*given, **options)

        return called

    patch.setattr(writing, "save_file", counted(writing.save_file))
    for name in ("replace", "unlink", "open"):
        patch.setattr(Path, name, counted(getattr(Path, name)))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space"), KeyboardInterrupt()])
def test_a_folder_is_replaced_as_a_whole_wherever_writing_stops(
    error, folders, tmp_path, monkeypatch
):
    made = load_expansion(folders["music"])
    seen = set()
    for at in range(1, 100):
        folder = save_expansion(tmp_path / str(at), tells(made, 1.0))
        (folder / "classifier.json").write_text("{}")
        before = {path.relative_to(folder) for path in folder.rglob("*")}
        try:
            with monkeypatch.context() as patch:
                stopping(patch, at, error)
                save_expansion(folder, tells(made, 2.0))
            stopped = False
        except (ComposeError, KeyboardInterrupt) as caught:
            stopped = True
            assert isinstance(caught, KeyboardInterrupt) or "no space" in caught.got
        found = told(folder)
        assert found in (set(), {1.0}, {2.0}), f"a mixture after operation {at}"
        after = {path.relative_to(folder) for path in folder.rglob("*")}
        assert after <= before and Path("classifier.json") in after
        seen.add(tuple(found))
        if not stopped and found == {2.0}:
            break
    assert seen == {(), (1.0,), (2.0,)}


def test_a_full_disk_leaves_the_old_folder(folders, tmp_path):
    resource = pytest.importorskip("resource")
    made = load_expansion(folders["music"])
    folder = save_expansion(tmp_path / "model", tells(made, 1.0))
    sizes = sorted(path.stat().st_size for path in folder.rglob("*.safetensors"))
    assert sizes[0] < sizes[-1]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[-1] - 1, limits[1]))
    try:
        with pytest.raises(ComposeError, match="cannot be written"):
            save_expansion(folder, tells(made, 2.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told(folder) == {1.0}


def test_no_folder_can_be_where_a_file_is(folders, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ComposeError, match="cannot be written"):
        save_expansion(tmp_path / "file", load_expansion(folders["music"]))


class Strange(Backbone):
    """A network that no index has a name for."""

    settings, grain = {}, 1

    def forward(self, x, noise, encoded):
        return x


@pytest.mark.parametrize(
    "wrong",
    [
        {"base": EDMNetwork(Strange())},
        {"facts": {"sample_rate": 16, "stems": ["a", "b"], "more": object()}},
        {"facts": {"sample_rate": 16, "stems": ["a", "b"], "more": NAN}},
    ],
    ids=["network", "object", "nan"],
)
def test_what_no_file_can_hold_is_not_begun(wrong, folders, tmp_path):
    made = Expansion(**{**vars(load_expansion(folders["music"])), **wrong})
    with pytest.raises(UsageError, match="saved"):
        save_expansion(tmp_path / "new", made)
    assert not (tmp_path / "new").exists()
