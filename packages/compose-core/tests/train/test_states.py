"""What continues a run comes back where it is needed."""

import torch
from torch import nn

from compose_core.train.states import pack_optimizer, unpack_optimizer


def names(net: nn.Module) -> dict[torch.Tensor, str]:
    return {parameter: name for name, parameter in net.named_parameters()}


def test_all_of_an_optimiser_comes_back_beside_its_parameters():
    """A fused kernel on a GPU would take a step counter on the CPU for an address of its own."""
    net = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters(), fused=True)
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    away = nn.Linear(3, 2, device="meta")
    resumed = torch.optim.AdamW(away.parameters())
    unpack_optimizer(resumed, names(away), pack_optimizer(optimizer, names(net)))
    assert set(resumed.state) == set(away.parameters())
    for parameter, moments in resumed.state.items():
        assert set(moments) == {"step", "exp_avg", "exp_avg_sq"}
        assert all(value.device == parameter.device for value in moments.values())
