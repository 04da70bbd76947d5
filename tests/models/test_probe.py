"""What models that were not trained here must show, on small models of many families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from foreign_models import BIDIRECTIONAL, KEEPING_KEYS, OTHER_STATE, foreign
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from natfp_bench.base.errors import UserError
from natfp_bench.corpus.tokens import TextReader
from natfp_bench.models import probe, sample
from natfp_bench.plan.text_settings import DrawSpec


@pytest.fixture
def reader(tokenizer: Tokenizer, end: int) -> TextReader:
    return TextReader(tokenizer, end, end)


def built(family: str, reader: TextReader) -> Any:
    return foreign(family, reader.tokenizer.get_vocab_size(), reader.end)


@pytest.mark.parametrize("family", KEEPING_KEYS)
def test_keys_and_values_are_kept_where_they_are_all_of_the_state(family: str, reader: TextReader) -> None:
    assert probe.probe(built(family, reader), reader, 64, family) == "kept"


@pytest.mark.parametrize("family", OTHER_STATE)
def test_a_model_with_a_state_of_its_own_is_sampled_as_it_scores(family: str, reader: TextReader) -> None:
    model, spec = built(family, reader), DrawSpec(max_tokens=12, block=8)
    assert probe.probe(model, reader, None, family) == "reread"
    prompts = [[reader.begin], [reader.begin, 3, 4]]
    rows = (range(8), prompts, reader.tokenizer, reader.end, "tests")
    drawn = sample.sample_rows(model, spec, *rows, prefix="reread")
    scored = sample.token_log_likelihood(model, spec, drawn, prompts, rows=8).sum(1)
    assert drawn.log_probability == pytest.approx(scored, abs=1e-3)
    probe.check_texts(model, spec, drawn, prompts, family)


@pytest.mark.parametrize("family", BIDIRECTIONAL)
def test_a_model_that_reads_later_tokens_is_refused(family: str, reader: TextReader) -> None:
    model = built(family, reader)
    with pytest.raises(UserError, match=f"^folder x: {type(model).__name__} is not causal"):
        probe.probe(model, reader, 64, "folder x")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(
    "place", ["transformer.wte.weight", "transformer.h.1.mlp.c_fc.bias", "transformer.ln_f.weight"]
)
def test_weights_that_are_no_numbers(place: str, value: float, reader: TextReader) -> None:
    model = built("gpt2", reader)
    with torch.no_grad():
        model.get_parameter(place).view(-1)[0] = value
    with pytest.raises(UserError, match=f"1 of its tensors hold weights that are no finite numbers: {place}"):
        probe.probe(model, reader, 64, "folder x")


def test_tokens_without_an_embedding(reader: TextReader) -> None:
    size = reader.tokenizer.get_vocab_size()
    model = foreign("gpt2", size - 5, 0)
    with pytest.raises(
        UserError, match=rf"the end token of its tokenizer has the number {size}, .* for {size - 5} tok"
    ):
        probe.probe(model, TextReader(reader.tokenizer, 0, size), 64, "folder x")
    with pytest.raises(UserError, match=f"the begin token of its tokenizer has the number {size - 5}"):
        probe.probe(model, TextReader(reader.tokenizer, size - 5, 0), 64, "folder x")
    with pytest.raises(UserError, match=f"the last token of its tokenizer has the number {size - 1}"):
        probe.probe(model, TextReader(reader.tokenizer, 0, 0), 64, "folder x")


@pytest.mark.parametrize(("special", "fits"), [(True, True), (False, False)])
def test_only_special_tokens_may_lack_an_embedding(reader: TextReader, special: bool, fits: bool) -> None:
    """Text that spells a special token is read as ordinary text; Gemma 3 has such a token."""
    larger = Tokenizer.from_str(reader.tokenizer.to_str())
    larger.add_tokens([AddedToken("<picture>", special=special)])
    model = built("gpt2", reader)
    if fits:
        assert probe.probe(model, reader._replace(tokenizer=larger), 64, "x") == "kept"
    else:
        with pytest.raises(UserError, match="the last token of its tokenizer"):
            probe.probe(model, reader._replace(tokenizer=larger), 64, "x")


# What a tokenizer gives back.

TEXTS = ["The miller sold a boat.", "  Two  spaces,\n\nand lines: caf\u00e9 \U0001f600!", "An end."]


def _without_decoder(made: Tokenizer) -> None:
    made.decoder = None


def _with_another_decoder(made: Tokenizer) -> None:
    made.decoder = decoders.WordPiece()


@pytest.mark.parametrize("damage", [_without_decoder, _with_another_decoder])
def test_a_tokenizer_that_gives_back_its_own_alphabet(reader: TextReader, damage: Callable[[Tokenizer], None]) -> None:
    assert probe.check_reading(reader, TEXTS, "folder x")
    damaged = Tokenizer.from_str(reader.tokenizer.to_str())
    damage(damaged)
    with pytest.raises(UserError, match=r"^folder x: its tokenizer does not give back what it reads: texts come out"):
        probe.check_reading(reader._replace(tokenizer=damaged), TEXTS, "folder x")


LOSSES: dict[str, tuple[Any, bool]] = {
    "nothing": (None, True),
    "the form of letters that look the same": (normalizers.NFC(), True),
    "spaces before the text": (normalizers.Strip(left=True, right=False), True),
    "capitals": (normalizers.Lowercase(), False),
    "accents": (normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), False),
    "spaces": (normalizers.Replace(Regex(" +"), " "), False),
    "letters": (normalizers.Replace("s", ""), False),
}


@pytest.mark.parametrize("lost", LOSSES)
def test_a_tokenizer_that_loses_something(reader: TextReader, lost: str) -> None:
    made = Tokenizer.from_str(reader.tokenizer.to_str())
    made.normalizer, lossless = LOSSES[lost]
    assert probe.check_reading(reader._replace(tokenizer=made), TEXTS, "folder x") == lossless


@pytest.mark.parametrize("special", [True, False])
def test_unknown_words_are_a_loss_and_no_strange_letters(special: bool) -> None:
    made = Tokenizer(models.WordLevel({"<unk>": 0, "The": 1, "boat": 2}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if special:
        made.add_special_tokens(["<unk>"])
    assert not probe.check_reading(TextReader(made, 0, 0), TEXTS, "folder x")


def llama_like(known: str) -> Tokenizer:
    """A tokenizer as Llama has it: spaces are letters, one is put before each text, and unknown letters are bytes."""
    letters = ["<unk>", "\u2581", *known, *(f"<0x{byte:02X}>" for byte in range(256))]
    made = Tokenizer(
        models.BPE({letter: i for i, letter in enumerate(letters)}, [], unk_token="<unk>", byte_fallback=True)
    )
    made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    made.decoder = decoders.Sequence(parts)
    return made


def test_letters_by_their_bytes_are_no_loss() -> None:
    assert probe.check_reading(TextReader(llama_like("abcdefgh"), 0, 0), TEXTS, "folder x")


def test_texts_drawn_with_other_probabilities_stop_the_run(reader: TextReader) -> None:
    model, spec = built("llama", reader), DrawSpec(max_tokens=12, block=8)
    drawn = sample.sample_rows(model, spec, range(8), [[reader.begin]], reader.tokenizer, reader.end, "tests")
    probe.check_texts(model, spec, drawn, [[reader.begin]], "folder x")
    wrong = replace(drawn, log_probability=drawn.log_probability + 0.02 * drawn.lengths)
    with pytest.raises(
        UserError, match=r"^folder x: its texts were drawn with other probabilities.*\n.*0.02 nats per token"
    ):
        probe.check_texts(model, spec, wrong, [[reader.begin]], "folder x")
    one = replace(drawn, log_probability=np.where(np.arange(8) == 3, -1e9, drawn.log_probability))
    probe.check_texts(model, spec, one, [[reader.begin]], "one text at the limit of top-p is no fault")


def test_errors_of_libraries_become_one_message_and_a_lack_of_memory_does_not() -> None:
    said = r"^folder x: it cannot be loaded\n  IndexError: 13 is out\n  and more\n  2\n  3\n  try again$"
    how = ("it cannot be loaded", "try again")
    with pytest.raises(UserError, match=said), probe.blamed_on("folder x", *how):
        raise IndexError("13 is out\n\n    and more\n2\n3\n4")
    with pytest.raises(UserError, match=r"x\n  ValueError: a{388}\n  try"), probe.blamed_on("x", "x", "try"):
        raise ValueError("a" * 10_000)
    for error in (MemoryError(), torch.OutOfMemoryError(), UserError("one"), KeyboardInterrupt()):
        with pytest.raises(type(error)), probe.blamed_on("folder x", *how):
            raise error
