"""Phrases are found where they stand, whatever the tokenizer makes of the words before."""

import pytest

from compose_core.errors import UsageError
from compose_realcompo.tokens import locate, with_phrases


class Words:
    """A tokenizer of pieces of at most three letters, with a mark at each end."""

    is_fast = True

    def __call__(self, text, return_offsets_mapping, truncation, max_length):
        import re

        pieces = []
        for match in re.finditer(r"\w+|[^\w\s]", text):
            start, stop = match.span()
            pieces += [(i, min(i + 3, stop)) for i in range(start, stop, 3)]
        offsets = [(0, 0), *pieces[: max_length - 2], (0, 0)]
        return type("Said", (), {"offset_mapping": offsets})()


def said(prompt, *phrases, length=77):
    return locate(Words(), prompt, phrases, length)


def test_pieces_before_and_punctuation_are_counted():
    # a | red | , | ext rem ely | red | sph ere
    found = said("a red, extremely red sphere", "red sphere")
    assert found.spans == ((7, 8, 9),)
    assert found.remarks == ()


def test_equal_phrases_take_their_turns_and_share_the_last():
    found = said("a cat and a cat", "cat", "cat", "cat")
    assert found.spans == ((2,), (5,), (5,))


def test_one_plural_serves_all():
    assert said("three red balls", "red ball", "red ball").spans == ((3, 4, 5), (3, 4, 5))
    assert said("two boxes", "box").spans == ((2, 3),)


def test_a_shorter_phrase_takes_what_is_not_part_of_a_longer_one():
    found = said("a blue cube and a cube", "blue cube", "cube")
    assert found.spans == ((2, 3, 4, 5), (8, 9))
    assert said("a blue cube", "blue cube", "cube").spans == ((2, 3, 4, 5), (4, 5))


def test_irregular_plurals():
    assert said("two babies", "baby").spans == ((2, 3),)
    assert said("dry leaves and knives", "leaf", "knife").spans == ((2, 3), (5, 6))


def test_case_and_spaces_do_not_matter_but_word_borders_do():
    assert said("A  Red \n Sphere", "red sphere").spans == ((2, 3, 4),)
    with pytest.raises(UsageError, match="not in the prompt"):
        said("a category", "cat")


def test_what_was_cut_off_is_said():
    found = said("a sphere and a cone", "sphere", "cone", length=6)
    assert found.spans == ((2, 3), ())
    assert "'cone' lies beyond" in found.remarks[0]


def test_a_region_without_words_has_no_tokens():
    assert said("a cone", "", "cone").spans == ((), (2, 3))


def test_signs_of_patterns_are_only_letters():
    assert said("a (red) cube? yes", "(red) cube").spans == ((2, 3, 4, 5, 6),)
    with pytest.raises(UsageError):
        said("a cube", "c.be")


def test_absent_phrases_are_appended_once_or_refused():
    assert with_phrases("on grass", ["a cone", "a cone", "grass"]) == "on grass, a cone"
    assert with_phrases("", ["a cone"]) == "a cone"
    with pytest.raises(UsageError, match="'a cone' not in 'on grass'"):
        with_phrases("on grass", ["a cone"], "refuse")


def test_a_real_tokenizer(models):
    tokenizer = models[0].text.tokenizer
    found = locate(tokenizer, "a red cube", ["red cube"], 77)
    ids = tokenizer("a red cube").input_ids
    words = tokenizer.decode([ids[i] for i in found.spans[0]]).replace(" ", "")
    assert words == "redcube"


def test_a_tokenizer_without_offsets_is_refused():
    with pytest.raises(UsageError, match="fast tokenizer"):
        locate(object(), "a cube", ["cube"], 77)
