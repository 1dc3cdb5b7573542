"""Manifests: what is accepted, and that nothing else gets through."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compose_core.errors import ComposeError, WeightsError
from compose_core.zoo.manifest import File, describe, load, name_fault, parse, pin, render

HASH = "ab" * 32
GOOD = f"""
version = 1
id = "toy-model"
summary = "a checkpoint"
licence = "Apache-2.0"
base_licence = ""
parameters = 12
intended_use = "tests"
recipe = "x.recipes.toy_model"

[source]
repo = "owner/model"
revision = "{"0a" * 20}"

[training]
data = "numbers"
seed = 1

[budget]
trained_on = "a test"
steps = 3
seconds = 0.5

[[scores]]
name = "right"
value = 1
tolerance = 0.25
protocol = "p"

[[files]]
name = "unet/config.json"
size = 3
sha256 = "{HASH}"

[[files]]
name = "m.safetensors"
"""


def test_a_manifest_says_everything():
    manifest = parse(GOOD)
    assert manifest.files[0] == File(name="unet/config.json", size=3, sha256=HASH)
    assert not manifest.pinned and not manifest.files[1].pinned and manifest.files[0].pinned
    assert manifest.scores[0].value == 1.0 and manifest.budget.steps == 3
    with pytest.raises(ValueError, match="frozen"):
        manifest.id = "other"


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('revision = "' + "0a" * 20, 'revision = "main', "source.revision"),
        ('revision = "' + "0a" * 20, 'revision = "0a0a0a0', "source.revision"),
        ('revision = "' + "0a" * 20, 'revision = "' + "0A" * 20, "source.revision"),
        ('revision = "' + "0a" * 20, 'revision = "' + "0a" * 20 + "\\n", "source.revision"),
        ('repo = "owner/model"', 'repo = "../model"', "source.repo"),
        ('repo = "owner/model"', 'repo = "http://x/y"', "source.repo"),
        (HASH, HASH[:-1], "files.0.sha256"),
        (HASH, HASH.upper(), "files.0.sha256"),
        ("size = 3", "size = -3", "files.0.size"),
        ("size = 3", 'size = "3"', "files.0.size"),
        ("size = 3\n", "", "files.0"),
        ("m.safetensors", "m.bin", "files.1.name"),
        ("m.safetensors", "UNET/Config.json", "a whole"),
        ("m.safetensors", "unet/config.json/x.json", "a whole"),
        ('licence = "Apache-2.0"', 'licence = ""', "licence"),
        ("value = 1", "value = nan", "scores.0.value"),
        ("tolerance = 0.25", "tolerance = -1", "scores.0.tolerance"),
        ("version = 1", "version = 2", "version"),
        ('id = "toy-model"', 'id = "../toy"', "id"),
        ('id = "toy-model"', 'id = "Toy"', "id"),
        ("steps = 3", "steps = 3.5", "budget.steps"),
    ],
)
def test_a_wrong_value_is_refused_by_name(old, new, where):
    assert old in GOOD
    with pytest.raises(WeightsError, match=where):
        parse(GOOD.replace(old, new))


def test_an_unknown_key_is_told_its_nearest_neighbour():
    with pytest.raises(WeightsError, match="did you mean `licence`"):
        parse(GOOD.replace("licence =", "license ="))


ESCAPES = """
../x.json|a/../../x.json|/x.json|//x.json|a//x.json|./x.json|a/./x.json|a/|.|..|~/../x.json|
C:/x.json|C:x.json|a\\x.json|\\\\host\\x.json|..\\x.json|a/x.json\0|x .json/|a/x.json |
con.json|a/NUL.json|com1.json|aux|a./x.json|a /x.json| a/x.json|x.json.|x.json:stream|x?.json|
x*.json|x|x.bin|x.pt|x.ckpt|x.pkl|x.npy|x.py|x.so|x.h5|x.safetensors.pkl|x.json/..|..json/../../x|
ü.json|x\u202e.json|x\u2028.json|a\u2215x.json|a\tx.json|x.SAFETENSORS|x.json\x7f|"x.json|<x>.json
""".replace("\n", "", 1)


@pytest.mark.parametrize("name", [n.strip("\n") or "" for n in ESCAPES.split("|")] + ["x.json\n"])
def test_names_that_could_leave_the_folder_or_run_are_refused(name):
    assert name_fault(name)


@pytest.mark.parametrize("name", ["a.json", "a/b/c.safetensors", "merges.txt", "a..b.json"])
def test_ordinary_names_are_taken(name):
    assert name_fault(name) is None


def test_describe_and_render_make_a_manifest_that_holds(tmp_path):
    folder = tmp_path / "toy-model"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "a.json").write_text("{}")
    (folder / "b.safetensors").write_bytes(b"123")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.bin").write_bytes(b"")
    files = describe(folder)
    assert [f.name for f in files] == ["b.safetensors", "unet/a.json"]
    assert tomllib.loads(render(files))["files"] == [f.model_dump() for f in files]

    path = tmp_path / "toy-model.toml"
    path.write_text("# kept\n" + GOOD + '\n[[scores]]\nname = "last"\nvalue = 2\n')
    made = pin(path, folder)
    assert made == load(path) and made.files == files and made.pinned
    assert [score.name for score in made.scores] == ["right", "last"]
    assert path.read_text().startswith("# kept")
    again = path.read_text()
    pin(path, folder)
    assert path.read_text() == again


def test_describe_refuses_what_a_checkpoint_may_not_hold(tmp_path):
    with pytest.raises(WeightsError, match="nothing to describe"):
        describe(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match="model.bin"):
        describe(tmp_path)


def test_files_that_are_no_manifest(tmp_path):
    path = tmp_path / "toy-model.toml"
    for data in (b"\xff\xfe", b"x = ", b"a = " + b"[" * 100_000, b" " * (2 << 20)):
        path.write_bytes(data)
        with pytest.raises(WeightsError):
            load(path)
    with pytest.raises(WeightsError):
        load(tmp_path / "absent.toml")
    other = Path(tmp_path / "other.toml")
    other.write_text(GOOD)
    with pytest.raises(WeightsError, match="another id"):
        load(other)


LINES = [line for line in GOOD.splitlines() if line]
VALUES = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.text(max_size=20).map(repr),
    st.sampled_from(["[]", "{}", "true", "1979-05-27", "07:32:00", "inf", "nan", '""', "[[1]]"]),
    st.sampled_from(["9" * 5000, "1e999", '"\\ud800"', '"\\u0000"', "0x" + "f" * 99]),
)
KEYS = st.sampled_from([line.split(" =")[0] for line in LINES]) | st.text(max_size=8)
ADDED = st.builds("{} = {}".format, KEYS, VALUES) | st.sampled_from(LINES) | st.text(max_size=30)


@st.composite
def damaged(draw) -> str:
    """A good manifest of which some lines are changed, removed, added or swapped."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["value", "line", "remove", "insert", "cut"]))
        if kind == "value":
            lines[at] = f"{lines[at].split(' =')[0]} = {draw(VALUES)}"
        elif kind == "line":
            lines[at] = draw(ADDED)
        elif kind == "remove" and len(lines) > 1:
            del lines[at]
        elif kind == "insert":
            lines.insert(at, draw(ADDED))
        else:
            lines[at] = lines[at][: draw(st.integers(0, 20))]
    return "\n".join(lines)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged() | st.text(max_size=200))
def test_whatever_the_text_only_our_errors_come_out(text):
    try:
        manifest = parse(text)
    except ComposeError as error:
        assert len(str(error)) < 2000
    else:
        assert all(name_fault(file.name) is None for file in manifest.files)
