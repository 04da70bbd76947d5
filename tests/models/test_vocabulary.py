"""Models with more or fewer tokens than their tokenizer, and with ends of their own, draw what can be read back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from foreign_models import KEEPING_KEYS, OTHER_STATE, foreign
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from natfp_bench.corpus.tokens import TextReader
from natfp_bench.models import probe, sample, vocabulary
from natfp_bench.models.sample import SampleSet
from natfp_bench.plan.text_settings import DrawSpec

SPEC = DrawSpec(max_tokens=12, block=16)


@pytest.fixture
def reader(tokenizer: Tokenizer, end: int) -> TextReader:
    return TextReader(tokenizer, end, end)


def drawn(model: Any, reader: TextReader) -> SampleSet:
    return sample.sample_rows(model, SPEC, range(16), [[reader.begin]], reader.tokenizer, reader.end, "tests")


def scored(model: Any, reader: TextReader, samples: SampleSet) -> Any:
    return sample.token_log_likelihood(model, SPEC, samples, [[reader.begin]], rows=16).sum(1)


@pytest.mark.parametrize("family", [*KEEPING_KEYS, "mamba", "rwkv"])
def test_padding_is_never_drawn(family: str, reader: TextReader) -> None:
    """Untrained padding has as much probability as any token, so that half of the tokens here would be padding."""
    assert family in {**KEEPING_KEYS, **OTHER_STATE}
    size = vocabulary.tokens(reader)
    model = foreign(family, 2 * size, reader.end)
    prefix = probe.probe(model, reader, 64, family)
    assert vocabulary.fit(model, reader) is model
    row = torch.arange(8)[None]
    with torch.inference_mode():
        assert model(input_ids=row).logits.shape == (1, 8, size)
    texts = sample.sample_rows(
        model, SPEC, range(16), [[reader.begin]], reader.tokenizer, reader.end, "t", prefix=prefix
    )
    assert max(max(ids) for ids in texts.ids) < size
    assert texts.log_probability == pytest.approx(scored(model, reader, texts), abs=1e-3)
    probe.check_texts(model, SPEC, texts, [[reader.begin]], family)


@settings(max_examples=15, deadline=None)
@given(more=st.tuples(st.integers(0, 90), st.integers(0, 90)), special=st.integers(0, 5))
def test_models_of_one_tokenizer_score_each_other_whatever_their_padding(
    tiny_model: Any, more: tuple[int, int], special: int
) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    ordinary = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens([f"<|{number}|>" for number in range(special)])
    reader = TextReader(tokenizer, 0, 0)
    models = [vocabulary.fit(foreign("gpt2", ordinary + extra, 0), reader) for extra in more]
    texts = [drawn(model, reader) for model in models]
    for model, extra in zip(models, more, strict=True):
        for samples in texts:
            found = scored(model, reader, samples)
            impossible = [max(ids) >= ordinary + extra for ids in samples.ids]
            assert np.isneginf(found).tolist() == impossible


def test_all_ends_are_one_end(reader: TextReader) -> None:
    tokenizer = Tokenizer.from_str(reader.tokenizer.to_str())
    tokenizer.add_special_tokens(["<|turn|>", "<|stop|>", "<|other|>"])
    reader = reader._replace(tokenizer=tokenizer)
    turn, stop, other = (tokenizer.token_to_id(name) for name in ("<|turn|>", "<|stop|>", "<|other|>"))
    plain, model = (foreign("llama", tokenizer.get_vocab_size(), reader.end) for _ in range(2))
    model.config.eos_token_id = turn
    model.generation_config.eos_token_id = [reader.end, turn, stop]
    assert vocabulary.other_ends(model, reader) == ([turn, stop], [])
    vocabulary.fit(model, reader)
    row = torch.arange(8)[None]
    with torch.inference_mode():
        before, after = (one(input_ids=row).logits.log_softmax(-1) for one in (plain, model))
    ends = [reader.end, turn, stop]
    torch.testing.assert_close(after[..., reader.end], before[..., ends].logsumexp(-1))
    assert torch.isneginf(after[..., [turn, stop]]).all()
    rest = [token for token in range(tokenizer.get_vocab_size()) if token not in ends]
    torch.testing.assert_close(after[..., rest], before[..., rest])
    texts = drawn(model, reader)
    assert not {turn, stop} & {token for ids in texts.ids for token in ids}
    assert texts.log_probability == pytest.approx(scored(model, reader, texts), abs=1e-3)
    assert torch.isfinite(after[..., other]).all()


@pytest.mark.parametrize(
    ("named", "ordinary"), [(40, [40]), ([0, 41, 40], [40, 41]), (None, []), (10**6, []), (-1, [])]
)
def test_ends_that_are_ordinary_text_are_reported_and_not_used(
    reader: TextReader, named: Any, ordinary: list[int]
) -> None:
    model = foreign("llama", vocabulary.tokens(reader), reader.end)
    model.config.eos_token_id = None
    model.generation_config.eos_token_id = named
    known = reader._replace(end=0)
    assert vocabulary.other_ends(model, known) == ([], ordinary)
    vocabulary.fit(model, known)
    assert torch.isfinite(model(input_ids=torch.arange(4)[None]).logits).all()


def test_a_special_token_of_text_is_no_end(reader: TextReader) -> None:
    tokenizer = Tokenizer.from_str(reader.tokenizer.to_str())
    tokenizer.add_tokens([AddedToken("<b>", special=False)])
    model = foreign("gpt2", tokenizer.get_vocab_size(), reader.end)
    model.generation_config.eos_token_id = tokenizer.token_to_id("<b>")
    assert vocabulary.other_ends(model, reader._replace(tokenizer=tokenizer)) == ([], [tokenizer.token_to_id("<b>")])
