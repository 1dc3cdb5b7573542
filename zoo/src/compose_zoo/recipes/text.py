"""Tokenizer and text encoder of `sd-tiny`: the real CLIP classes, with a small vocabulary.

The vocabulary starts from all bytes, so any text can be written, if only letter by letter; the
words of the captions are single tokens.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from compose_worlds.primitives import draw

LENGTH = 32
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
EXTRA = (
    "photo view scene toys toy ball box ring pill ground floor sky desert lawn evening nothing "
    "many some several with and the of at in on near next to above below under between front "
    "back left right far close one two three four five six objects object things thing "
    "person figure people hills horizon panorama empty plain background gray brown pink"
)


def words() -> list[str]:
    """Sentences that hold every word of the captions (a few thousand drawn captions) and more."""
    found: list[str] = [EXTRA] * 50
    for number in range(4000):
        scene, claims = draw.scene(number)
        found.append(draw.caption(scene, claims, number).text)
    return found


def tokenizer() -> CLIPTokenizer:
    """A `CLIPTokenizer` whose merges are learned from the captions; the same at every call."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learned = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    learned.pre_tokenizer = split
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        min_frequency=2,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    corpus = [w for text in words() for w in text.replace(",", " , ").split()]
    learned.train_from_iterator(corpus, trainer)
    merges = [tuple(m) for m in json.loads(learned.to_str())["model"]["merges"]]
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    tokens += [a + b for a, b in merges if a + b not in tokens]
    tokens += [BOS, EOS]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)


def compact(folder: Path) -> None:
    """Rewrite the saved tokenizer in ``folder`` without white space, a third smaller."""
    path = folder / "tokenizer.json"
    table = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(table, ensure_ascii=False, separators=(",", ":")), "utf-8")


def text_encoder(made: CLIPTokenizer, seed: int = 0, width: int = 128) -> CLIPTextModel:
    """A fresh text encoder of three layers for a tokenizer."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        return CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(made),
                hidden_size=width,
                intermediate_size=4 * width,
                num_hidden_layers=3,
                num_attention_heads=4,
                max_position_embeddings=LENGTH,
                projection_dim=width,
                bos_token_id=made.bos_token_id,
                eos_token_id=made.eos_token_id,
                pad_token_id=made.pad_token_id,
                attention_dropout=0.0,
            )
        )
