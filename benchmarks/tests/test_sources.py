"""Which changes of code give results another hash."""

import shutil
import sys

import pytest

from compose_benchmarks import sources
from compose_benchmarks.plain import PlainMethod
from compose_benchmarks.registry import find
from compose_core.errors import UsageError
from compose_core.method import find as find_method

METHOD = """
from compose_benchmarks.plain import PlainMethod
{extra}
class Mine(PlainMethod):
    name = "mine"
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module that can be imported; gives its path."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def make(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


def digest_of(name):
    from importlib import import_module

    sources.making.cache_clear()
    return sources.making(import_module(name).Mine)


def test_a_method_may_be_a_single_file(module):
    path = module("one_file_method.py", METHOD.format(extra=""))
    before = digest_of("one_file_method")
    path.write_text(path.read_text() + "# other\n")
    assert digest_of("one_file_method") != before


def test_packages_that_a_method_imports_count(module):
    module("compose_maths/__init__.py", "")
    deep = module("compose_maths/deep.py", "TWO = 2\n")
    module("compose_unused/__init__.py", "")
    unused = module("compose_unused/deep.py", "TWO = 2\n")
    module("my_method/__init__.py", METHOD.format(extra="def f():\n    import compose_maths"))
    before = digest_of("my_method")
    unused.write_text("TWO = 3\n")
    assert digest_of("my_method") == before
    deep.write_text("TWO = 3\n")
    assert digest_of("my_method") != before


def test_a_method_that_was_typed_in_is_refused(monkeypatch):
    typed = type("Typed", (PlainMethod,), {"__module__": "no_such_module_anywhere"})
    with pytest.raises(UsageError, match="source"):
        sources.making(typed)


def test_methods_of_one_package_share_their_hash_and_others_do_not():
    plain, regional = sources.making(PlainMethod), sources.making(find_method("regional"))
    assert plain == regional  # both are made by core and by the modules here


@pytest.mark.parametrize("changed", ["scorers.py", "promises.py", "judges.py", "suites/said.py"])
def test_what_decides_scores_is_hashed(changed, tmp_path, monkeypatch):
    suite = find("quality")
    sources.scoring.cache_clear()
    before, pictures = sources.scoring(suite), sources.making(PlainMethod)
    copy = tmp_path / "compose_benchmarks"
    shutil.copytree(sources._HERE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "_HERE", copy)
    sources.scoring.cache_clear()
    sources.making.cache_clear()
    assert sources.scoring(suite) == before
    (copy / changed).write_text((copy / changed).read_text() + "# other\n")
    sources.scoring.cache_clear()
    sources.making.cache_clear()
    assert sources.scoring(suite) != before and sources.making(PlainMethod) == pictures
    sources.scoring.cache_clear()


def test_renderer_labels_and_metrics_are_among_them():
    names = set(sources._followed({"compose_metrics", "compose_worlds"}))
    assert "compose_worlds/primitives/render.py" in names
    assert "compose_worlds/primitives/labels.py" in names
    assert "compose_metrics/distribution/fid.py" in names
    assert not any(name.startswith("compose_core/") for name in names)


def test_a_baseline_counts_with_what_it_imports_beside_it(tmp_path, monkeypatch):
    uni, control = find_method("uni-controlnet"), find_method("controlnet")
    assert sources._beside(PlainMethod.__module__) == ()
    assert sources._beside(control.__module__) == (
        "baselines/controlnet.py",
        "baselines/merged.py",
        "baselines/steered.py",
    )
    copy = tmp_path / "compose_benchmarks"
    shutil.copytree(sources._HERE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "_HERE", copy)
    sources.making.cache_clear()
    before = {one: sources.making(one) for one in (uni, control, PlainMethod)}
    path = copy / "baselines" / "uni_controlnet.py"
    path.write_text(path.read_text() + "# other\n")
    sources.making.cache_clear()
    after = {one: sources.making(one) for one in before}
    changed = [one for one in before if before[one] != after[one]]
    assert changed == [uni] and len(set(before.values())) == 3
    sources.making.cache_clear()


def test_how_scenes_are_written_and_invented_counts():
    ordering = find("cnc-ordering")
    assert sources.scoring(ordering)
    top = {str(one.__module__).partition(".")[0] for one in (ordering.write, ordering.invent)}
    assert top == {"compose_benchmarks"}


def test_suites_in_a_folder_of_their_own_count_for_themselves_alone(tmp_path, monkeypatch):
    copy = tmp_path / "compose_benchmarks"
    shutil.copytree(sources._HERE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(sources, "_HERE", copy)
    some = [find(name) for name in ("quality", "cgi-scene", "cgi-figure")]

    def now():
        sources.scoring.cache_clear()
        return [sources.scoring(suite) for suite in some]

    before = now()
    path = copy / "suites" / "cgi" / "layers.py"
    path.write_text(path.read_text() + "# other\n")
    assert [a == b for a, b in zip(before, now(), strict=True)] == [True, False, False]
    path = copy / "suites" / "said.py"
    path.write_text(path.read_text() + "# other\n")
    assert [a == b for a, b in zip(before, now(), strict=True)] == [False, False, False]
    sources.scoring.cache_clear()
