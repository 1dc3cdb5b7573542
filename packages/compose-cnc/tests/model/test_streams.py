"""Depth streams: sizes of what comes out, and who sees what."""

import pytest
import torch
from torch import nn

from compose_cnc.model import SD15, TINY, DepthStreams, Sizes
from compose_core.errors import UsageError

SMALL = Sizes((4, 6), (1, 2), (8, 10, 12))


def streams(sizes=SMALL, awake=True):
    torch.random.manual_seed(0)
    made = DepthStreams(sizes.stream_channels, sizes.stream_strides, sizes.feature_channels)
    for conv in made.zero if awake else ():
        nn.init.normal_(conv.weight)
    return made


@pytest.mark.parametrize(("sizes", "factor"), [(SD15, 8), (TINY, 4), (SMALL, 4)])
def test_the_finest_feature_has_the_size_of_the_latents(sizes, factor):
    assert sizes.factor == factor
    with torch.device("meta"):
        made = DepthStreams(sizes.stream_channels, sizes.stream_strides, sizes.feature_channels)
        depth = torch.empty(2, 3, 16 * factor, 24 * factor)
    features = made(depth, depth)
    assert [x.shape[1] for x in features] == list(sizes.feature_channels)
    assert [tuple(x.shape[2:]) for x in features] == [
        (16 // 2**i, 24 // 2**i) for i in range(len(features))
    ]


def test_odd_sizes_round_up_as_the_unet_does():
    features = streams()(*torch.rand(2, 1, 3, 4 * 9, 4 * 7))
    assert [tuple(x.shape[2:]) for x in features] == [(9, 7), (5, 4), (3, 2)]


def test_nothing_comes_out_before_training():
    assert all(not x.any() for x in streams(awake=False)(*torch.rand(2, 1, 3, 32, 32)))


@torch.no_grad()
def test_front_and_back_are_not_interchangeable():
    made, (fg, bg) = streams(), torch.rand(2, 1, 3, 32, 32)
    for one, other in zip(made(fg, bg), made(bg, fg), strict=True):
        assert (one - other).abs().max() > 1e-3


@torch.no_grad()
def test_a_coarser_feature_does_not_pass_through_a_zero_convolution():
    made, pair = streams(), torch.rand(2, 1, 3, 32, 32)
    before = made(*pair)
    nn.init.zeros_(made.zero[0].weight)
    after = made(*pair)
    assert not torch.equal(after[0], before[0])
    assert all(torch.equal(a, b) for a, b in zip(after[1:], before[1:], strict=True))


@pytest.mark.parametrize("strides", [(1,), (1, 3), (1, 2, 1)])
def test_strides_that_make_no_sense_are_refused(strides):
    with pytest.raises(UsageError, match="stride"):
        DepthStreams((4, 6), strides, (8,))
