"""Whatever is thrown at the scene parser, only a `ComposeError` comes out."""

import copy
import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compose_core.errors import ComposeError
from compose_core.scene import Scene, build, parse_scene

CASES = settings(
    max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)

TEXT = """version = 1
canvas = [64, 64]
prompt = "toys on grass"
seed = 7
wrap = true
[camera]
pitch = 10.0
[[layers]]
name = "ball"
prompt = "a red sphere"
box = [0.08, 0.35, 0.50, 0.90]
z = 1.0
mask = "ball.png"
[[layers]]
name = "solid"
proxy = { shape = "sphere", position = [-0.6, 0.5, 4.0], size = 0.5, color = "red" }
"""
GOOD = {
    "version": 1,
    "canvas": [64, 64],
    "prompt": "toys on grass",
    "negative": "",
    "seed": 7,
    "wrap": False,
    "camera": {"height": 1.2, "pitch": 10.0, "fov": 50.0},
    "layers": [
        {"name": "a", "prompt": "a red sphere", "box": [0.1, 0.2, 0.5, 0.9], "z": 1.0},
        {"name": "b", "weight": 2, "proxy": {"shape": "cube", "position": [0, 0.5, 4]}},
    ],
}
KEYS = sorted({*GOOD, *GOOD["camera"], *GOOD["layers"][0], "proxy", "mask", "", "\ud800", "\0"})

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["\ud800", "\0", "..", "/", "~", "C:\\x", "a" * 300, b"x", object()])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), inner, max_size=5)
    ),
    max_leaves=12,
)


def places(data, path=()):
    """Every path into nested lists and tables."""
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))
        else:
            yield (*path, key)


PLACES = [path for path in places(GOOD) if path]


def changed(path, action, key, value):
    data = copy.deepcopy(GOOD)
    home = data
    for step in path[:-1]:
        home = home[step]
    if action == "replace":
        home[path[-1]] = value
    elif action == "remove":
        del home[path[-1]]
    elif isinstance(home, dict):
        home[key] = value
    else:
        home.append(value)
    return data


def only_compose_errors(work):
    try:
        assert isinstance(work(), Scene)
    except ComposeError as error:
        str(error).encode("utf-8", "backslashreplace")


@CASES
@given(
    st.sampled_from(PLACES),
    st.sampled_from(["replace", "remove", "add"]),
    st.sampled_from(KEYS) | st.text(max_size=8),
    values,
)
def test_structured_mutations(path, action, key, value):
    only_compose_errors(lambda: build(changed(path, action, key, value)))


@settings(CASES, max_examples=500)
@given(
    st.sampled_from(["toml", "json"]),
    st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=4)), min_size=1, max_size=4),
)
def test_bytes_of_a_good_file_replaced(tmp_path_factory, fmt, edits):
    text = TEXT.encode() if fmt == "toml" else json.dumps(GOOD).encode()
    for place, data in edits:
        place %= len(text)
        text = text[:place] + data + text[place + len(data) // 2 :]
    only_compose_errors(lambda: parse_scene(text, fmt, "/nonexistent"))


@settings(CASES, max_examples=300)
@given(st.sampled_from(["toml", "json"]), st.binary(max_size=200) | st.text(max_size=200))
def test_garbage(fmt, text):
    only_compose_errors(lambda: parse_scene(text, fmt, "/nonexistent"))


@settings(CASES, max_examples=300)
@given(values)
def test_any_json(value):
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return
    only_compose_errors(lambda: parse_scene(text, "json", "/nonexistent"))
