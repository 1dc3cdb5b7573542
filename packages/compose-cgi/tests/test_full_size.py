"""The graphs of the paper at its sizes: real configurations, without storage or with few channels.

Body and face: 96 x 96 latents as a whole, led by a ControlNet, and 48 x 48 of them around the head
(Sec. 6.3). Panorama: three windows of 64 x 64 latents in 64 x 160.
"""

from types import SimpleNamespace

import pytest
import torch

from compose_cgi.graph import Graph, Observation, Variable
from compose_cgi.inference import Inference
from compose_cgi.options import Options
from compose_cgi.tasks.figure import crop_around
from compose_core.backbones.unet import ControlledUNet, UNetNetwork
from compose_core.conditions import Box
from compose_core.denoiser import Bound, Guided
from compose_core.encoded import Encoded
from compose_core.evaluate import Local
from compose_core.testing.models import stable_diffusion_schedule
from compose_core.views import Whole, Window, cover

SCHEDULE = stable_diffusion_schedule()
LEVEL = SCHEDULE.levels(50)[10]
HEAD = Box(0.44, 0.05, 0.58, 0.2)

SD15 = SimpleNamespace(
    name="1.5",
    unet={"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    kind="epsilon",
    parameters=859_520_964,
)
SD21 = SimpleNamespace(
    name="2.1",
    unet={
        "sample_size": 96,
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
    kind="v_prediction",
    parameters=865_910_724,
)
NARROW = {"block_out_channels": (16, 16, 32, 32), "norm_num_groups": 8}


def networks(kind, device, **changes):
    """The UNet as `UNetNetwork`, and with a ControlNet."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    given = kind.unet | changes
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(**given).eval().requires_grad_(False)
        given.pop("sample_size")
        control = ControlNetModel(**given).eval().requires_grad_(False)
    return UNetNetwork(unet, SCHEDULE, kind.kind), ControlledUNet(
        unet, control, SCHEDULE, kind.kind
    )


def said(network, width, device, seed, **more):
    """Words under guidance, without an encoder."""
    generator = torch.Generator().manual_seed(seed)
    both = [torch.randn(1, 77, width, generator=generator).to(device) for _ in range(2)]
    cond, uncond = (Bound(network, Encoded({"text": text, **more})) for text in both)
    return Guided(cond, uncond, 7.5)


def body_and_face(kind, device, **changes):
    plain, led = networks(kind, device, **changes)
    width = kind.unet["cross_attention_dim"] if not changes else changes["cross_attention_dim"]
    control = torch.zeros(1, 3, 768, 768, device=device)
    crop = crop_around(HEAD, (96, 96), 8)
    return Graph(
        [Variable("x", (96, 96))],
        [
            Observation("body", ("x",), said(led, width, device, 0, control=control), Whole()),
            Observation("face", ("x",), said(plain, width, device, 1), crop),
        ],
    )


def asked(graph, x):
    """The shapes that networks are asked about, and the prediction of the graph."""
    inference = Inference(graph, Options(kappa=1.0))
    state = inference.init(x)
    shapes = set()
    networks = {
        bound.network
        for each in graph.observations
        for bound in (each.denoiser.cond, each.denoiser.uncond)
    }
    hooks = [
        network.register_forward_pre_hook(lambda _, given: shapes.add(tuple(given[0].shape)))
        for network in networks
    ]
    try:
        answers = Local(64)(inference.queries(x, LEVEL, state))
        return shapes, inference.combine(answers, x, LEVEL, state)
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("kind", [SD15, SD21], ids=lambda kind: kind.name)
def test_body_and_face_at_the_sizes_of_the_paper(kind):
    """On the meta device: every shape, in the published architecture, and nothing computed."""
    graph = body_and_face(kind, "meta")
    face = graph.observations[1].view
    assert isinstance(face, Window) and face.size == (48, 48)
    unet = graph.observations[1].denoiser.cond.network.unet
    assert sum(p.numel() for p in unet.parameters()) == kind.parameters
    shapes, found = asked(graph, torch.empty(1, 4, 96, 96, device="meta"))
    assert shapes == {(2, 4, 96, 96), (2, 4, 48, 48)}
    assert found.x0.shape == (1, 4, 96, 96) and found.x0.device.type == "meta"


def test_a_panorama_of_three_windows_at_full_size():
    network, _ = networks(SD15, "meta")
    windows = cover((64, 160), (64, 64), (64, 48))
    assert len(windows) == 3
    graph = Graph(
        [Variable("x", (64, 160))],
        [
            Observation(f"y{i}", ("x",), said(network, 768, "meta", i), window)
            for i, window in enumerate(windows)
        ],
    )
    shapes, found = asked(graph, torch.empty(1, 4, 64, 160, device="meta"))
    assert shapes == {(6, 4, 64, 64)}
    assert found.x0.shape == (1, 4, 64, 160)


@pytest.mark.slow
def test_body_and_face_with_few_channels():
    """The same walk of sizes on the CPU: outside of the crop the body's word stands alone."""
    graph = body_and_face(SD21, "cpu", cross_attention_dim=16, attention_head_dim=2, **NARROW)
    x = torch.randn(1, 4, 96, 96, generator=torch.Generator().manual_seed(0))
    shapes, found = asked(graph, x)
    assert shapes == {(2, 4, 96, 96), (2, 4, 48, 48)}
    body, face = graph.observations
    whole, crop = body.denoiser(x, LEVEL).x0, face.denoiser(face.view.observe(x), LEVEL).x0
    expected = whole.clone()
    top, left = face.view.start
    inside = expected[..., top : top + 48, left : left + 48]
    inside.copy_((inside + crop) / 2)
    torch.testing.assert_close(found.x0, expected, rtol=1e-4, atol=1e-4)
    assert float((expected - whole).abs().max()) > 1e-3
