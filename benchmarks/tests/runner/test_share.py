"""Which process makes what."""

import pytest

from compose_benchmarks.runner.share import Share, groups
from compose_core.errors import UsageError


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_group_belongs_to_one_process(count):
    every = groups(21, 4)
    assert [i for group in every for i in group] == list(range(21))
    shares = [Share(rank, count).mine(every) for rank in range(count)]
    assert sorted((g for mine in shares for g in mine), key=lambda g: g.start) == every


def test_groups_are_fixed_by_item_numbers():
    assert groups(21, 4)[:5] == groups(20, 4)


def test_launchers_are_heard():
    assert Share.from_environment({}) == Share(0, 1, 0)
    told = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert Share.from_environment(told) == Share(3, 8, 1)
    assert Share.from_environment({"RANK": "1", "WORLD_SIZE": "2"}).local == 1
    for wrong in ({"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "x"}):
        with pytest.raises(UsageError):
            Share.from_environment(wrong)


def test_processes_spread_over_graphics_cards():
    assert Share(1, 2, 1).device("cuda") == "cuda:1"
    assert Share(0, 1, 0).device("cuda") == "cuda"
    assert Share(1, 2, 1).device("cpu") == "cpu"
