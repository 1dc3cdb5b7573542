import pytest
import torch

from compose_core.errors import ComposeError, ShapeError, UsageError
from compose_metrics.alignment.clip_score import CLIPScore, cosines
from compose_metrics.alignment.encoders import EncodedTexts
from compose_metrics.pictures import as_saved
from compose_metrics.result import Source


class Colours:
    """Pictures by their mean colour, texts by the colour that they name; four words fit."""

    source = Source(id="colours", sha256="", reference=False)
    size, transform = 8, "mean colour"
    words = {"red": (1.0, -1, -1), "green": (-1.0, 1, -1), "blue": (-1.0, -1, 1)}

    def encode_pictures(self, pictures):
        return pictures.mean((2, 3))

    def encode_texts(self, texts):
        rows = [self.words[text.split()[0]] for text in texts]
        return EncodedTexts(torch.tensor(rows), torch.tensor([len(t.split()) > 4 for t in texts]))


def plain(*colours):
    rows = torch.tensor([Colours.words[c] for c in colours])
    return rows[:, :, None, None].expand(-1, 3, 8, 8) * 0.5


def test_the_cosine_is_raw_per_sample_and_scaled_explicitly():
    shown, said = plain("red", "green"), ["red", "red"]
    raw = CLIPScore(Colours())
    raw.update(shown, said)
    result = raw.compute()
    assert result.per_sample.tolist() == pytest.approx([1, -1 / 3])
    assert result.value == pytest.approx(1 / 3)
    hundred = CLIPScore(Colours(), scale=100)
    hundred.update(shown, said)
    assert hundred.compute().value == pytest.approx(100 / 3)
    assert result.metric == "clip@colours" and result.params["scale"] == 1
    assert hundred.compute().params["scale"] == 100


def test_the_clamp_is_per_sample_unlike_torchmetrics():
    hessel = CLIPScore.hessel(Colours())
    hessel.update(plain("red", "green"), ["red", "red"])
    # Clamping the mean, as torchmetrics does, would give 2.5 * (1 - 1/3) / 2 = 0.83.
    assert hessel.compute().value == pytest.approx(2.5 / 2)
    assert hessel.compute().per_sample.tolist() == pytest.approx([2.5, 0])


def test_it_equals_torchmetrics_but_for_its_clamp():
    module = pytest.importorskip("torchmetrics.multimodal.clip_score")
    words = list(Colours.words)

    class Model(torch.nn.Module):
        config = None

        def get_image_features(self, pictures):
            return Colours().encode_pictures(pictures)

        def get_text_features(self, ids, mask):
            return Colours().encode_texts([words[i] for i in ids.tolist()]).embeddings

    def processor(images=None, text=None, **_):
        if images is not None:
            return {"pixel_values": torch.stack(images)}
        ids = torch.tensor([words.index(word) for word in text])
        return {"input_ids": ids, "attention_mask": ids}

    for said in (["red", "blue", "red"], ["blue", "green", "blue"]):
        theirs = module.CLIPScore(lambda: (Model(), processor))
        ours = CLIPScore(Colours(), scale=100)
        shown = plain("red", "green", "red")
        theirs.update(as_saved(shown), said)
        ours.update(shown, said)
        expected = ours.compute().value
        # The definition clamps each sample; they clamp the mean.
        assert float(theirs.compute()) == pytest.approx(max(expected, 0), rel=1e-5)


def test_truncated_texts_are_counted():
    metric = CLIPScore(Colours())
    metric.update(plain("red", "red"), ["red", "red with very many more words"])
    metric.update(plain("blue"), ["blue"])
    assert metric.compute().parts == {"truncated": 1}


def test_batches_and_order_do_not_matter():
    shown, said = plain("red", "green", "blue"), ["green", "green", "red"]
    whole, parts = CLIPScore(Colours()), CLIPScore(Colours())
    whole.update(shown, said)
    parts.update(shown[2:], said[2:], keys=[2])
    other = CLIPScore(Colours())
    other.update(shown[:2], said[:2], keys=[0, 1])
    parts.merge(other)
    assert torch.equal(whole.compute().per_sample, parts.compute().per_sample)
    assert whole.compute().to_json() == parts.compute().to_json()
    with pytest.raises(UsageError, match="not one of"):
        whole.merge(CLIPScore(Colours(), scale=100))


def test_bad_input_is_named():
    metric = CLIPScore(Colours())
    with pytest.raises(UsageError, match="every picture needs a text"):
        metric.update(plain("red"), "red")
    with pytest.raises(UsageError, match="empty text"):
        metric.update(plain("red"), [" "])
    with pytest.raises(ShapeError, match="range"):
        metric.update(plain("red") * 300, ["red"])
    with pytest.raises(UsageError, match="scale"):
        CLIPScore(Colours(), scale=0)
    with pytest.raises(ComposeError, match="too few"):
        metric.compute()
    with pytest.raises(ComposeError, match="no direction"):
        cosines(torch.zeros(1, 3), torch.ones(1, 3))
