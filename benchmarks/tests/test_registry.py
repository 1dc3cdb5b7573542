"""Suites are found by name, and only one package may own it."""

from importlib.metadata import EntryPoint

import pytest

from compose_benchmarks import registry
from compose_core.errors import ComposeError


def entry(name, value="compose_benchmarks.suites.quality:SUITE"):
    return EntryPoint(name, value, registry.GROUP)


@pytest.fixture
def installed(monkeypatch):
    found = []
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    return found


def test_the_same_suite_seen_twice_is_one(installed):
    installed += [entry("quality"), entry("another"), entry("quality")]
    assert list(registry.suites()) == ["another", "quality"]


def test_two_owners_of_a_suite_are_refused(installed):
    installed += [entry("quality", "a:B"), entry("quality", "c:D")]
    with pytest.raises(ComposeError, match="a suite called 'quality'") as caught:
        registry.suites()
    assert caught.value.got == "a:B and c:D" and caught.value.remedy == "uninstall one of them"


def test_rivals_of_one_suite_are_no_contenders_of_another():
    from compose_benchmarks.registry import find, usual

    panorama, layered = find("cgi-panorama"), find("cgi-scene")
    assert {"cgi", *panorama.rivals} <= set(usual(panorama)[0])
    able, unable = usual(layered)
    assert {"cgi", "plain", *layered.rivals} <= set(able)
    assert not {"diffcollage", "whole-alone"} & {*able, *unable}
    assert not set(panorama.rivals) & set(usual(find("quality"))[0])
