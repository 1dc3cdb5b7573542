"""Rates that share no large factor: the same sums as for others, in little memory and time."""

import math
import subprocess
import sys
import time

import pytest
import torch

from compose_dde.audio import resample, resampling

ODD = [
    (12_001, 4000),
    (44_101, 44_100),
    (44_100, 44_101),
    (22_050, 16_001),
    (383_999, 1000),
    (1000, 383_999),
    (1009, 1013),
]


def summed(x, old, new):
    """The definition, one new sample after another."""
    edge = min(old, new) * resampling.ROLLOFF / old  # cycles of two old samples
    out = []
    for n in range(math.ceil(len(x) * new / old)):
        t = (n * old / new - torch.arange(len(x), dtype=torch.float64)) * edge
        near = t.abs() < resampling.ZEROS
        window = torch.cos(t * torch.pi / resampling.ZEROS / 2) ** 2
        out.append((x * torch.sinc(t) * window * near).sum() * edge)
    return torch.stack(out)


@pytest.mark.parametrize(("old", "new"), [*ODD, (44_100, 48_000), (3, 2), (2, 3), (1, 5)])
@pytest.mark.parametrize("using", ["auto", "torch"])
def test_all_rates_are_summed_as_defined(old, new, using):
    length = min(3000, max(1, 1000 * old // new))
    x = torch.randn(length, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    wanted = summed(x, old, new)
    found = resample(x, old, new, using=using)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [(44_100, 48_000), (48_000, 22_050), (4000, 16_000)])
@pytest.mark.parametrize("most", [1, 500, 5000])
def test_several_kernels_say_what_one_says(old, new, most, monkeypatch):
    x = torch.randn(2, 3, 2000, generator=torch.Generator().manual_seed(0))
    one = resample(x, old, new, using="torch")
    monkeypatch.setattr(resampling, "_MOST", most)
    torch.testing.assert_close(resample(x, old, new), one)


@pytest.mark.parametrize(("old", "new"), ODD)
def test_no_kernel_is_large(old, new):
    common = math.gcd(old, new)
    old, new = old // common, new // common
    for wanted in (1, new // 3 + 1, new):
        seen = 0
        for first, last in resampling._groups(old, new, wanted):
            span = last * old // new - first * old // new + 2 * resampling._reach(old, new) + 1
            assert first == seen and (last + 1 - first) * span <= 2 * resampling._MOST
            seen = last + 1
        assert seen == wanted


def test_gradients_go_through_several_kernels():
    x = torch.randn(8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: resample(y, 12_001, 9973), x)


def test_a_tone_of_many_seconds_does_not_drift():
    """A ratio that was only nearly right would be some samples late in the end."""
    old, new, seconds = 44_101, 44_100, 30
    x = torch.sin(2 * torch.pi * 440 * torch.arange(old * seconds, dtype=torch.float64) / old)
    start = time.process_time()
    found = resample(x.float(), old, new)
    assert time.process_time() - start < 20
    wanted = torch.sin(2 * torch.pi * 440 * torch.arange(new * seconds, dtype=torch.float64) / new)
    assert found.shape == wanted.shape
    assert (found - wanted)[-4410:-441].abs().max() < 2e-3


def test_the_memory_is_bounded():
    resource = pytest.importorskip("resource")
    assert resource
    code = """
import resource, torch
from compose_dde.audio import resample
resample(torch.zeros(100), 8000, 4000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for old, new in ((12_001, 4000), (44_101, 44_100), (383_999, 1000), (1000, 383_999)):
    resample(torch.zeros(1, 3 * old // 2), old, new)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 200e6
