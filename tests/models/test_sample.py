"""Sampling: texts follow the model's own distribution, and nothing else can change them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, untrained
from hypothesis import given
from hypothesis import strategies as st
from samples import blocks, constant, same, spec
from scipy import stats
from tokenizers import Tokenizer

from natfp_bench.base.errors import UserError
from natfp_bench.models import sample
from natfp_bench.models.sample import SampleSet
from natfp_bench.models.sampler import draw

# The distribution.


def chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
    """p-value of counts under expected counts; cells that expect fewer than five are pooled."""
    big = expected >= 5
    observed = np.append(observed[big], observed[~big].sum())
    expected = np.append(expected[big], expected[~big].sum())
    if expected[-1] < 1:
        observed, expected = observed[:-1], expected[:-1] * observed[:-1].sum() / expected[:-1].sum()
    return float(stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue)


@pytest.fixture(scope="module")
def truth(trained: Any, end: int) -> tuple[np.ndarray, np.ndarray]:
    """The model's own probabilities by plain forward passes: of the first token (300,), and of pairs (300, 300)."""
    rows = torch.tensor([[end, token] for token in range(300)])
    with torch.no_grad():
        probabilities = trained(input_ids=rows).logits.double().softmax(-1)
    first = probabilities[0, 0].numpy()
    pairs = first[:, None] * probabilities[:, 1].numpy()
    # A text that ended has no second token: all of its mass is in one cell.
    pairs[end] = 0.0
    pairs[end, end] = first[end]
    return first, pairs


def fit(samples: SampleSet, truth: tuple[np.ndarray, np.ndarray], end: int) -> tuple[float, float]:
    """p-values of the first tokens, and of the pairs of the first two."""
    first, pairs = np.zeros(300), np.zeros((300, 300))
    for ids in samples.ids:
        first[ids[0]] += 1
        pairs[ids[0], ids[-1] if len(ids) > 1 else end] += 1
    n = len(samples.ids)
    return chi_square(first, n * truth[0]), chi_square(pairs.reshape(-1), n * truth[1].reshape(-1))


def test_first_tokens_and_pairs_follow_the_softmax(
    trained: Any, tokenizer: Tokenizer, end: int, truth: tuple[np.ndarray, np.ndarray]
) -> None:
    of = spec(max_tokens=2, block=1000)
    samples = blocks(trained, of, 8000, [[end]], tokenizer, end, 0)
    first, pairs = fit(samples, truth, end)
    assert first > 1e-4
    assert pairs > 1e-4


def test_the_same_check_fails_at_another_temperature(
    trained: Any, tokenizer: Tokenizer, end: int, truth: tuple[np.ndarray, np.ndarray]
) -> None:
    of = spec(max_tokens=2, block=1000, temperature=0.8)
    samples = blocks(trained, of, 8000, [[end]], tokenizer, end, 0)
    first, pairs = fit(samples, truth, end)
    assert first < 1e-6
    assert pairs < 1e-6


def test_rows_and_positions_are_independent(tokenizer: Tokenizer, end: int) -> None:
    logits = torch.full((300,), -1e4)
    logits[[5, 6]] = 0.0
    of = spec(max_tokens=2, block=500)
    samples = blocks(constant(logits, end), of, 4000, [[end]], tokenizer, end, 0)
    drawn = np.array(samples.ids) - 5
    counts = np.bincount(drawn[:, 0] * 2 + drawn[:, 1], minlength=4)
    assert stats.chisquare(counts).pvalue > 1e-4
    neighbours = np.bincount(drawn[:-1, 0] * 2 + drawn[1:, 0], minlength=4)
    assert stats.chisquare(neighbours).pvalue > 1e-4
    assert samples.log_probability == pytest.approx(np.full(4000, 2 * math.log(0.5)), abs=1e-6)


# Nothing else changes a text.


@pytest.mark.parametrize("architecture", ["trained", *ARCHITECTURES])
@pytest.mark.parametrize("prompted", [False, True])
def test_a_limit_gives_a_prefix_whatever_the_order(
    trained: Any, tokenizer: Tokenizer, end: int, architecture: str, prompted: bool
) -> None:
    model = trained if architecture == "trained" else untrained(architecture, end)
    of = spec()
    prompts = sample.encode_prompts(tokenizer, ["The", "Her brother", "A"] if prompted else [""], end, of, 32)
    whole = blocks(model, of, 60, prompts, tokenizer, end, 1)
    assert whole.rows.tolist() == list(range(60))
    assert whole.prompts.tolist() == [row % 3 if prompted else row for row in range(60)]
    for n in (1, 7, 20, 33):
        same(blocks(model, of, n, prompts, tokenizer, end, 1), whole.take(np.arange(n)))
    late = sample.sample_rows(model, of, range(40, 60), prompts, tokenizer, end, "test", 1)
    same(late, whole.take(np.arange(60) >= 40))
    assert blocks(model, of, 60, prompts, tokenizer, end, 2).ids != whole.ids, "another stream, other texts"


def test_longer_texts_begin_alike(trained: Any, tokenizer: Tokenizer, end: int) -> None:
    short = blocks(trained, spec(max_tokens=5), 20, [[end]], tokenizer, end, 0)
    long = blocks(trained, spec(max_tokens=12), 20, [[end]], tokenizer, end, 0)
    assert [ids[:5] for ids in long.ids] == short.ids


# Ends.


def test_a_text_that_ends_at_once_is_kept_empty(tokenizer: Tokenizer, end: int) -> None:
    logits = torch.full((300,), -1e4)
    logits[end] = 0.0
    samples = blocks(constant(logits, end), spec(), 25, [[end]], tokenizer, end, 0)
    assert samples.texts == [""] * 25
    assert samples.ids == [[end]] * 25
    assert samples.ended.all()
    assert samples.log_probability == pytest.approx(np.zeros(25), abs=1e-6)


def test_texts_end_at_their_first_end_token(tokenizer: Tokenizer, end: int) -> None:
    letter = tokenizer.token_to_id("a")
    logits = torch.full((300,), -1e4)
    logits[[end, letter]] = torch.tensor([0.25, 0.75]).log()
    model = constant(logits, end)
    of = spec(block=500, max_tokens=6)
    samples = blocks(model, of, 2000, [[end]], tokenizer, end, 0)
    lengths = samples.lengths
    for ids, text, ended in zip(samples.ids, samples.texts, samples.ended, strict=True):
        assert ids == [letter] * len(text) + [end] * int(ended)
    assert (lengths[~samples.ended] == 6).all()
    expected = lengths - samples.ended
    assert samples.log_probability == pytest.approx(
        expected * math.log(0.75) + samples.ended * math.log(0.25), abs=1e-5
    )
    counts = np.bincount(lengths * 2 + samples.ended, minlength=14)[[3, 5, 7, 9, 11, 13, 12]]
    chances = [0.25 * 0.75**i for i in range(6)] + [0.75**6]
    assert stats.chisquare(counts, 2000 * np.array(chances)).pvalue > 1e-4
    scored = sample.token_log_likelihood(model, of, samples, [[end]], rows=100)
    assert scored.sum(1) == pytest.approx(samples.log_probability, abs=1e-5)


# Drawing by inversion.


def test_draw_by_hand() -> None:
    chances = torch.tensor([[0.0, 0.25, 0.0, 0.5, 0.25, 0.0]])
    almost = 1 - 2.0**-53
    for uniform, token in {0.0: 1, 0.2499: 1, 0.2501: 3, 0.7499: 3, 0.7501: 4, almost: 4}.items():
        assert draw(chances.log(), torch.tensor([uniform], dtype=torch.float64)).tolist() == [token], uniform


@given(st.lists(st.floats(-30, 30) | st.just(-math.inf), min_size=1, max_size=100), st.floats(0, 1, exclude_max=True))
def test_nothing_impossible_is_ever_drawn(logits: list[float], uniform: float) -> None:
    if max(logits) == -math.inf:
        return
    log_probabilities = torch.tensor([logits]).log_softmax(-1)
    for u in (uniform, 0.0, 1 - 2.0**-53):
        token = int(draw(log_probabilities, torch.tensor([u], dtype=torch.float64))[0])
        assert 0 <= token < len(logits)
        assert logits[token] > -math.inf
        cumulative = np.cumsum(log_probabilities.double().exp()[0].numpy())
        # Single precision decides which of two neighbours a number right between them means.
        assert cumulative[token] >= u * cumulative[-1] - 1e-6
        assert token == 0 or cumulative[token - 1] <= u * cumulative[-1] + 1e-6


# Prompts.


def test_prompts_that_leave_no_room(tokenizer: Tokenizer, end: int) -> None:
    prompt = "The old judge lost two horses by the river"
    length = 1 + len(tokenizer.encode(prompt).ids)
    of = spec(max_tokens=33 - length, prompt_characters=len(prompt))
    assert len(sample.encode_prompts(tokenizer, ["", prompt], end, of, 32)[1]) == length
    with pytest.raises(UserError) as caught:
        sample.encode_prompts(tokenizer, ["", prompt], end, of.model_copy(update={"max_tokens": 34 - length}), 32)
    assert f"takes {length} tokens" in str(caught.value)
    assert "--set sampling.max_tokens=" in str(caught.value)


def test_the_whole_context_can_be_sampled(tokenizer: Tokenizer, end: int) -> None:
    for architecture in ARCHITECTURES:
        model = untrained(architecture, end)
        of = spec(max_tokens=32)
        samples = blocks(model, of, 20, [[end]], tokenizer, end, 0)
        assert samples.lengths.max() == 32
        scored = sample.token_log_likelihood(model, of, samples, [[end]], rows=20)
        assert scored.sum(1) == pytest.approx(samples.log_probability, abs=2e-4)


def test_a_prompt_is_no_part_of_its_text(trained: Any, tokenizer: Tokenizer, end: int) -> None:
    of = spec()
    prompts = sample.encode_prompts(tokenizer, ["The old judge", "A sailor"], end, of, 32)
    samples = blocks(trained, of, 20, prompts, tokenizer, end, 0)
    for ids, text, ended in zip(samples.ids, samples.texts, samples.ended, strict=True):
        assert text == tokenizer.decode(ids[: len(ids) - int(ended)])
        assert len(ids) <= 12
