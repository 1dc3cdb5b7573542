"""The tokenizer of sd-tiny takes any text, and speaks the captions' language in whole words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose_worlds.primitives import draw
from compose_zoo.recipes import denoiser, text


@pytest.fixture(scope="module")
def words():
    return text.tokenizer()


def test_the_vocabulary_is_the_same_every_time(words) -> None:
    again = text.tokenizer()
    assert again.get_vocab() == words.get_vocab()


def test_a_word_of_a_caption_is_one_token(words) -> None:
    for number in range(64):
        caption = draw.caption(*draw.scene(number), number).text
        count = len(caption.replace(",", " ,").split())
        assert len(words(caption).input_ids) == count + 2, caption


@given(st.text(max_size=80))
@settings(max_examples=300, deadline=None)
def test_any_text_has_tokens_of_the_vocabulary(words, some: str) -> None:
    ids = words(some, truncation=True, padding="max_length").input_ids
    assert len(ids) == text.LENGTH
    assert all(0 <= i < len(words) for i in ids)
    assert ids[0] == words.bos_token_id
    assert words.eos_token_id in ids


def test_the_end_mark_is_the_largest_number(words) -> None:
    """open_clip finds the end of a caption by its largest token."""
    assert words.eos_token_id == len(words) - 1


def test_captions_of_a_picture_and_of_its_mirror_image() -> None:
    """Plain captions come first; mirrored ones say left where the scene says right."""
    scenes = range(40)
    found = denoiser.sentences(scenes, range(3))
    assert len(found) == 2 * denoiser.CAPTIONS * (len(scenes) + 3)
    half = len(found) // 2
    for number in scenes:
        scene, claims = draw.scene(number)
        named = {r.name for r in draw.true_relations(list(scene.solids), scene.setting)}
        own = " ".join(found[number * denoiser.CAPTIONS : (number + 1) * denoiser.CAPTIONS])
        start = half + number * denoiser.CAPTIONS
        mirror = " ".join(found[start : start + denoiser.CAPTIONS])
        if "left of" not in named and "right of" not in named:
            assert "left of" not in own and "right of" not in own
            assert "left of" not in mirror and "right of" not in mirror


def test_some_captions_leave_out_the_place_or_the_objects() -> None:
    found = denoiser.sentences(range(400))
    vague = sum("toy" in t or "object" in t or "thing" in t for t in found) / len(found)
    assert abs(vague - denoiser.VAGUE) < 0.02
    places = ("grass", "sand", "desert", "snow", "room", "floor", "dusk", "evening")
    bare = sum(not any(p in t for p in places) for t in found) / len(found)
    assert abs(bare - denoiser.PLACELESS) < 0.03
