"""What becomes of results in a record, and what is written where."""

import json

import pytest
import torch

from compose_benchmarks import board, measure, record, table
from compose_benchmarks.gallery import Gallery
from compose_benchmarks.runner import make, prepare
from compose_core.errors import ComposeError
from compose_metrics.result import Result


@pytest.fixture
def scored():
    """A result of two pictures."""

    def made(value=0.5, **changes):
        usual = {"metric": "score", "version": 1, "value": value, "n": 2}
        usual |= {"higher_is_better": True, "unit": ""}
        return Result(**(usual | changes))

    return made


def test_numbers_that_are_not_finite(scored):
    assert measure.measured(scored(parts={"depth": float("inf")})).parts == {"depth": "inf"}
    with pytest.raises(ComposeError, match="no finite value"):
        measure.measured(scored(float("inf")))
    with pytest.raises(ComposeError, match="no finite value"):
        values = torch.tensor([0.0, float("nan")])
        measure.measured(scored(per_sample=values, keys=torch.arange(2)))


@pytest.fixture
def made(job):
    """A toy run, its gallery and a record of it, scored by hand."""
    run = prepare(job())
    make(run)
    pictures = torch.zeros(3, 3, 64, 64, dtype=torch.uint8)
    gallery = Gallery(suite=run.suite, items=run.items, pictures=pictures, eyes=None)
    values = torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64)
    result = Result(
        metric="score",
        version=1,
        value=0.5,
        n=3,
        higher_is_better=True,
        unit="",
        per_sample=values,
        keys=torch.arange(3),
    )
    described = measure.describe(run, gallery, [result], command="compose", quick=False)
    return run, gallery, described


def test_a_record_says_what_it_cost_and_which_code_scored(made):
    _, _, one = made
    cost = one.cost
    assert cost.timed == 3 and cost.seconds_per_item == cost.seconds / 3
    assert cost.items_per_second == pytest.approx(1 / cost.seconds_per_item)
    assert one.code.scoring_sha256 != one.code.sources_sha256
    assert {"compose-metrics", "compose-core", "torchvision"} <= set(one.env.packages)
    assert one.sampler.max_batch == 64


def test_the_record_is_published_last(made, tmp_path, monkeypatch):
    run, gallery, one = made

    def killed(*_):
        raise KeyboardInterrupt

    results = tmp_path / "results"
    path = measure.publish(results, run, gallery, one)
    found, _ = board.read_results(results)
    assert found[run.suite.name] == [one]
    assert "n = 3" in table.render(board.boards(found[run.suite.name]), "md")
    # A later run of other items is killed before its record: what stands there is noticed.
    longer = prepare(run.job.__class__(**{**vars(run.job), "n": 4}))
    monkeypatch.setattr(record, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        measure.publish(results, longer, gallery, one)
    assert json.loads(path.with_name("items.json").read_text())["sha256"] == longer.items_sha256
    with pytest.raises(ComposeError, match="not of the items beside it"):
        board.read_results(results)


def test_items_are_not_exchanged_under_the_records_of_others(made, job, tmp_path):
    run, gallery, one = made
    results = tmp_path / "results"
    measure.publish(results, run, gallery, one)
    before = {p.name: p.read_bytes() for p in measure.place(results, one).parent.iterdir()}
    other = prepare(job(method="plain", n=2))
    with pytest.raises(ComposeError, match="other items stand there"):
        measure.publish(results, other, gallery, one)
    assert {p.name: p.read_bytes() for p in measure.place(results, one).parent.iterdir()} == before
