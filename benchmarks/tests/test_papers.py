import hashlib
import json
from pathlib import Path

import pytest

from compose_benchmarks.papers import Column, Row, Table, load_table, load_tables
from compose_core.errors import ComposeError

FOLDER = Path(__file__).parents[1] / "results" / "papers"
TABLES = {table.id: table for table in load_tables(FOLDER)}

PROOF_READ = "db917c831224f695e4127b297bb819ba1013d71e0405e43853207ff7a05fa2cd"
"""sha256 of all rows, columns and values, after each was compared with its paper."""

# Paper and number of tables: all that the five papers print (CGI prints none).
PRINTED = {"cnc": 4, "realcompo": 2, "tlam": 3, "dde": 3}


def test_every_table_of_every_paper_is_there_once():
    found = [table.paper.key for table in TABLES.values()]
    assert {key: found.count(key) for key in found} == PRINTED
    assert len(TABLES) == len(list(FOLDER.glob("*.json")))
    assert len({(table.paper.key, table.table) for table in TABLES.values()}) == len(TABLES)
    assert len({(table.paper.key, table.paper) for table in TABLES.values()}) == len(PRINTED)


@pytest.mark.parametrize("name", TABLES)
def test_numbers_are_written_with_the_decimals_of_the_paper(name):
    literal = json.loads(
        (FOLDER / f"{name}.json").read_text(encoding="utf-8"), parse_float=str, parse_int=str
    )
    table = TABLES[name]
    for written, row in zip(literal["rows"], table.rows, strict=True):
        assert len(row.values) == len(table.columns)
        for text, value, column in zip(written["values"], row.values, table.columns, strict=True):
            assert column.shown(value) == ("–" if text is None else text)


@pytest.mark.parametrize(
    ("name", "row", "column", "value"),
    [
        ("cnc-table-1", "CnC Finetuned", "Semantics / FID", 17.254),
        ("cnc-table-1", "GLIGEN", "Semantics / FID", None),
        ("cnc-table-2", "Uni-ControlNet", "COCO-Stuff / SSIM", 0.2362),
        ("cnc-table-3", "T2I-Adapter", "Depth+Semantics / IS", 10.745),
        ("cnc-table-4", "CnC (Canny Edge, Ours)", "Pick-a-Pic / CLIPScore", 28.786),
        ("realcompo-table-1", "RealCompo (Ours)", "Numeracy", 0.6592),
        ("realcompo-table-1", "PixArt-α", "Object Relationship / Spatial", 0.2082),
        ("realcompo-table-2", "LMD+", "Aesthetic Score", 4.964),
        ("realcompo-table-2", "RealCompo (Ours)", "CLIP Score", None),
        ("tlam-table-2a", "SIMS", "FID", 49.7),
        ("tlam-table-2b", "TLAM (Ours)", "Accuracy", 53.1),
        ("dde-table-1", "RNN with overlaps", "Size", 50),
        ("dde-table-2", "DDE (ours) (Sampler Heun)", "Coordination / 5", 44.5),
        ("dde-table-3", "DDE (ours)", "FID, N = 128", 27.373),
    ],
)
def test_spot_values(name, row, column, value):
    assert TABLES[name].value(row, column) == value


def test_proof_read_values_stay_as_they_are():
    """All cells were compared with the papers by eye; whoever changes one does so again."""
    cells = [
        [name, row.label, column.label, value]
        for name, table in sorted(TABLES.items())
        for row in table.rows
        for column, value in zip(table.columns, row.values, strict=True)
    ]
    assert sum(value is not None for *_, value in cells) == 286
    text = json.dumps(cells, ensure_ascii=True)
    assert hashlib.sha256(text.encode()).hexdigest() == PROOF_READ


def test_clevr_accuracies_are_hits_out_of_256():
    for row in TABLES["dde-table-2"].rows:
        for value in row.values:
            assert round(100 * round(value / 100 * 256) / 256, 1) == value


# What the papers say in words about their tables, where the tables agree.
@pytest.mark.parametrize(
    ("name", "row", "but"),
    [
        ("cnc-table-1", "CnC Finetuned", {"Depth / FID", "Depth / IS"}),
        ("cnc-table-2", "CnC Finetuned", {"COCO-Stuff / SSIM"}),
        ("cnc-table-3", "CnC Finetuned", {"Depth / FID", "Depth / IS"}),
        ("realcompo-table-1", "RealCompo (Ours)", set()),
        ("tlam-table-2a", "TLAM (Ours)", {"mIoU", "FID"}),
        ("tlam-table-2b", "TLAM (Ours)", set()),
        ("dde-table-1", "DDE (ours)", {"Size"}),
        ("dde-table-3", "DDE (ours)", set()),
    ],
)
def test_the_best_row_is_the_one_that_the_paper_names(name, row, but):
    table = TABLES[name]
    for place, column in enumerate(table.columns):
        values = [r.values[place] for r in table.rows if r.values[place] is not None]
        best = max(values) if column.higher_is_better else min(values)
        assert (table.value(row, column.label) == best) == (column.label not in but), column.label


def test_a_contradiction_of_the_paper_is_kept_as_printed():
    table = TABLES["cnc-table-4"]
    scores = {row.name: row.values for row in table.rows}
    assert scores["CnC (Canny Edge, Ours)"][4] == min(v[4] for v in scores.values())
    assert "lowest" in table.note


def record(**change):
    row = {"name": "a", "values": [1.0]}
    return {
        "version": 1,
        "id": "key-table-1",
        "provenance": "paper-reported",
        "paper": {"key": "key", "title": "T", "arxiv": None, "year": 2024, "venue": "V"},
        "table": "Table 1",
        "caption": "C",
        "columns": [{"name": "FID", "higher_is_better": False, "decimals": 1}],
        "rows": [row],
        "protocol": "P",
    } | change


def test_a_label_names_the_settings_and_the_group():
    row = Row(name="RRR", settings={"Sampler": "Heun"}, values=(1.0,))
    column = Column(name="FID", group="Depth", higher_is_better=False, decimals=3)
    assert (row.label, column.label) == ("RRR (Sampler Heun)", "Depth / FID")
    assert (column.shown(2.5), column.shown(None)) == ("2.500", "–")
    assert Table.model_validate(record()).value("a", "FID") == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": [{"name": "a", "values": [1.0, 2.0]}]}, "has 2 values for 1 columns"),
        ({"rows": [{"name": "a", "values": [None]}]}, "needs a note that says why"),
        ({"rows": [{"name": "a", "values": [1.0]}] * 2}, "two rows are called 'a'"),
        ({"rows": [{"name": "a", "values": ["1.0"]}]}, "`rows.0.values.0` is wrong"),
        ({"rows": [{"name": "a", "values": [1], "printed": {"IS": "1"}}]}, "unknown column 'IS'"),
        ({"captoin": "C"}, "did you mean `caption`?"),
        ({"provenance": "measured"}, "paper-reported"),
        ({"id": "other-table-1"}, "does not begin with 'key-'"),
        ({"version": 2}, "`version` is wrong"),
    ],
)
def test_a_wrong_record_is_one_clear_message(tmp_path, change, message):
    path = tmp_path / "key-table-1.json"
    path.write_text(json.dumps(record(**change)), encoding="utf-8")
    with pytest.raises(ComposeError) as caught:
        load_table(path)
    assert message in str(caught.value)
    assert path.name in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"version": 1, "version": 1}', "'version' appears twice"),
        (b'{"version": NaN}', "NaN is not a number that JSON knows"),
        (b'{"version": 1', "not valid JSON"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[]", "`the whole record` is wrong"),
    ],
)
def test_a_damaged_file_is_one_clear_message(tmp_path, text, message):
    path = tmp_path / "key-table-1.json"
    path.write_bytes(text)
    with pytest.raises(ComposeError) as caught:
        load_table(path)
    assert message in str(caught.value)


def test_names_of_files_and_records_agree(tmp_path):
    path = tmp_path / "key-table-2.json"
    path.write_text(json.dumps(record()), encoding="utf-8")
    with pytest.raises(ComposeError, match="different names"):
        load_table(path)


def test_an_empty_folder_and_unknown_labels_are_errors(tmp_path):
    with pytest.raises(ComposeError, match="no records of papers found"):
        load_tables(tmp_path)
    with pytest.raises(ComposeError, match="no such column"):
        TABLES["dde-table-3"].value("DDE (ours)", "IS")
    with pytest.raises(ComposeError, match="no such row"):
        TABLES["dde-table-3"].value("DDE", "FID, N = 96")
