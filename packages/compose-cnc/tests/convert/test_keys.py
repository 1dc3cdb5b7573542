"""Both sides of the naming, on the complete key set."""

from __future__ import annotations

from itertools import chain

import pytest
import torch
from torch import Tensor

from compose_cnc.convert import keys, networks

Tensors = dict[str, Tensor]

COUNTS = {"unet": 686, "vae": 248, "text_encoder": 196, "local_fuser": 372, "global_fuser": 24}


def test_the_key_set_is_the_published_one(official: Tensors):
    """The fixture has the counts that the published checkpoint has."""
    for part, prefix in keys.PARTS.items():
        found = {k for k in official if k.startswith(prefix)} - keys.BUFFERS.keys()
        assert len(found) == COUNTS[part], part


@pytest.mark.parametrize("part", keys.PARTS)
@pytest.mark.parametrize(
    "depth", [keys.Depth(), keys.Depth(attention=(True, False), layers=1, vae_levels=2)]
)
def test_tables_are_bijections(part: str, depth: keys.Depth):
    table = keys.modules(part, depth)
    assert len(set(table.values())) == len(table)


def test_depth_is_read_off_the_names(official: Tensors):
    assert networks.depth_of(list(official)) == keys.Depth()


def test_every_key_is_accounted_for(official: Tensors, weights: Tensors):
    parts, unknown = keys.from_official(official)
    assert unknown == []
    assert {part: len(found) for part, found in parts.items()} == COUNTS
    assert set(official) - set(weights) <= keys.BUFFERS.keys()


def test_names_and_shapes_are_those_of_the_networks(official: Tensors):
    parts, _ = keys.from_official(official)
    for part, network in networks.build(parts, keys.Depth()).items():
        given = {name: tensor.shape for name, tensor in parts[part].items()}
        assert given == networks.shapes(network), part


def test_round_trip_is_exact(weights: Tensors):
    parts, _ = keys.from_official(weights)
    back, unknown = keys.to_official(parts)
    assert unknown == []
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in weights.items())


def test_round_trip_from_our_side(weights: Tensors):
    parts, _ = keys.from_official(weights)
    again, _ = keys.from_official(keys.to_official(parts)[0])
    for part, found in parts.items():
        assert found.keys() == again[part].keys()
        assert all(torch.equal(again[part][name], tensor) for name, tensor in found.items())


def test_two_names_never_share_a_place(weights: Tensors):
    parts, _ = keys.from_official(weights)
    assert sum(len(found) for found in parts.values()) == len(weights)
    ours = list(chain.from_iterable(parts["unet"]))
    assert ours


def test_unknown_names_are_named(weights: Tensors):
    odd = ["model.diffusion_model.out.9.weight", "local_adapter.hint.bias", "optimizer.step",
           "first_stage_model.encoder.conv_in.scale"]  # fmt: skip
    _, unknown = keys.from_official(weights | {name: torch.zeros(1) for name in odd})
    assert sorted(unknown) == sorted(odd)
    assert keys.to_official({"unet": {"nothing.weight": torch.zeros(1)}})[1] == [
        "unet: nothing.weight"
    ]


def test_the_base_is_named_as_diffusers_names_it(weights: Tensors):
    """An independent reading of the same names, by diffusers' own single-file loader."""
    from diffusers.loaders import single_file_utils as theirs

    parts, _ = keys.from_official(weights)
    built = networks.build(parts, keys.Depth())
    prefix = keys.PARTS["unet"]
    plain = {k: v.clone() for k, v in weights.items() if k.startswith(prefix)}
    unet = theirs.convert_ldm_unet_checkpoint(plain, dict(built["unet"].config))
    vae_keys = {k: v.clone() for k, v in weights.items() if k.startswith("first_stage_model.")}
    vae = theirs.convert_ldm_vae_checkpoint(vae_keys, dict(built["vae"].config))
    for part, found in (("unet", unet), ("vae", vae)):
        assert found.keys() == parts[part].keys()
        assert all(torch.equal(tensor, parts[part][name]) for name, tensor in found.items())
