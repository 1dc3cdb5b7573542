"""The whole way: pictures in a folder, triplets, three stages, an adapter that runs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from compose_cnc.data import Settings, Tools, find_source, make
from compose_cnc.folder import load_adapter
from compose_cnc.testing import EMBEDDING, SIZES
from compose_cnc.training import __main__ as command
from compose_cnc.training.__main__ import EPOCHS, main
from compose_cnc.training.samples import TripletSamples


@pytest.fixture
def triplets(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(4):
        values = np.random.default_rng(i).integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(values).resize((64, 64)).save(pictures / f"p{i}.png")
    said = {f"p{i}.png": ["one", "two", "three"][: i + 1] for i in range(4)}
    (pictures / "captions.json").write_text(json.dumps(said))

    def salient(shown):
        return torch.ones(len(shown), *shown.shape[2:]).triu()

    tools = Tools(
        inpaint=lambda shown, masks, generators: 1 - shown,
        depth=lambda shown: shown.mean(1),
        encode=lambda shown: shown.flatten(1)[:, :EMBEDDING],
        salient=salient,
        described={"test": 1},
    )
    out = tmp_path / "triplets"
    make(find_source(pictures), out, tools, Settings(size=64))
    return out


def test_samples_are_what_the_fusers_take(triplets, base):
    samples = TripletSamples(triplets, base.text.tokenizer)
    batch = samples.batch(torch.tensor([3, 0]))
    assert len(samples) == 4 and samples.embedding_dim == EMBEDDING
    for name in ("picture", "depth_fg", "depth_bg"):
        assert batch[name].shape == (2, 3, 64, 64)
    assert batch["mask"].shape == (2, 1, 64, 64) and batch["embedding_bg"].shape == (2, EMBEDDING)
    # Three captions and one: both are said three times in all.
    assert batch["tokens"].shape[:2] == (2, 3)
    assert len(batch["tokens"][0].unique(dim=0)) == 3
    assert len(batch["tokens"][1].unique(dim=0)) == 1
    assert -1 <= float(batch["picture"].min()) < 0 < float(batch["picture"].max()) <= 1
    again = samples.batch(torch.tensor([0, 3]))
    assert all(torch.equal(again[name].flip(0), batch[name]) for name in batch)


def test_epochs_are_the_papers():
    assert EPOCHS == {"local": 28, "global": 24, "joint": 9}


@pytest.mark.slow
def test_three_stages_and_an_adapter(triplets, base_folder, base, tmp_path, capsys, monkeypatch):
    common = ["--base", str(base_folder), "--data", str(triplets), "--batch", "2", "--steps", "2"]
    common += ["--sizes", "tiny", "--device", "cpu"]
    # The test model has two levels where sd-tiny has three.
    assert main(["local", *common, "--out", str(tmp_path / "no")]) == 1
    assert "feature" in capsys.readouterr().err
    monkeypatch.setitem(command._SIZES, "test", SIZES)
    common += ["--sizes", "test"]
    for stage in ("local", "global"):
        assert main([stage, *common, "--out", str(tmp_path / stage)]) == 0
    start = ["--start", *(str(tmp_path / stage / "export") for stage in ("local", "global"))]
    assert main(["joint", *common, "--out", str(tmp_path / "joint")]) == 1
    assert main(["joint", *common, "--out", str(tmp_path / "joint"), *start]) == 0
    found = load_adapter(tmp_path / "joint" / "export")
    assert found.local_fuser is not None and found.global_fuser is not None
    found.check_base(base.network.unet, base.codec.factor)
