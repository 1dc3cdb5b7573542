"""Suites of two layers: files say what is true of the scene, and travel with the picture."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from compose_benchmarks.facts import results_folder
from compose_benchmarks.items import digest, document, look
from compose_benchmarks.registry import contenders, find, suites
from compose_benchmarks.runner import make, prepare
from compose_benchmarks.runner.files import finished, path_of
from compose_core.conditions import Depth, Exemplar, Mask
from compose_core.run import load_record
from compose_core.run.execute import remake
from compose_core.scene import Assets
from compose_worlds.primitives.labels import relative_depth
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import stack

LAYERED = {
    "cnc-depth": {Depth},
    "cnc-semantics": {Exemplar},
    "cnc-both": {Depth, Exemplar},
    "cnc-canny": {Depth},
}
PUBLISHED = (
    "quality",
    "reconstruction",
    "regional-attributes",
    "regional-complex",
    "regional-depth",
    "regional-numeracy",
    "regional-spatial",
)
N = 4


@pytest.fixture(scope="module", params=LAYERED)
def some(request):
    suite = find(request.param)
    return suite, suite.items(N)


def values(item, layer, kind):
    return next((x.values for x in item.scene.conditions()[layer] if isinstance(x, kind)), None)


@pytest.mark.parametrize("name", PUBLISHED)
def test_items_of_published_results_are_as_they_were(name):
    kept = json.loads((results_folder() / name / "items.json").read_text())
    found = [one.to_json() for one in find(name).items(3)]
    assert json.loads(json.dumps(found)) == kept["items"][:3]


def test_suites_are_announced_and_start_apart():
    assert {*LAYERED, "cnc-ordering"} <= set(suites())
    starts = sorted({find(name).start for name in suites()})
    assert all(b - a >= 1_000_000 for a, b in zip(starts, starts[1:], strict=False))


def test_layered_items_are_the_same_every_time_and_for_every_n(some):
    suite, items = some
    again = suite.items(2)
    assert digest(again) == digest(items[:2])
    assert [dict(x.scene.assets) for x in again] == [dict(x.scene.assets) for x in items[:2]]


def test_layers_say_what_the_suite_is_about_and_nothing_else(some):
    suite, items = some
    for item in items:
        layers = [(layer.name, layer.z) for layer in item.scene.layers]
        assert layers[-1] == ("foreground", 1)
        assert layers[:-1] == [("background", 0)] or suite.name == "cnc-canny"
        for layer in item.scene.layers:
            found = {type(x) for x in item.scene.conditions()[layer.name]}
            assert found & {Depth, Exemplar} == LAYERED[suite.name]
            assert (Mask in found) == (layer.name == "foreground") and layer.prompt is None
        assert 0 < values(item, "foreground", Mask).mean() < 1
        assert item.scene.prompt == item.caption.text


def test_files_are_those_of_the_scene(some):
    suite, items = some
    for item in items:
        seen, mask = look(item.drawn), torch.tensor(values(item, "foreground", Mask)) > 0.5
        objects = seen.visible[0][:, mask].any(1)
        assert bool((seen.visible[0][objects].any(0) == mask).all()), "whole objects"
        if Exemplar in LAYERED[suite.name]:
            shown = picture(stack([item.drawn]), (64, 64))[0].permute(1, 2, 0).numpy()
            whole, behind = (values(item, x, Exemplar) for x in ("foreground", "background"))
            np.testing.assert_allclose(whole, shown, atol=0.003)
            inside = np.abs(whole - behind).max(2)[mask.numpy()]
            assert inside.mean() > 0.05
        if suite.name in ("cnc-depth", "cnc-both"):
            near, far = (values(item, x, Depth) for x in ("foreground", "background"))
            np.testing.assert_allclose(near, relative_depth(seen.inverse_depth)[0, 0], atol=1e-4)
            assert (near - far)[mask.numpy()].min() > -0.05
        if suite.name == "cnc-canny":
            assert set(np.unique(values(item, "foreground", Depth))) == {0, 1}


def test_a_background_without_edges_is_left_out():
    """It is not passed over: bare places would be missing from the suite."""
    found = find("cnc-canny").items(16)
    bare = [item for item in found if len(item.scene.layers) == 1]
    assert 0 < len(bare) < len(found)
    assert all(x.scene.layers[0].name == "foreground" for x in bare)
    assert found[-1].source - found[0].source < 2 * len(found)


def test_equal_documents_have_equal_files(some):
    _, items = some
    names = [dict(item.scene.assets) for item in items]
    together = {}
    for files in names:
        for name, data in files.items():
            assert together.setdefault(name, data) == data


def test_references_are_drawn_without_files(some, monkeypatch):
    suite, items = some
    bare = replace(suite, write=lambda number, source: 1 / 0)
    assert [x.setting for x in bare.scenes(1, suite.start)]


@pytest.mark.parametrize("name", ["cnc-both", "cnc-ordering"])
def test_files_travel_with_the_picture_and_make_it_again(name, job, tmp_path):
    run = prepare(job(suite=name, method="plain", n=2, micro_batch=1))
    make(run)
    for item in run.items:
        path = path_of(run.folder, item.number)
        record = load_record(path)
        assert document(record.scene) == document(item.scene)
        assert dict(record.scene.assets) == dict(item.scene.assets)
        assert finished(run.folder, run.spec, item)
    torch.set_num_threads(run.spec.threads)
    ((again, _),) = remake(record, path, out=tmp_path, warn=lambda line: None)
    with Image.open(again) as one, Image.open(path) as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))


def test_other_files_are_another_item(job):
    run = prepare(job(suite="cnc-both", method="plain", n=2))
    make(run)
    first, second = run.items
    layers = (second.scene.layers[0], *first.scene.layers[1:])
    assets = Assets({**first.scene.assets, **second.scene.assets})
    scene = first.scene.model_copy(update={"layers": layers}).with_assets(assets)
    assert not finished(run.folder, run.spec, replace(first, scene=scene))


def test_depth_methods_can_run_where_there_is_depth():
    for name in LAYERED:
        able, _ = contenders(find(name).items(1)[0].scene)
        assert ("controlnet" in able) == (Depth in LAYERED[name])
        assert {"plain", "uni-controlnet"} <= set(able)
