"""What may be ranked together, what a difference means, and how it is shown."""

import csv
import io
import json

import pytest
import torch

from compose_benchmarks import record
from compose_benchmarks.board import FEWEST, board, boards, read_results
from compose_benchmarks.table import NOTE, render
from compose_core.errors import ComposeError

N = 64


def noisy(mean, seed=0):
    noise = torch.randn(N, generator=torch.Generator().manual_seed(seed)).double()
    return tuple((mean + 0.5 * (noise - noise.mean())).tolist())


def test_the_best_comes_first_and_ties_are_marked(result):
    ranked = board(
        [
            result("low", noisy(0.2)),
            result("high", noisy(0.8)),
            result("near", noisy(0.78, seed=1)),
        ]
    )
    assert [row.record.method.name for row in ranked.rows] == ["high", "near", "low"]
    standings = [row.cells["objects@tiny-v1"].standing for row in ranked.rows]
    assert standings == ["best", "tied", "worse"]
    assert [row.rank for row in ranked.rows] == [1, 2, 3]


def test_pairs_find_what_intervals_cannot(result):
    # On the same seeds the difference is constant: tiny, and certain.
    ranked = board([result("a", noisy(0.50)), result("b", noisy(0.51))])
    assert ranked.rows[1].cells["objects@tiny-v1"].standing == "worse"
    assert ranked.rows[1].cells["objects@tiny-v1"].p < 0.01


def test_without_values_for_each_picture_intervals_decide(result, measured):
    def fid(value, half):
        interval = record.Interval(low=value - half, high=value + half, level=0.95, how="x")
        named = {"id": "fid@tiny-v1", "higher_is_better": False, "n_reference": 9}
        none = {"per_sample": None, "keys": None, "value": value, "interval": interval}
        return measured([0.0] * N, **named, **none)

    def standing(half):
        records = [result("a", n=N, metrics=[fid(1.0, half)])]
        records += [result("b", n=N, metrics=[fid(2.0, half)])]
        ranked = board(records)
        assert ranked.rows[0].record.method.name == "a"  # lower is better
        return ranked.rows[1].cells["fid@tiny-v1"].standing

    assert standing(0.4) == "worse"
    assert standing(0.6) == "tied"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"values": (1.0, 0.0, 1.0)}, "n: 2 and 3"),
        ({"items_sha256": "f" * 64}, "items"),
        ({"version": 2}, "version"),
        ({"scoring": "0" * 64}, "code of the scores"),
        ({"sampler": {"name": "heun"}}, "sampler: ddim and heun"),
        ({"sampler": {"steps": 500}}, "steps: 30 and 500"),
        ({"sampler": {"guidance": 50.0}}, "guidance"),
        ({"sampler": {"dtype": "float16"}}, "dtype"),
        ({"model": {"sha256": "0" * 64}}, "weights of sd-tiny"),
    ],
)
def test_unequal_tasks_are_not_ranked(result, change, named):
    with pytest.raises(ComposeError, match="cannot be ranked together") as caught:
        board([result("a"), result("b", **change)])
    assert named in str(caught.value)


def test_other_models_are_ranked_together(result):
    other = result("a", model={"id": "another", "sha256": "0" * 64})
    assert len(board([result("a"), other]).rows) == 2


def test_what_cannot_be_compared_stands_apart(result):
    few = [
        result("a", noisy(0.2)[:30]),
        result("b", noisy(0.2)[:30]),
        result("c", noisy(0.1)[:30]),
    ]
    many = [result("a", noisy(0.2)), result("b", noisy(0.3))]
    longer = result("c", noisy(0.9), sampler={"steps": 90})
    found = boards([*few, longer, *many])
    assert [[row.record.method.name for row in one.rows] for one in found] == [
        ["b", "a"],
        ["c"],
        ["a", "b", "c"],
    ]
    assert [one.n for one in found] == [N, N, 30]
    assert "ddim, 90 steps, guidance 5, float32" in render(found, "md")


def test_without_the_metric_that_ranks_there_is_no_ranking(result):
    with pytest.raises(ComposeError, match="metric that ranks") as caught:
        board([result("a")], primary="ssim")
    assert "objects@tiny-v1" in str(caught.value)


@pytest.mark.parametrize("n", [1, 2, 8, FEWEST - 1])
def test_nothing_is_said_of_few_pictures(result, n):
    ranked = board([result("a", (1.0,) * n), result("b", (0.0,) * n)])
    cell = ranked.rows[1].cells["objects@tiny-v1"]
    assert (cell.standing, cell.p) == ("unknown", None)
    text = render([ranked], "md")
    assert "0.000 ?" in text and NOTE in text and f"fewer than {FEWEST} pictures" in NOTE


def test_enough_pictures_are_compared(result):
    ranked = board([result("a", (1.0,) * FEWEST), result("b", (0.0,) * FEWEST)])
    assert ranked.rows[1].cells["objects@tiny-v1"].standing == "worse"


def test_without_an_interval_nothing_is_said(result, measured):
    def one(name, value):
        changes = {"value": value, "per_sample": None, "keys": None, "interval": None}
        return result(name, metrics=[measured(noisy(0.0), id="fid@tiny-v1", **changes)])

    ranked = board([one("a", 1.0), one("b", 2.0)])
    assert ranked.rows[1].cells["fid@tiny-v1"].standing == "unknown"
    assert "≈" not in render([ranked], "md").partition("\n\n**best**")[0]


def test_unequal_metrics_are_not_ranked(result, measured):
    for change in ({"version": 2}, {"params": {"scale": 2}}, {"n_reference": 5}):
        other = result("b", metrics=[measured((1.0, 0.0), **change)])
        with pytest.raises(ComposeError, match="cannot be ranked together"):
            board([result("a"), other])


def test_in_house_metrics_never_share_a_column_with_published_ones(result, measured):
    real = record.Extractor(id="inception-2015", sha256="1" * 64, reference=True)
    both = [measured((1.0, 0.0), id="fid@tiny-v1"), measured((1.0, 0.0), id="fid", extractor=real)]
    ranked = board([result("a", metrics=both)], primary="fid@tiny-v1")
    assert [(c.id, c.in_house) for c in ranked.columns] == [("fid@tiny-v1", True), ("fid", False)]


def test_the_same_table_in_three_formats(result):
    ranked = board([result("a", noisy(0.2)), result("b", noisy(0.8))])
    text = render([ranked], "md")
    assert "**0.800** [0.700, 0.900]" in text and "0.200 [0.100, 0.300]" in text
    rows = list(csv.DictReader(io.StringIO(render([ranked], "csv"))))
    assert [(r["method"], r["standing"], r["rank"]) for r in rows] == [
        ("b", "best", "1"),
        ("a", "worse", "2"),
    ]
    (whole,) = json.loads(render([ranked], "json"))
    assert whole["rows"][0]["cells"]["objects@tiny-v1"]["low"] == pytest.approx(0.7)
    assert whole["columns"][0]["in_house"] is True


def test_results_are_found_by_suite_and_papers_stay_apart(result, tmp_path):
    record.save(result("a"), tmp_path / "regional-attributes" / "a.json")
    record.save(result("b"), tmp_path / "papers" / "b.json")
    items = tmp_path / "regional-attributes" / "items.json"
    items.write_text(json.dumps({"sha256": "a" * 64}))
    found, skipped = read_results(tmp_path)
    assert [one.method.name for one in found["regional-attributes"]] == ["a"] and not skipped


def test_unreadable_results_are_named_or_skipped_and_counted(result, tmp_path):
    record.save(result("a"), tmp_path / "regional-attributes" / "a.json")
    (tmp_path / "regional-attributes" / "bad.json").write_text("{}")
    with pytest.raises(ComposeError, match="no record") as caught:
        read_results(tmp_path)
    assert "bad.json" in str(caught.value) and "--skip-unreadable" in str(caught.value)
    found, skipped = read_results(tmp_path, skip_unreadable=True)
    assert len(found["regional-attributes"]) == 1 and "bad.json" in skipped[0]


@pytest.mark.parametrize("items", ['{"sha256": "' + "b" * 64 + '"}', "{}", "[]", "?"])
def test_items_of_another_run_are_noticed(result, tmp_path, items):
    record.save(result("a"), tmp_path / "regional-attributes" / "a.json")
    (tmp_path / "regional-attributes" / "items.json").write_text(items)
    with pytest.raises(ComposeError, match="items"):
        read_results(tmp_path)
    with pytest.raises(ComposeError, match="no results"):
        read_results(tmp_path, skip_unreadable=True)


def test_nothing_to_compare(tmp_path):
    with pytest.raises(ComposeError, match="no results") as caught:
        read_results(tmp_path, "quality")
    assert "compose bench run quality" in str(caught.value)
