"""The eyes see what is there: renders of the scenes score high, renders of others low."""

import pytest
import torch

from compose_benchmarks import measure
from compose_benchmarks.gallery import Gallery
from compose_benchmarks.judges import Eyes
from compose_benchmarks.registry import find
from compose_core.errors import ComposeError
from compose_worlds.primitives.render import picture
from compose_worlds.primitives.world import stack

pytestmark = pytest.mark.weights
N = 24
SUITES = {
    "regional-attributes": 0.75,
    "regional-spatial": 0.75,
    "regional-depth": 0.7,
    "regional-numeracy": 0.75,
    "regional-complex": 0.7,
}


@pytest.fixture(scope="module")
def eyes():
    return Eyes()


def rendered(name, eyes, n=N, shift=0):
    suite = find(name)
    items = suite.items(n)
    shown = picture(stack([item.drawn for item in items]), (64, 64)).roll(shift, 0)
    pictures = (shown * 255).round().to(torch.uint8)
    return Gallery(suite=suite, items=items, pictures=pictures, eyes=eyes)


@pytest.mark.parametrize("name", SUITES)
def test_renders_keep_their_promises_and_others_do_not(name, eyes):
    suite = find(name)
    right, wrong = (
        {r.metric: r for r in measure.score(rendered(name, eyes, shift=shift))} for shift in (0, 1)
    )
    assert right[suite.primary].value > SUITES[name]
    for metric, result in right.items():
        assert result.value > wrong[metric].value, metric
        assert result.n == N and result.extractor is not None
        assert metric.endswith("@tiny-v1") and not result.extractor.reference
        assert result.per_sample is not None and result.keys.tolist() == list(range(N))
        assert result.interval is not None


def test_reconstruction_knows_its_own_scene(eyes):
    right, wrong = (
        {r.metric: r.value for r in measure.score(rendered("reconstruction", eyes, shift=shift))}
        for shift in (0, 1)
    )
    assert right["ssim"] > 0.999 > wrong["ssim"]
    assert right["lpips@tiny-v1"] < 0.001 < wrong["lpips@tiny-v1"]
    assert right["depth-mae@tiny-v1"] < 0.05 < wrong["depth-mae@tiny-v1"]


def test_noise_is_far_from_the_world(eyes):
    real = rendered("quality", eyes)
    dice = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, real.pictures.shape, generator=dice, dtype=torch.uint8)
    near = {r.metric: r for r in measure.score(real)}
    far = {
        r.metric: r
        for r in measure.score(
            Gallery(suite=real.suite, items=real.items, pictures=noise, eyes=eyes)
        )
    }
    assert near["fid@tiny-v1"].value < far["fid@tiny-v1"].value / 2
    assert near["kid@tiny-v1"].value < far["kid@tiny-v1"].value
    assert near["clip@tiny-v1"].value > far["clip@tiny-v1"].value + 0.2
    assert near["fid@tiny-v1"].n_reference == 256


def test_the_judge_looks_once_and_answers_by_kind_and_number(eyes):
    gallery = rendered("regional-numeracy", eyes)
    (part,) = gallery.parts()
    questions = [f"{item.caption.claims[0].words()}?" for item in part.items]
    answers = eyes.judge.answer(part.pictures, questions)
    assert answers.mean() > 0.6
    calls = []
    handle = eyes.judge.network.register_forward_hook(lambda *_: calls.append(1))
    again = eyes.judge.answer(part.pictures, questions)
    handle.remove()
    assert torch.equal(again, answers) and not calls
    with pytest.raises(ComposeError, match="cannot answer"):
        eyes.judge.answer(part.pictures[:1], ["a dog?"])


def test_clip_knows_long_texts(eyes):
    read = eyes.clip.encode_texts(["a red cube", "a red cube and " * 40])
    assert read.truncated.tolist() == [False, True]
    assert read.embeddings.shape == (2, eyes.clip.dim)


def test_told_suites_measure_both_what_is_asked_and_what_is_real(eyes):
    gallery = rendered("realcompo-spatial", eyes)
    flat = Gallery(
        suite=gallery.suite,
        items=gallery.items,
        pictures=torch.full_like(gallery.pictures, 128),
        eyes=eyes,
    )
    mixed = Gallery(
        suite=gallery.suite,
        items=gallery.items,
        pictures=(gallery.pictures // 2 + gallery.pictures.roll(1, 0) // 2),
        eyes=eyes,
    )
    right, blurred, empty = (
        {r.metric: r for r in measure.score(one)} for one in (gallery, mixed, flat)
    )
    assert right["fid@tiny-v1"].value < blurred["fid@tiny-v1"].value
    clarity = [scores["clarity@tiny-v1"].value for scores in (right, blurred, empty)]
    assert clarity[0] > 0.9 > clarity[1] >= clarity[2]
    assert right["clarity@tiny-v1"].per_sample.shape == (N,)
    assert right["objects@tiny-v1"].value > 0.9
    assert right["placed@tiny-v1"].value > 0.9
