"""Songs, their notes and their labels."""

import pytest

from compose_core.errors import UsageError
from compose_worlds.dice import Dice, joined
from compose_worlds.stems import STEMS, Song, draw, labels
from compose_worlds.stems import patterns as tracker
from compose_worlds.stems.score import score
from compose_worlds.stems.song import FASTEST, SLOWEST, STEPS
from compose_worlds.stems.theory import LOOPS, MODES, frequency, quality, scale, signature, triad


def test_every_loop_sounds_its_whole_scale():
    for mode, loops in LOOPS.items():
        for loop in loops:
            chords = [triad(0, mode, degree) for degree in loop]
            assert set().union(*chords) == scale(0, mode)
            assert all((c[2] - c[0]) % 12 == 7 for c in chords)  # none is diminished


def test_keys_with_the_same_notes_have_the_same_signature():
    for tonic in range(12):
        for mode in MODES:
            assert scale(signature(tonic, mode), "major") == scale(tonic, mode)
    assert frequency(69) == 440 and quality(triad(0, "minor", 0)) == "minor"


def test_the_same_number_is_the_same_song_and_longer_ones_begin_alike():
    short, long = draw(7, 40), draw(7, 300)
    assert draw(7, 40) == short != draw(8, 40)
    assert long.sections[: len(short.sections)] == short.sections
    assert long.seconds >= 300 > short.seconds >= 40
    for a, b in zip(score(short), score(long), strict=True):
        assert b[: len(a)] == a
    assert draw(7, 3600).seconds >= 3600


def test_sections_follow_one_another_and_kinds_are_alike():
    song = draw(3, 200)
    at = 0
    for section in song.sections:
        assert section.start == at
        at += section.bars
        alike = [s for s in song.sections if s.kind == section.kind]
        assert {(s.loop, s.silent) for s in alike} == {(section.loop, section.silent)}
    played = score(song)[STEMS.index("piano")]
    first, second = [s for s in song.sections if s.kind == "chorus"][:2]

    def bars(section):
        start = section.start * STEPS
        stop = start + section.bars * STEPS
        return [n._replace(step=n.step - start) for n in played if start <= n.step < stop]

    assert bars(first) == bars(second) != []


def test_pitched_notes_are_of_the_scale_and_chords_of_the_chord():
    for seed in range(12):
        song = draw(seed, 60)
        known = labels(song)
        notes = dict(zip(STEMS, score(song), strict=True))
        for stem in ("bass", "guitar", "piano"):
            assert {n.pitch % 12 for n in notes[stem]} <= scale(song.tonic, song.mode)
        for note in notes["bass"]:
            chord = known.chords[note.step // STEPS]
            assert (note.pitch - chord.root) % 12 in (0, 7)
        for note in notes["guitar"]:
            chord = known.chords[note.step // STEPS]
            third = 4 if chord.quality == "major" else 3
            assert (note.pitch - chord.root) % 12 in (0, third, 7)


def test_silent_stems_rest():
    song = draw(5, 120)
    for section in song.sections:
        start, stop = section.start * STEPS, (section.start + section.bars) * STEPS
        for stem, notes in zip(STEMS, score(song), strict=True):
            assert any(start <= n.step < stop for n in notes) != (stem in section.silent)


def test_labels_tell_the_time():
    song = draw(11, 90)
    known = labels(song)
    assert len(known.beats) == 4 * song.bars and len(known.chords) == song.bars
    assert known.beats[1] == pytest.approx(60 / song.tempo)
    assert known.sections[-1][2] == pytest.approx(song.seconds)
    for bar, chord in zip(known.bars, known.chords, strict=True):
        assert chord.start == pytest.approx(bar)
        assert known.chord_at((chord.start + chord.end) / 2) == chord
    assert known.chord_at(-1) == known.chords[0] and known.chord_at(1e9) == known.chords[-1]


def test_songs_differ_as_they_should():
    songs = [draw(seed, 10) for seed in range(300)]
    assert {s.tonic for s in songs} == set(range(12)) and {s.mode for s in songs} == set(MODES)
    assert all(SLOWEST <= s.tempo <= FASTEST for s in songs) and FASTEST < 2 * SLOWEST
    assert all({s.patches[i] for s in songs} == {0, 1, 2} for i in range(4))
    assert all({s.grooves[i] for s in songs} == {0, 1, 2, 3} for i in range(4))
    assert all(s.sections[0].kind == "intro" for s in songs)


def test_impossible_songs_are_refused():
    with pytest.raises(UsageError, match="duration"):
        draw(0, 0.0)
    with pytest.raises(UsageError, match="no such song"):
        Song(seed=0, tonic=12, mode="major", tempo=100, sections=())
    assert draw(0).key.endswith(draw(0).mode)


def test_patterns_are_read_as_a_tracker_writes_them():
    assert tracker.struck("x-.1--x.") == [(0, 2, "x"), (3, 3, "1"), (6, 1, "x")]
    rows = [p for row in tracker.DRUMS for p in row]
    for pattern in (*tracker.BASS, *tracker.GUITAR, *tracker.PIANO, *rows, tracker.FILL):
        assert len(pattern) == STEPS


def test_dice_of_neighbouring_seeds_are_unrelated():
    assert joined(1, 2) != joined(2, 1) != joined(1, 2, 0)
    firsts = [Dice(seed).uniform(0, 1) for seed in range(400)]
    assert 0.45 < sum(firsts) / 400 < 0.55
    assert abs(sum((a - 0.5) * (b - 0.5) for a, b in zip(firsts, firsts[1:], strict=False))) < 5
    dice = Dice(1)
    assert {dice.below(3) for _ in range(50)} == {0, 1, 2} and not dice.happens(0)
