"""Records hold everything, take nothing unknown, and come back as they were written."""

import json

import pytest
from pydantic import ValidationError

from compose_benchmarks import record
from compose_core.errors import ComposeError


def test_what_is_written_comes_back(result, tmp_path):
    made = result(values=(0.25, 1.0, 0.0))
    record.save(made, tmp_path / "a.json")
    assert record.load(tmp_path / "a.json") == made
    text = (tmp_path / "a.json").read_text()
    assert '"per_sample": [0.25, 1.0, 0.0]' in text  # readable: numbers stay on one line
    assert json.loads(text)["provenance"] == "measured"


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(extra=1),
        lambda c: c["task"].update(extra=1),
        lambda c: c["metrics"][0].update(value="high"),
        lambda c: c["metrics"][0].pop("keys"),
        lambda c: c["metrics"].append(c["metrics"][0]),
        lambda c: c["sampler"]["seeds"].pop(),
        lambda c: c.update(provenance="paper-reported"),
        lambda c: c.update(schema_version=2),
        lambda c: c.update(metrics=[]),
        lambda c: c.update(run_id="short"),
        lambda c: c["code"].pop("scoring_sha256"),
        lambda c: c["metrics"][0].update(n=1),
        lambda c: c["metrics"][0].update(keys=[0, 0]),
        lambda c: c["metrics"][0].update(keys=[0, 7777]),
        lambda c: c["metrics"][0].update(value=99.0),
        lambda c: c["metrics"][0]["interval"].update(low=2.0),
        lambda c: c["cost"].update(timed=3),
    ],
)
def test_what_is_no_record_is_refused_with_its_name(result, tmp_path, change):
    content = json.loads(result().model_dump_json())
    change(content)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ComposeError) as caught:
        record.load(path)
    assert "bad.json" in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "\0\1"])
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ComposeError, match="no record"):
        record.load(tmp_path / "x.json")
    with pytest.raises(ComposeError, match="cannot be read"):
        record.load(tmp_path / "missing.json")


def test_networks_of_our_own_are_named_in_the_metric(measured):
    inside = record.Extractor(id="tiny-v1", sha256="0" * 64, reference=False)
    outside = record.Extractor(id="inception-2015", sha256="1" * 64, reference=True)
    with pytest.raises(ValidationError, match="network of its own"):
        measured([1.0], id="fid", extractor=inside)
    assert measured([1.0], id="fid@tiny-v1", extractor=inside).in_house
    assert not measured([1.0], id="fid", extractor=outside).in_house


def test_every_asked_field_is_there():
    wanted = {"run_id", "code", "method", "model", "task", "sampler", "metrics", "env"}
    wanted |= {"hardware", "cost", "provenance", "date", "command", "schema_version"}
    assert set(record.schema()["properties"]) == wanted
    assert record.schema()["additionalProperties"] is False
