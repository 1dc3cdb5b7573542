import warnings
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from compose_core.errors import ShapeError, UsageError, WeightsError
from compose_core.evaluate import Local
from compose_core.sampler import Heun
from compose_core.schedule import KarrasVE
from compose_dde.composer import DDE
from compose_dde.coordinator import CoordinatorConfig, Transformer
from compose_dde.domain import Domain
from compose_dde.folder import Expansion, load_expansion, save_expansion
from compose_dde.known import Known
from compose_dde.pipeline import MapsPipeline, MusicPipeline, PositionsPipeline
from compose_dde.testing import Counted

LINE = CoordinatorConfig(channels=2, axes=1, patch=4, width=16, depth=1, heads=2, reach=1)
RATE = 16


def seed(number=0):
    return torch.Generator().manual_seed(number)


@pytest.fixture(scope="module")
def band(folders):
    return MusicPipeline.from_pretrained(folders["music"])


def test_a_folder_gives_back_what_was_saved(folders, draw):
    for folder in folders.values():
        one, other = load_expansion(folder), load_expansion(folder)
        assert one.walk == other.walk and one.window == other.window
        again = save_expansion(folder.parent / "again", one)
        assert (again / "dde.json").read_bytes() == (folder / "dde.json").read_bytes()
        for file in (
            "base.safetensors",
            *(f"coordinators/{n}.safetensors" for n in one.coordinators),
        ):
            mine, theirs = load_file(again / file), load_file(folder / file)
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(mine[k], theirs[k]) for k in mine)


@pytest.mark.parametrize("what", ["missing", "extra", "shape", "nan", "index", "absent"])
def test_folders_that_are_not_whole_are_refused(what, folders, tmp_path):
    folder = save_expansion(tmp_path / "broken", load_expansion(folders["music"]))
    weights = load_file(folder / "base.safetensors")
    name = next(iter(weights))
    if what == "missing":
        del weights[name]
    elif what == "extra":
        weights["more"] = torch.zeros(1)
    elif what == "shape":
        weights[name] = torch.zeros(1)
    elif what == "nan":
        weights[name][:] = float("nan")
    save_file(weights, folder / "base.safetensors")
    if what == "index":
        (folder / "dde.json").write_text('{"format": 1}')
    elif what == "absent":
        (folder / "base.safetensors").unlink()
    with pytest.raises(WeightsError):
        load_expansion(folder)


@pytest.mark.parametrize("duration", [0.1, 2.0, 4.1, 9.97])
@pytest.mark.parametrize("coordinator", [None, "rnn", "none"])
def test_music_is_as_long_as_asked_for(duration, coordinator, folders):
    pipe = MusicPipeline.from_pretrained(folders["music"], coordinator=coordinator, steps=2)
    made = pipe(duration, generator=seed(), num=2)
    assert made.stems.shape == (2, 2, round(duration * RATE))
    assert made.seconds == pytest.approx(duration, abs=1 / RATE)
    assert bool(torch.isfinite(made.stems).all()) and made.names == ("bass", "drums")
    torch.testing.assert_close(made.mix, made.stems.sum(1))


def test_the_same_seed_gives_the_same_music_in_any_batch(folders, band):
    one = band(5.0, generator=[seed(1), seed(2)], num=2).stems
    two = band(5.0, generator=[seed(2)]).stems
    torch.testing.assert_close(one[1:], two, rtol=1e-3, atol=1e-3)
    small = MusicPipeline.from_pretrained(folders["music"], evaluator=Local(1))
    torch.testing.assert_close(small(5.0, generator=[seed(2)]).stems, two, rtol=1e-3, atol=1e-3)


def test_a_loop_has_no_end(folders, draw):
    pipe = MusicPipeline.from_pretrained(folders["music"])
    x = draw(1, 2, 96)
    composed = pipe.denoiser(96, loop=True)
    level = KarrasVE().level(0.3)
    turned = composed(x.roll(24, 2), level).x0
    torch.testing.assert_close(turned, composed(x, level).x0.roll(24, 2), rtol=1e-3, atol=1e-3)
    assert pipe(6.0, generator=seed(), loop=True).stems.shape[2] == 96


@pytest.mark.parametrize("given", [5, 40, 90])
def test_a_continuation_keeps_what_was_given(given, band, draw):
    before = 0.1 * draw(2, given)
    made = band(10.0, generator=seed(), before=before, num=2).stems
    assert made.shape == (2, 2, 160)
    kept = given - band._fade
    assert torch.equal(made[:, :, :kept], before[:, :kept].expand(2, -1, -1))
    assert not torch.equal(made[0, :, given:], made[1, :, given:])
    assert float(made[:, :, given:].abs().max()) > 0


@pytest.mark.parametrize("hole", [(0.0, 1.0), (3.0, 5.0), (9.0, 10.0)])
def test_a_hole_is_filled_and_the_rest_left_alone(hole, band, draw):
    sound = 0.1 * draw(2, 160)
    made = band.infill(sound, hole, generator=seed()).stems[0]
    first, last = (round(second * RATE) for second in hole)
    fade = band._fade
    assert torch.equal(made[:, : max(first - fade, 0)], sound[:, : max(first - fade, 0)])
    assert torch.equal(made[:, last + fade :], sound[:, last + fade :])
    assert not torch.allclose(made[:, first:last], sound[:, first:last])
    drums = band.infill(sound, hole, generator=seed(), stems=("drums",)).stems[0]
    assert torch.equal(drums[0], sound[0]) and not torch.equal(drums[1], sound[1])


@pytest.mark.parametrize("duration", [1.0, 5.0, 20.0])
def test_a_stream_hands_out_what_it_will_not_change(duration, band):
    written = []
    pieces = list(band.stream(duration, generator=seed(), write=written.append))
    whole = torch.cat(pieces, 1)
    assert whole.shape == (2, round(duration * RATE))
    assert torch.equal(whole, torch.cat(written, 1))
    if duration > 5:
        assert len(pieces) > 2
        first = next(band.stream(duration, generator=seed()))
        assert torch.equal(first, pieces[0])


def test_what_is_known_keeps_its_noise_along_the_walk(draw):
    """At every level the model sees the known part with the very noise it began with."""
    domain = Domain.chain(56, 16, 12)
    network = Counted()
    values = draw(1, 2, 56, seed=1, dtype=torch.float64)
    mask = torch.zeros(1, 1, 56, dtype=torch.float64)
    mask[..., :20] = 1
    from compose_core.denoiser import Bound

    known = Known(DDE(Bound(network), domain), values, mask)
    noise = 5 * draw(1, 2, 56, dtype=torch.float64)
    x = known.start(noise)
    for moment in Heun(KarrasVE(0.01, 5.0).levels(6)).steps(known, x):
        sigma = float(moment.step.next.sigma)
        expected = values + sigma / 5 * noise
        torch.testing.assert_close(moment.x_t[..., :20], expected[..., :20])
    with pytest.raises(ShapeError, match="mask does not fit"):
        Known(DDE(Bound(network), domain), values, 2 * mask)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda p: p(0.0, generator=seed()), UsageError, "duration"),
        (lambda p: p(float("nan"), generator=seed()), UsageError, "duration"),
        (
            lambda p: p(2.0, generator=seed(), before=torch.zeros(2, 64)),
            UsageError,
            "nothing left",
        ),
        (
            lambda p: p(5.0, generator=seed(), before=torch.ones(1, 9)),
            ShapeError,
            "wrong channels",
        ),
        (lambda p: p(5.0, generator=seed(), before=torch.ones(2, 0)), ShapeError, "no sound"),
        (
            lambda p: p(5.0, generator=seed(), before=torch.full((2, 9), float("nan"))),
            ShapeError,
            "no numbers",
        ),
        (
            lambda p: p(5.0, generator=seed(), before=torch.ones(2, 9), loop=True),
            UsageError,
            "loop",
        ),
        (
            lambda p: p.infill(torch.ones(2, 64), (3.0, 5.0), generator=seed()),
            UsageError,
            "hole",
        ),
        (
            lambda p: p.infill(torch.ones(2, 64), (1.0, 2.0), generator=seed(), stems=("flute",)),
            UsageError,
            "flute",
        ),
        (lambda p: next(p.stream(5.0, generator=seed(), windows=1)), UsageError, "two windows"),
    ],
)
def test_bad_wishes_are_explained(call, kind, message, band):
    with pytest.raises((UsageError, ShapeError), match=message) as caught:
        call(band)
    assert isinstance(caught.value, kind)


def test_silence_and_clipping_are_said(band):
    for before, word in ((torch.zeros(2, 16), "silent"), (torch.full((2, 16), 2.0), "peak 2.00")):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            band(3.0, generator=seed(), before=before)
        assert any(word in str(line.message) for line in told)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_pictures_with_objects_at_places(count, folders):
    pipe = PositionsPipeline.from_pretrained(folders["positions"])
    places = [(0.2, 0.2), (0.8, 0.3), (0.4, 0.9)][:count]
    made = pipe(places, generator=seed(), num=2)
    assert made.shape == (2, 3, 8, 8) and bool(torch.isfinite(made).all())
    with pytest.raises(UsageError, match="too close"):
        pipe([(0.2, 0.2), (0.21, 0.2)], generator=seed())


def test_large_pictures_of_maps(folders, draw):
    pipe = MapsPipeline.from_pretrained(folders["maps"])
    chart = draw(3, 16, 24).clamp(-1, 1)
    made = pipe(chart, generator=seed())
    assert made.shape == (1, 3, 16, 24) and bool(torch.isfinite(made).all())
    other = pipe(-chart, generator=seed())
    assert not torch.allclose(made, other)
    with pytest.raises(UsageError, match="make it 24 x 16"):
        pipe(chart[:, :15, :23], generator=seed())
    with pytest.raises(ShapeError, match="broken"):
        pipe(2 * chart, generator=seed())
    with pytest.raises(UsageError, match="larger than the object"):
        pipe(chart[:, :4, :4], generator=seed())


def test_a_model_of_something_else_is_refused(folders):
    with pytest.raises(UsageError, match="not for music"):
        MusicPipeline.from_pretrained(folders["maps"])
    with pytest.raises(UsageError, match="no such coordinator"):
        MusicPipeline.from_pretrained(folders["music"], coordinator="full")


def test_every_step_is_heard(folders):
    seen = []
    pipe = MusicPipeline.from_pretrained(
        folders["music"], tick=lambda done, total: seen.append((done, total))
    )
    pipe(3.0, generator=seed())
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_untrained_coordinators_are_the_average(folders):
    expansion = load_expansion(folders["music"])
    plain = MusicPipeline(expansion, coordinator="none")
    config = CoordinatorConfig(**{**vars(LINE)})
    fresh = Expansion(**{**vars(expansion), "coordinators": {"new": Transformer(config)}})
    one = MusicPipeline(fresh)(6.0, generator=seed()).stems
    assert torch.equal(one, plain(6.0, generator=seed()).stems)


def test_holes_numbers_and_stems_that_make_no_sense(folders, draw):
    pipe = MusicPipeline.from_pretrained(folders["music"])
    sound, dice = draw(2, 64), torch.Generator().manual_seed(0)
    for hole in ((float("nan"), 2.0), (0.0, float("inf")), (1.0,), (3.0, 1.0)):
        with pytest.raises(UsageError, match="does not lie in the sound"):
            pipe.infill(sound, hole, generator=dice)
    with pytest.raises(UsageError, match="no stem"):
        pipe.infill(sound, (1.0, 2.0), generator=dice, stems=())
    with pytest.raises(UsageError, match="nothing is asked for"):
        pipe(5.0, generator=dice, num=0)
    with pytest.raises(UsageError, match="two windows"):
        pipe.stream(5.0, generator=dice, windows=0)
    with pytest.raises(UsageError, match="duration"):
        pipe.stream(float("nan"), generator=dice)
    with pytest.raises(ShapeError, match="is no tensor"):
        pipe(5.0, generator=dice, before=sound.numpy())


@pytest.mark.parametrize("places", [[(0.1, 0.5, 0.2)], [0.1, 0.5], (0.1, 0.5), [("a", "b")]])
def test_places_are_pairs(places, folders):
    pipe = PositionsPipeline.from_pretrained(folders["positions"])
    with pytest.raises(UsageError, match="pairs of numbers"):
        pipe(places, generator=torch.Generator())


def test_pictures_stay_within_the_bound_of_the_walk(folders):
    places = [(0.2, 0.3), (0.7, 0.6)]
    free = PositionsPipeline.from_pretrained(folders["positions"], w=20.0)
    kept = PositionsPipeline(free.expansion, walk=replace(free.walk, clip=0.25))
    assert free(places, generator=seed()).abs().max() > 0.25
    assert kept(places, generator=seed()).abs().max() <= 0.25 + 1e-5


def test_places_may_be_a_tensor(folders):
    pipe = PositionsPipeline.from_pretrained(folders["positions"])
    given = [(0.25, 0.5), (0.75, 0.5)]
    one, two = (
        pipe(places, generator=torch.Generator().manual_seed(0))
        for places in (given, torch.tensor(given))
    )
    torch.testing.assert_close(one, two)


def test_a_map_model_that_knows_no_empty_map_is_not_guided(folders, draw):
    pipe = MapsPipeline.from_pretrained(folders["maps"], w=2.0)
    chart = draw(3, 12, 12).clamp(-1, 1)
    with pytest.raises(UsageError, match="no guidance"):
        pipe(chart, generator=torch.Generator())
    pipe.expansion.facts["unconditional"] = True
    try:
        assert pipe(chart, generator=torch.Generator().manual_seed(0)).isfinite().all()
    finally:
        del pipe.expansion.facts["unconditional"]


def test_a_broken_map_says_how(folders, draw):
    pipe = MapsPipeline.from_pretrained(folders["maps"])
    chart = draw(3, 12, 12).clamp(-1, 1)
    chart[0, 0, :2] = float("nan")
    with pytest.raises(ShapeError, match="2 values that are no numbers"):
        pipe(chart, generator=torch.Generator())


def test_no_option_is_the_folders_own(folders):
    pipe = MusicPipeline.from_pretrained(folders["music"], steps=None, w=None, churn=None)
    assert pipe.walk == pipe.expansion.walk
    assert MusicPipeline.from_pretrained(folders["music"], steps=2, w=None).walk.steps == 2
