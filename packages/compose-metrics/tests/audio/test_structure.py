import pytest
import torch

from compose_core.errors import ShapeError, UsageError
from compose_metrics.audio.structure import StructureAgreement
from compose_metrics.result import Source

EAR = Source("stems-v1", "ab", False)


def test_the_mean_and_the_way_from_chance():
    metric = StructureAgreement("key", judge=EAR, apart=4.0, real=0.9, chance=0.1)
    metric.update(torch.tensor([1.0, 0.5, 0.0, 0.5]))
    found = metric.compute()
    assert metric.id == found.metric == "structure-key@stems-v1"
    assert found.value == pytest.approx(0.5) and 0.5 in found.interval and found.n == 4
    assert found.parts["share of the way"] == pytest.approx(0.5)
    assert found.params == {"apart": 4.0} and found.higher_is_better


def test_without_bounds_there_is_no_share():
    metric = StructureAgreement("recall")
    metric.update(torch.tensor([-0.2, 0.4]))
    assert metric.id == "structure-recall" and metric.compute().parts == {}


def test_aspects_do_not_merge():
    key, tempo = StructureAgreement("key"), StructureAgreement("tempo")
    key.update(torch.tensor([0.5]))
    with pytest.raises(UsageError):
        tempo.merge(key)


@pytest.mark.parametrize("bad", [torch.tensor([2.0]), torch.zeros(2, 2), torch.tensor([1])])
def test_other_values_are_refused(bad):
    with pytest.raises(ShapeError, match="agreements"):
        StructureAgreement("tempo").update(bad)
    with pytest.raises(UsageError, match="aspect"):
        StructureAgreement("timbre")
