import copy
import json
import pickle

import pytest
import torch

from compose_core.errors import ComposeError
from compose_metrics.result import Interval, Result, Source, comparable


def result(**more):
    about = {"metric": "fid", "version": 1, "value": 2.5, "n": 10, "higher_is_better": False}
    return Result(**(about | more))


def test_only_the_canonical_network_gives_the_bare_name():
    assert Source("inception-2015", "aa", True).metric("fid", "inception-2015") == "fid"
    assert Source("tiny-v1", "aa", False).metric("fid", "inception-2015") == "fid@tiny-v1"
    assert Source("vit-b-32", "aa", True).metric("fid", "inception-2015") == "fid@vit-b-32"
    # An in-house network cannot take the name by calling itself so.
    assert Source("inception-2015", "aa", False).metric("fid", "inception-2015") != "fid"


def test_json_holds_everything_and_no_nan():
    whole = result(
        interval=Interval(low=2.0, high=float("inf"), how="by hand"),
        extractor=Source("tiny-v1", "aa", False),
        per_sample=torch.tensor([1.0, 4.0]),
        keys=torch.tensor([3, 5]),
        params={"k": 3},
        parts={"std": 0.5},
    )
    written = json.loads(json.dumps(whole.to_json(per_sample=True), allow_nan=False))
    assert written["interval"] == {"low": 2.0, "high": "inf", "level": 0.95, "how": "by hand"}
    assert written["extractor"] == {"id": "tiny-v1", "sha256": "aa", "reference": False}
    assert (written["per_sample"], written["keys"]) == ([1.0, 4.0], [3, 5])
    assert "per_sample" not in whole.to_json()


def test_a_value_that_is_no_number_is_no_result():
    with pytest.raises(ComposeError, match="fid is not a number"):
        result(value=float("nan"))
    with pytest.raises(ComposeError, match="the part 'std' of fid is not a number"):
        result(parts={"std": float("nan")})
    with pytest.raises(ComposeError, match="the upper end of fid is not a number"):
        result(interval=Interval(low=0.0, high=float("nan"), how="by hand"))
    result(interval=Interval(low=-float("inf"), high=float("inf"), how="by hand"))


def test_results_travel_between_processes():
    whole = result(per_sample=torch.tensor([1.0]), params={"k": 3})
    assert pickle.loads(pickle.dumps(whole)) == copy.deepcopy(whole) == whole


@pytest.mark.parametrize(
    "other", [{"n": 11}, {"version": 2}, {"n_reference": 5}, {"params": {"k": 4}}]
)
def test_what_differs_cannot_be_ranked(other):
    comparable(result(), result(value=3.0))
    with pytest.raises(ComposeError, match=next(iter(other))):
        comparable(result(), result(**other))
