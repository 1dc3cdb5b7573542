"""What the tests of this package share."""

import pytest
import torch

from compose_core.testing.devices import device  # noqa: F401 (a fixture)


@pytest.fixture
def draw():
    """Noise; the same for the same shape and seed."""

    def make(*shape, seed=0, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(shape, generator=generator, dtype=dtype)

    return make


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Small folders of each subject, with random weights that say something."""
    home = tmp_path_factory.mktemp("expansions")
    from compose_dde.coordinator import CoordinatorConfig, Recurrent
    from compose_dde.folder import Expansion, Walk, save_expansion
    from compose_dde.networks import EDMNetwork, MapUNet, PositionUNet, UNet1d
    from compose_dde.testing import spoken

    line = CoordinatorConfig(channels=2, axes=1, patch=4, width=16, depth=1, heads=2, reach=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sound = EDMNetwork(UNet1d(2, 8, 2, (1, 2), (2,), (1,), (False,), 2, 4), 0.2, clamp=True)
        recurrent = Recurrent(UNet1d(6, 8, 2, (1, 2), (2,), (1,), (False,), 2, 4), 4, 0.2)
        place = EDMNetwork(PositionUNet(3, 8, (1, 2), 1, (2,), 8))
        chart = EDMNetwork(MapUNet(3, 3, 8, (1, 2), 8, 2, 4))
    walk = Walk(steps=3, churn=1.0)
    places = CoordinatorConfig(
        channels=3, axes=2, patch=4, width=16, depth=1, heads=2, maps=1, second="modulation"
    )
    charts = CoordinatorConfig(
        channels=3, axes=2, patch=2, width=16, depth=1, heads=2, context=3, second="mlp"
    )
    made = {
        "music": Expansion(
            subject="music",
            base=sound,
            coordinators={"local": spoken(line), "rnn": recurrent},
            channels=2,
            window=(32,),
            stride=(24,),
            walk=walk,
            facts={"sample_rate": 16, "stems": ["bass", "drums"], "grain": 4, "windows": 3},
        ),
        "positions": Expansion(
            subject="positions",
            base=place,
            coordinators={"full": spoken(places)},
            channels=3,
            window=(8, 8),
            stride=(8, 8),
            walk=Walk(steps=3, sigma_max=80.0, w=2.0),
            facts={"apart": 0.1},
        ),
        "maps": Expansion(
            subject="maps",
            base=chart,
            coordinators={"full": spoken(charts)},
            channels=3,
            window=(8, 8),
            stride=(4, 4),
            walk=walk,
            facts={"grain": 4},
        ),
    }
    return {name: save_expansion(home / name, one) for name, one in made.items()}
