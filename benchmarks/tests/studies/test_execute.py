"""From pictures to a record and a figure."""

import json

import pytest

from compose_benchmarks.board import APART
from compose_benchmarks.studies import NAMES, execute, find, record
from compose_core.errors import ComposeError, UsageError, WeightsError

looks = pytest.mark.weights
"""Tests that look through clip-tiny."""


@pytest.fixture(scope="module")
def done(prepared, tmp_path_factory):
    sitting = prepared(tmp_path_factory.mktemp("done"))
    sitting.make()
    return sitting, execute.measure(sitting, command="compose bench study cnc-leakage --num 3")


@looks
def test_a_record_survives_its_file(done, tmp_path):
    _, made = done
    record.save(made, tmp_path / "x.json")
    assert record.load(tmp_path / "x.json") == made


@looks
def test_every_value_is_there(done):
    sitting, made = done
    assert [one.id for one in made.series] == list(sitting.study.series)
    assert made.walk.seeds == tuple(pair.seed for pair in sitting.pairs)
    assert made.adapter.sha256 != made.model.sha256 and made.adapter.files
    for one in made.series:
        margin = one.metric("localized-margin")
        assert margin.n == 3 and margin.interval is not None
        assert margin.interval.low <= margin.value <= margin.interval.high
    a, b = (made.of(name).metric("localized-margin") for name in ("mask", "off"))
    found = made.differences[0]
    assert (found.metric, found.a, found.b) == ("localized-margin", "mask", "off")
    assert found.value == pytest.approx(a.value - b.value)
    assert found.interval is None  # of three pairs nothing can be said


@looks
def test_measuring_again_gives_the_same_numbers(done):
    sitting, made = done
    again = execute.measure(sitting, command="x")
    assert again.series == made.series and again.differences == made.differences


@looks
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.update(extra=1), "extra"),
        (lambda x: x["walk"]["seeds"].pop(), "one seed for each pair"),
        (lambda x: x["series"].append(x["series"][0]), "twice"),
        (lambda x: x["differences"][0].update(a="magic"), "not there"),
        (lambda x: x["series"][0]["metrics"][0].update(value=9.0), "not the mean"),
    ],
)
def test_records_that_contradict_themselves_are_refused(done, tmp_path, change, said):
    path = tmp_path / "x.json"
    record.save(done[1], path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ComposeError, match=said):
        record.load(path)


@looks
def test_short_studies_are_not_published(done, tmp_path):
    sitting, made = done
    with pytest.raises(UsageError, match="so few pairs"):
        execute.check_place(tmp_path, sitting, replace=False)
    execute.check_place(tmp_path, sitting, replace=True)
    path = execute.publish(tmp_path, made, execute.figure(sitting, made))
    assert path.with_suffix(".png").is_file() and record.load(path) == made
    assert path.parent.name in APART  # never ranked with suites


@pytest.mark.parametrize(
    ("how", "name"),
    [
        (("sd-tiny", "cnc-tiny", 1.0, "drop_exemplar"), "cnc-lambda.json"),
        (("sd-tiny", "cnc-tiny", 3.0, "drop_exemplar"), "cnc-lambda@drop_exemplar-3.json"),
        (("sd-tiny", "runs/x/export", 1.0, "official"), "cnc-lambda@runs-x-export.json"),
    ],
)
def test_other_models_and_guidance_have_files_of_their_own(how, name, tmp_path):
    assert execute._place(tmp_path, "cnc-lambda", *how) == tmp_path / "studies" / name


@looks
@pytest.mark.parametrize("name", NAMES)
def test_every_study_has_a_figure_and_contrasts_of_its_series(name, sit):
    study = find(name)
    assert study.name == name
    assert {x for one in study.contrasts for x in (one.a, one.b)} <= set(study.series)
    sitting = sit(study=name, n=1)
    sitting.make()
    image = execute.figure(sitting, execute.measure(sitting, command="x"))
    assert min(image.size) > 300 and len(image.getcolors(2**24)) > 50


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"study": "cnc-lambada"}, UsageError),
        ({"n": 0}, UsageError),
        ({"guidance": float("nan")}, UsageError),
        ({"cfg": "magic"}, UsageError),
        ({"adapter": "nowhere/at-all"}, WeightsError),
    ],
)
def test_what_makes_no_sense_is_refused(sit, change, error):
    with pytest.raises(error):
        sit(**change)
