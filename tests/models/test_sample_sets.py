"""Sample sets: written and read, cut to bytes and tokens, and read in the tokens of another tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from architectures import untrained
from samples import blocks, same, spec
from tokenizers import Tokenizer

from natfp_bench.corpus import tokens
from natfp_bench.models import sample
from natfp_bench.models.sample import SampleSet


def test_written_and_read_back_with_bytes_that_are_no_text(tokenizer: Tokenizer, end: int, tmp_path: Path) -> None:
    samples = blocks(untrained("llama", end), spec(), 40, [[end]], tokenizer, end, 0)
    assert any("\ufffd" in text for text in samples.texts)
    samples.write(tmp_path / "samples.parquet")
    again = SampleSet.read(tmp_path / "samples.parquet")
    same(again, samples)
    assert again.rows.dtype == again.prompts.dtype == np.int64
    assert again.ended.dtype == np.bool_
    again.log_probability[0] = 0.0  # what is read may be worked on
    empty = samples.take(np.zeros(40, dtype=bool))
    empty.write(tmp_path / "empty.parquet")
    assert SampleSet.read(tmp_path / "empty.parquet").ids == []


def test_take_and_join(trained: Any, tokenizer: Tokenizer, end: int) -> None:
    samples = blocks(trained, spec(), 40, [[end]], tokenizer, end, 0)
    odd = np.arange(40) % 2 == 1
    joined = SampleSet.join([samples.take(odd), samples.take(~odd)])
    same(joined.take(np.argsort(joined.rows)), samples)


# Texts that are cut, or read in other tokens.


def listed(texts: list[str], ids: list[list[int]], ended: list[bool]) -> SampleSet:
    rows = np.arange(len(texts))
    return SampleSet(rows, rows, ids, texts, np.array(ended), -1.0 * np.array([len(row) for row in ids]))


def test_texts_cut_to_bytes_have_ended_only_where_they_are_shorter(end: int) -> None:
    samples = listed(["abcdef", "abc", "ab", "", "abé"], [[5] * 6, [5, 5, 5, end], [5, 5], [end], [5, end]], [True] * 5)
    cut = sample.cut_bytes(samples, 3)
    assert cut.texts == ["abc", "abc", "ab", "", "ab"]
    assert cut.ended.tolist() == [False, False, True, True, False], "whether it went on behind the cut is not known"
    assert (cut.ids, cut.rows.tolist()) == (samples.ids, samples.rows.tolist())
    open_ = listed(["a", "abcd"], [[5], [5] * 4], [False, False])
    assert sample.cut_bytes(open_, 3).ended.tolist() == [False, False]
    same(sample.cut_bytes(samples, 10), samples)


def test_texts_cut_to_tokens_begin_as_the_whole(trained: Any, tokenizer: Tokenizer, end: int) -> None:
    of = spec(max_tokens=12)
    samples = blocks(trained, of, 40, [[end]], tokenizer, end, 0)
    for size in (1, 5, 12):
        cut = sample.cut_tokens(samples, size, tokenizer, end)
        assert cut.ids == [row[:size] for row in samples.ids]
        short = blocks(trained, spec(max_tokens=size), 40, [[end]], tokenizer, end, 0)
        assert (cut.ids, cut.texts) == (short.ids, short.texts), "as if no more had been drawn"
        assert cut.ended.tolist() == short.ended.tolist()
    same(sample.cut_tokens(samples, 99, tokenizer, end), samples)


def test_the_end_token_is_no_part_of_a_cut_text(tokenizer: Tokenizer, end: int) -> None:
    letter = tokenizer.token_to_id("a")
    samples = listed(["aa", "aaa"], [[letter, letter, end], [letter] * 3], [True, False])
    cut = [sample.cut_tokens(samples, size, tokenizer, end) for size in (2, 3)]
    assert [one.texts for one in cut] == [["aa", "aa"], ["aa", "aaa"]]
    assert [one.ended.tolist() for one in cut] == [[False, False], [True, False]]


def test_texts_are_read_in_the_tokens_of_another_tokenizer(trained: Any, tokenizer: Tokenizer, end: int) -> None:
    samples = blocks(untrained("llama", end), spec(), 40, [[end]], tokenizer, end, 0)
    samples = SampleSet.join([samples, blocks(trained, spec(), 40, [[end]], tokenizer, end, 0)])
    byte = byte_tokenizer()
    own_end = byte.token_to_id(tokens.END)
    read = sample.retokenised(samples, byte, own_end)
    for text, ids, ended in zip(samples.texts, read.ids, samples.ended, strict=True):
        assert len(ids) == len(text.encode()) + ended, "a token a byte, and the end where it was reached"
        assert (ids[-1:] == [own_end]) == ended
        assert byte.decode(ids[: len(ids) - int(ended)]) == text
    assert (read.texts, read.ended.tolist()) == (samples.texts, samples.ended.tolist())
    # Read again in its own tokens a text is the same text, but tokens may be others than were drawn.
    again = sample.retokenised(samples, tokenizer, end)
    assert [tokenizer.decode(ids) for ids in again.ids] == samples.texts


@pytest.mark.parametrize("size", [4, 12])
def test_a_text_cut_to_bytes_never_has_more_tokens_than_bytes(tokenizer: Tokenizer, end: int, size: int) -> None:
    """The arrays for scores of cut texts are as wide as the cut."""
    samples = blocks(untrained("gpt2", end), spec(), 200, [[end]], tokenizer, end, 0)
    assert any("\ufffd" in text for text in samples.texts)
    for reader in (tokenizer, byte_tokenizer()):
        read = sample.retokenised(sample.cut_bytes(samples, size), reader, reader.token_to_id(tokens.END))
        assert read.lengths.max() <= size


def test_a_text_of_full_length_has_a_byte_per_token(tokenizer: Tokenizer, end: int) -> None:
    """So texts that are cut to as many bytes as they may have tokens are equally long, unless they have ended."""
    samples = blocks(untrained("gpt2", end), spec(), 200, [[end]], tokenizer, end, 0)
    for text, ids, ended in zip(samples.texts, samples.ids, samples.ended, strict=True):
        assert ended or len(text.encode()) >= len(ids)


def byte_tokenizer() -> Tokenizer:
    from natfp_bench.plan.settings import TokenizerSpec

    made = tokens.train_tokenizer(["text"], TokenizerSpec(vocabulary=257, train_bytes=1))
    made.encode_special_tokens = True
    return made
