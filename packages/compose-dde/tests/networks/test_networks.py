import math

import pytest
import torch

from compose_core.encoded import Encoded
from compose_core.errors import ShapeError, UsageError
from compose_core.prediction import Prediction
from compose_core.schedule import DiscreteVP, KarrasVE, Rectified
from compose_dde.networks import (
    Adapted,
    EDMNetwork,
    MapUNet,
    PositionUNet,
    UNet1d,
    from_diffusers,
)
from compose_dde.networks.mapunet import MAPS
from compose_dde.networks.unet1d import MSDM
from compose_dde.networks.unet2d import CLEVR, _bump
from compose_dde.precondition import Precondition

SIZES = {
    "msdm": (lambda: UNet1d(**MSDM), 405_497_700),
    "rrr as published": (lambda: PositionUNet(**{**CLEVR, "place": "linear"}), 42_211_075),
    "maps": (lambda: MapUNet(**MAPS), 270_044_563),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_the_paper(name):
    make, expected = SIZES[name]
    with torch.device("meta"):
        net = make()
    assert sum(p.numel() for p in net.parameters()) == expected


def test_names_of_published_weights():
    with torch.device("meta"):
        sound, places, charts = UNet1d(**MSDM), PositionUNet(**CLEVR), MapUNet(**MAPS)
    assert len(sound.state_dict()) == 434
    for net, names in (
        (
            sound,
            {
                "to_time.0.0.weights": (128,),
                "to_in.module_list.0.block.block1.groupnorm.weight": (4,),
                "downsamples.3.transformer.attention.fn.to_kv.weight": (2048, 1024),
                "downsamples.3.transformer.feed_forward.3.g": (1, 2048, 1),
                "downsamples.0.blocks.1.block2.project.weight": (512, 512, 3),
            },
        ),
        (
            places,
            {
                "time_embed.2.weight": (512, 512),
                "input_blocks.4.0.in_layers.2.weight": (256, 128, 3, 3),
                "middle_block.1.qkv.weight": (768, 256, 1),
                "null_emb.weight": (1, 512),
                "out.2.weight": (3, 128, 3, 3),
            },
        ),
        (
            charts,
            {
                "downs.0.2.mem_kv": (2, 8, 64, 4),
                "ups.0.2.mem_kv": (2, 8, 4, 64),
                "ups.4.3.weight": (128, 128, 3, 3),
                "time_mlp.0.weights": (16,),
                "final_res_block.res_conv.weight": (128, 256, 1, 1),
            },
        ),
    ):
        found = net.state_dict()
        assert {k: tuple(found[k].shape) for k in names} == names


def test_the_music_model_takes_twelve_seconds():
    with torch.device("meta"):
        net = UNet1d(**MSDM)
        assert net.grain == 8192 and 2**18 % net.grain == 0
        x = torch.empty(1, 4, 2**18)
        assert net(x, torch.empty(1), Encoded()).shape == x.shape


@pytest.mark.parametrize("sigma", [1e-4, 0.1, 1.0, 50.0])
@pytest.mark.parametrize("data", [0.2, 0.5])
def test_preconditioning_is_that_of_edm(sigma, data, draw):
    x, output = draw(2, 3, 8, dtype=torch.float64), draw(2, 3, 8, seed=1, dtype=torch.float64)
    level, made = KarrasVE().level(sigma), Precondition(data)
    skip = data**2 / (sigma**2 + data**2)
    out = sigma * data / (sigma**2 + data**2) ** 0.5
    x0 = made.wrap(output, x, level)
    torch.testing.assert_close(x0, skip * x + out * output)
    torch.testing.assert_close(made.unwrap(x0, x, level), output)
    assert float(made.scale(level)) == pytest.approx((sigma**2 + data**2) ** -0.5)
    assert float(made.noise(level)) == pytest.approx(math.log(sigma) / 4)
    assert float(made.weight(level)) == pytest.approx(out**-2)


@pytest.mark.parametrize("level", [Rectified().level(0.7), Rectified().level(1.0)])
def test_preconditioning_in_a_schedule_with_a_scale(level, draw):
    """The same of x / alpha at sigma / alpha; and finite where alpha is 0."""
    x, output = draw(1, 4, dtype=torch.float64), draw(1, 4, seed=1, dtype=torch.float64)
    made = Precondition(0.5)
    found = made.wrap(output, x, level)
    if float(level.alpha):
        same = KarrasVE().level(float(level.ratio))
        torch.testing.assert_close(found, made.wrap(output, x / float(level.alpha), same))
    else:
        torch.testing.assert_close(found, 0.5 * output)
        assert bool(torch.isfinite(made.noise(level)))


def test_a_network_gets_unit_variance_and_its_own_noise_level(draw):
    seen = []

    class Listener(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x, noise, encoded):
            seen.append((x, noise))
            return torch.zeros_like(x)

    net = EDMNetwork(Listener(), 0.3)
    x = 0.3 * draw(1, 1, 100_000)
    sigma = 2.0
    noisy = x + sigma * draw(1, 1, 100_000, seed=1)
    net(noisy, KarrasVE().level(sigma), Encoded())
    (heard, noise) = seen[0]
    assert float(heard.std()) == pytest.approx(1, abs=0.02)
    assert float(noise) == pytest.approx(0.25 * 0.693147, abs=1e-5)
    # A level of another schedule is the same question.
    level = DiscreteVP.from_config({"num_train_timesteps": 1000, "beta_schedule": "linear"}).level(
        torch.tensor(500.0)
    )
    ratio = KarrasVE().level(float(level.ratio))
    there = net(noisy * float(level.alpha), level, Encoded())
    torch.testing.assert_close(there.x0, net(noisy, ratio, Encoded()).x0, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("place", ["linear", "fourier", "mark"])
def test_absent_conditions_are_heard_as_such(draw, place):
    net = PositionUNet(3, 8, (1, 2), 1, (2,), 8, place).requires_grad_(False)
    torch.nn.init.normal_(net.out[2].weight, generator=torch.Generator().manual_seed(0))
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d) and not module.weight.any():
            torch.nn.init.normal_(module.weight, std=0.1)
    x, noise = draw(2, 3, 8, 8), torch.zeros(2)
    there = torch.tensor([[0.2, 0.7], [-1.0, -1.0]])
    both = net(x, noise, Encoded(position=there))
    none = net(x, noise, Encoded())
    torch.testing.assert_close(both[1], none[1])
    assert not torch.allclose(both[0], none[0])


def test_a_mark_lies_where_the_position_is():
    """On a wide picture too, and between cells; its moments are those of the bump."""
    where = torch.tensor([[0.25, 0.5], [0.5, 0.4], [-1.0, 0.5]])
    bump = _bump(torch.zeros(3, 3, 48, 96), Encoded(position=where))[:, 0]
    assert not bump[2].any()
    rows, cols = ((torch.arange(n) + 0.5) / n for n in (48, 96))
    for one, (u, v) in zip(bump[:2], where[:2].tolist(), strict=True):
        share = one / one.sum()
        assert float((share.sum(0) * cols).sum()) == pytest.approx(u, abs=1e-3)
        assert float((share.sum(1) * rows).sum()) == pytest.approx(v, abs=1e-3)
        spread = float((share.sum(0) * (cols - u) ** 2).sum()) ** 0.5
        assert spread == pytest.approx(1 / 16, rel=0.01)
    assert not _bump(torch.zeros(1, 3, 8, 8), Encoded()).any()


def test_wrong_sizes_are_explained(draw):
    net = UNet1d(2, 8, 2, (1, 2), (2,), (1,), (False,), 2, 4)
    with pytest.raises(ShapeError, match="multiple of 4"):
        net(draw(1, 2, 18), torch.zeros(1), Encoded())
    with pytest.raises(UsageError, match="do not fit together"):
        UNet1d(2, 8, 2, (1, 2), (2, 2), (1,), (False,))
    with pytest.raises(UsageError, match="unknown place"):
        PositionUNet(3, 8, (1,), 1, (), 8, "elsewhere")
    chart = MapUNet(3, 3, 8, (1, 2), 8, 2, 4)
    with pytest.raises(ShapeError, match="map does not fit"):
        chart(draw(1, 3, 8, 8), torch.zeros(1), Encoded(map=draw(1, 3, 4, 4)))


@pytest.mark.parametrize(
    ("output", "read"),
    [
        ("epsilon", Prediction.from_eps),
        ("v_prediction", Prediction.from_velocity),
        ("sample", Prediction.from_x0),
        ("flow", Prediction.from_flow),
    ],
)
def test_networks_of_other_makes_say_what_they_mean(output, read, draw):
    schedule = Rectified() if output == "flow" else DiscreteVP.from_config(
        {"num_train_timesteps": 1000, "beta_schedule": "linear"}
    )  # fmt: skip
    level = schedule.level(torch.tensor(0.4 if output == "flow" else 400.0))

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.full((1,), 0.3))

        def forward(self, x, t, encoded):
            return x * self.weight + t.reshape(-1, 1, 1) / 1000

    made = Adapted(Plain(), schedule, output).requires_grad_(False)
    x = draw(2, 2, 8)
    t = float(level.t)
    expected = read(x, level, 0.3 * x + t / 1000).x0
    torch.testing.assert_close(made(x, level, Encoded()).x0, expected)
    ve = KarrasVE().level(float(level.ratio))
    same = made(x / float(level.alpha), ve, Encoded()).x0
    torch.testing.assert_close(same, expected, rtol=1e-3, atol=1e-3)


def test_an_unconditional_unet_of_diffusers(draw):
    from diffusers import UNet2DModel

    unet = UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
    ).requires_grad_(False)
    schedule = DiscreteVP.from_config({"num_train_timesteps": 1000, "beta_schedule": "linear"})
    x, level = draw(2, 3, 8, 8), schedule.level(torch.tensor(300.0))
    found = from_diffusers(unet, schedule)(x, level, Encoded())
    torch.testing.assert_close(found.eps, unet(x, 300).sample, rtol=1e-4, atol=1e-4)


def test_an_unknown_output_is_refused():
    with pytest.raises(UsageError, match="unknown output"):
        Adapted(torch.nn.Identity(), Rectified(), "noise")
