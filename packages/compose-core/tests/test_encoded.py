"""Encoded conditions."""

import pytest
import torch

from compose_core.encoded import Encoded
from compose_core.errors import ShapeError


def sample(batch=2):
    return Encoded(text=torch.arange(batch * 6.0).reshape(batch, 3, 2), mask=torch.ones(batch, 4))


def test_a_mapping_with_one_batch():
    encoded = sample(batch=3)
    assert dict(encoded).keys() == {"text", "mask"} and len(encoded) == 2
    assert encoded.batch == 3


def test_different_batches_are_refused():
    with pytest.raises(ShapeError, match="batch axis"):
        Encoded(a=torch.ones(2, 1), b=torch.ones(3, 1))
    with pytest.raises(ShapeError, match="batch axis"):
        Encoded(a=torch.ones(()))


def test_it_cannot_be_changed():
    with pytest.raises(TypeError):
        sample()["text"] = torch.ones(2)
    given = {"a": torch.ones(1)}
    encoded = Encoded(given)
    given["b"] = torch.ones(1)
    assert list(encoded) == ["a"]


def test_selecting_the_rows_of_a_concatenation_gives_the_parts_back():
    first, second = sample(2), sample(3)
    both = Encoded.cat([first, second])
    for name in first:
        assert torch.equal(both.select(slice(0, 2))[name], first[name])
        assert torch.equal(both.select([2, 3, 4])[name], second[name])
        assert torch.equal(both.select(torch.tensor([4]))[name], second[name][2:])


def test_signatures_decide_what_can_share_a_batch():
    assert sample(1).signature() == sample(5).signature()
    longer = Encoded(text=torch.ones(1, 4, 2), mask=torch.ones(1, 4))
    assert longer.signature() != sample(1).signature()
    half = sample(1).to(dtype=torch.float16)
    assert half.signature() != sample(1).signature()
    with pytest.raises(ShapeError, match="share a batch"):
        Encoded.cat([sample(1), longer])
    with pytest.raises(ShapeError, match="share a batch"):
        Encoded.cat([])


def test_the_order_of_names_does_not_matter():
    a, b = torch.ones(1, 2), torch.ones(1, 3)
    both = Encoded.cat([Encoded(a=a, b=b), Encoded(b=b, a=a)])
    assert both["a"].shape == (2, 2) and both["b"].shape == (2, 3)


def test_expanding_shares_memory_and_repeating_repeats():
    one = sample(1)
    many = one.expand(4)
    assert many.batch == 4 and many["text"].data_ptr() == one["text"].data_ptr()
    assert many.expand(4) is many
    repeated = sample(2).repeat(3)["text"]
    assert torch.equal(repeated, torch.cat([sample(2)["text"]] * 3))
    with pytest.raises(ShapeError, match="does not fit"):
        sample(2).expand(3)


def test_an_empty_one_fits_any_batch():
    empty = Encoded()
    assert empty.batch == 1 and empty.expand(7) is empty and len(empty.signature()) == 0
    assert len(Encoded.cat([empty, empty])) == 0


def test_casting_leaves_whole_numbers_whole():
    cast = Encoded(text=torch.ones(1, 2), ids=torch.ones(1, 2, dtype=torch.long))
    cast = cast.to("cpu", torch.float16)
    assert cast["text"].dtype == torch.float16 and cast["ids"].dtype == torch.long


def test_equality_is_identity():
    encoded = sample()
    assert encoded == encoded and encoded != sample() and len({encoded, encoded}) == 1
    assert "text=(2, 3, 2)" in repr(encoded)
