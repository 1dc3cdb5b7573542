"""Pictures beside the one that was asked for, where a suite looks at them."""

import pytest
import torch

from compose_benchmarks.gallery import collect
from compose_benchmarks.runner import make, prepare
from compose_benchmarks.runner.files import beside_of, path_of, read, read_beside
from compose_core.errors import SceneError, UsageError
from compose_core.run.record import is_beside


@pytest.fixture
def run(job):
    made = prepare(job(suite="cgi-scene", method="cgi", n=2))
    make(made)
    return made


def test_layers_are_kept_with_their_names(run):
    gallery = collect(run, eyes=None)
    for number, item in enumerate(run.items):
        assert run.beside(number) == 2
        found = read_beside(run.folder, run.spec, item, 2)
        assert list(found) == [layer.name for layer in item.scene.layers]
        assert all(torch.equal(found[k], gallery.beside[number][k]) for k in found)
        assert all(picture.shape == (3, 64, 64) for picture in found.values())
        assert is_beside(beside_of(run.folder, number, 0))
    (part,) = gallery.parts()
    assert [list(one) for one in part.beside] == [list(one) for one in gallery.beside]
    assert float(part.beside[0]["place"].max()) <= 1


def test_what_is_missing_beside_a_picture_is_made_again(run):
    assert run.missing() == []
    before = [beside_of(run.folder, 1, which).read_bytes() for which in (0, 1)]
    beside_of(run.folder, 1, 0).unlink()
    assert run.missing() == [range(0, 2)]
    with pytest.raises(SceneError):
        read_beside(run.folder, run.spec, run.items[1], 2)
    make(run)
    assert run.missing() == []
    assert before == [beside_of(run.folder, 1, which).read_bytes() for which in (0, 1)]


def test_a_picture_beside_another_is_not_taken_for_it(run):
    other = beside_of(run.folder, 0, 0).read_bytes()
    path_of(run.folder, 0).write_bytes(other)
    with pytest.raises(SceneError, match="another item or run"):
        read(run.folder, run.spec, run.items[0])


def test_methods_without_layers_and_suites_that_do_not_ask_keep_none(job):
    for suite, method in (("cgi-scene", "plain"), ("regional-attributes", "cgi")):
        run = prepare(job(suite=suite, method=method, n=1))
        make(run)
        assert run.beside(0) == 0 and len(list((run.folder / "items").iterdir())) == 1
        assert collect(run, eyes=None).beside == ({},)


def test_a_batch_has_as_many_beside_each():
    from compose_benchmarks.runner.generate import _one_count

    one = torch.zeros(3, 4, 4)
    assert _one_count([{"a": one}, {"b": one}]) == 1
    with pytest.raises(UsageError, match="as many pictures"):
        _one_count([{"a": one}, {}])
