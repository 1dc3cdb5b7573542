import torch

from compose_worlds.stems import cache


def test_songs_are_rendered_once_and_read_alike(tmp_path):
    found = cache.load(tmp_path, range(3, 6), 2000, 4000)
    assert found.shape == (3, 4, 4000) and found.dtype == torch.int16
    expected = cache.sixteen_bits(cache.stretch(4, 2000, 4000))
    assert torch.equal(found[1], expected) and expected.abs().max() > 500
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert torch.equal(cache.load(tmp_path, range(3, 6), 2000, 4000), found)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before and len(before) == 1


def test_sixteen_bits_clip():
    found = cache.sixteen_bits(torch.tensor([-2.0, -1.0, 0.0, 0.5, 3.0]))
    assert found.tolist() == [-32767, -32767, 0, 16384, 32767]
