"""Sampling: the model's own distribution, likelihoods that agree with it, and texts that nothing else can move."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, untrained
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from natfp_bench.base.errors import UserError
from natfp_bench.corpus import tokens
from natfp_bench.models import model as models
from natfp_bench.models import sample
from natfp_bench.models.sample import SampleSet
from natfp_bench.models.sampler import draw, sampler_log_probabilities
from natfp_bench.plan.settings import ModelSpec, SamplingSpec


def spec(**given: Any) -> SamplingSpec:
    return SamplingSpec(**{"texts": 40, "max_tokens": 12, "block": 20, **given})


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Tokenizer:
    return tokens.load_tokenizer(tiny_model / "tokenizer.json")


@pytest.fixture(scope="module")
def end(tokenizer: Tokenizer) -> int:
    return int(tokenizer.token_to_id(tokens.END))


@pytest.fixture(scope="module")
def trained(tiny_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


def constant(logits: torch.Tensor, end: int) -> Any:
    """A real model that predicts the same logits everywhere: its last norm is turned into a constant."""
    of = ModelSpec(architecture="gpt2", width=32, layers=1, heads=2, feed_forward=64, context=32, tied_embeddings=False)
    model: Any = models.build(of, len(logits), end, "test").eval()
    with torch.no_grad():
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.fill_(1 / 32)
        model.lm_head.weight.copy_(logits[:, None].expand(-1, 32))
    return model


def blocks(
    model: Any, of: SamplingSpec, n: int, prompts: list[list[int]], tokenizer: Tokenizer, end: int, *stream: Any
) -> SampleSet:
    """Rows 0 to n, block by block."""
    starts = range(0, n, of.block)
    rows = [range(start, min(start + of.block, n)) for start in starts]
    parts = [sample.sample_rows(model, of, part, prompts, tokenizer, end, "test", *stream) for part in rows]
    return SampleSet.join(parts)


def plain(model: Any, of: SamplingSpec, samples: SampleSet, prompts: list[list[int]]) -> list[float]:
    """Log-probability of each text by one forward pass a text, no padding, no cache; warpers of transformers."""
    found = []
    for prompt_id, ids in zip(samples.prompts, samples.ids, strict=True):
        prompt = prompts[prompt_id % len(prompts)]
        row = torch.tensor([[*prompt, *ids]])
        with torch.no_grad():
            logits = model(input_ids=row).logits[0, len(prompt) - 1 : -1]
        logits = TemperatureLogitsWarper(of.temperature)(None, logits)
        if of.top_k:
            logits = TopKLogitsWarper(of.top_k)(None, logits)
        if of.top_p < 1:
            logits = TopPLogitsWarper(of.top_p)(None, logits)
        found.append(logits.log_softmax(-1).gather(-1, torch.tensor(ids)[:, None]).double().sum().item())
    return found


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
    """The model's own probabilities by plain forwards: of the first token (300,), and of pairs (300, 300)."""
    rows = torch.tensor([[end, token] for token in range(300)])
    with torch.no_grad():
        probabilities = trained(input_ids=rows).logits.double().softmax(-1)
    first = probabilities[0, 0].numpy()
    pairs = first[:, None] * probabilities[:, 1].numpy()
    # A text that ended has no second token: all of its mass stands in one cell.
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


# Likelihoods.

SERVED = {
    "plain": {},
    "cool": {"temperature": 0.7},
    "hot": {"temperature": 1.5},
    "top-k": {"top_k": 5},
    "top-p": {"top_p": 0.8},
    "all": {"temperature": 1.3, "top_k": 50, "top_p": 0.9},
}


@pytest.mark.parametrize("architecture", ["trained", *ARCHITECTURES])
@pytest.mark.parametrize("prompted", [False, True])
@pytest.mark.parametrize("served", SERVED)
def test_log_probabilities_are_those_of_a_plain_forward(
    trained: Any, tokenizer: Tokenizer, end: int, architecture: str, prompted: bool, served: str
) -> None:
    model = trained if architecture == "trained" else untrained(architecture, end)
    texts = ["The", "Her brother painted", "A", "", "The old judge lost two"] if prompted else [""]
    of = spec(**SERVED[served])
    prompts = sample.encode_prompts(tokenizer, texts, end, of, 32)
    samples = blocks(model, of, 40, prompts, tokenizer, end, 0)
    assert np.isfinite(samples.log_probability).all()
    expected = plain(model, of, samples, prompts)
    assert samples.log_probability == pytest.approx(expected, abs=2e-4)
    scored = sample.token_log_likelihood(model, of, samples, prompts, rows=7)
    assert scored.shape == (40, 12)
    assert scored.dtype == np.float32
    assert np.isfinite(scored).all(), "a token that was drawn can be drawn"
    assert scored.sum(1) == pytest.approx(expected, abs=2e-4)
    assert all((scored[i, length:] == 0).all() for i, length in enumerate(samples.lengths))


@pytest.mark.parametrize("served", SERVED)
def test_the_sampler_is_that_of_transformers(served: str) -> None:
    of = spec(**SERVED[served])
    logits = 3 * torch.randn(200, 300, generator=torch.Generator().manual_seed(0))
    expected = TemperatureLogitsWarper(of.temperature)(None, logits)
    if of.top_k:
        expected = TopKLogitsWarper(of.top_k)(None, expected)
    if of.top_p < 1:
        expected = TopPLogitsWarper(of.top_p)(None, expected)
    torch.testing.assert_close(sampler_log_probabilities(logits, of), expected.log_softmax(-1))


def test_truncation_by_hand() -> None:
    logits = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()

    def kept(**given: Any) -> list[float]:
        return sampler_log_probabilities(logits, spec(**given)).exp().tolist()

    assert kept(top_k=2) == pytest.approx([4 / 7, 3 / 7, 0, 0])
    assert kept(top_k=4) == kept(top_k=99) == kept() == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert kept(top_p=0.35) == pytest.approx([1, 0, 0, 0]), "the token that reaches the mass is in"
    assert kept(top_p=0.45) == pytest.approx([4 / 7, 3 / 7, 0, 0])
    assert kept(top_p=1e-9) == pytest.approx([1, 0, 0, 0]), "one token is always left"
    assert kept(top_k=3, top_p=0.5) == pytest.approx([4 / 7, 3 / 7, 0, 0]), "top-p counts what top-k has left"
    assert sampler_log_probabilities(logits, spec(top_k=3))[3].item() == -math.inf


def test_ties_at_a_boundary_are_kept() -> None:
    logits = torch.tensor([2.0, 1.0, 1.0, 1.0, 0.0])
    for given_ in ({"top_k": 2}, {"top_p": 0.6}):
        assert torch.isfinite(sampler_log_probabilities(logits, spec(**given_))).tolist() == [True] * 4 + [False]


@pytest.mark.parametrize("given_", [{"top_k": 2}, {"top_p": 0.6}])
def test_what_rounding_moves_across_a_boundary_counts_as_kept(given_: dict[str, Any]) -> None:
    """Sampler and scorer sum in other orders: the second and third token may change places between them."""
    logits = torch.tensor([2.0, 1.0 + 1e-6, 1.0, -3.0])
    swapped = torch.tensor([2.0, 1.0, 1.0 + 1e-6, -3.0])
    assert torch.isfinite(sampler_log_probabilities(logits, spec(**given_))).tolist() == [True, True, False, False]
    scored = sampler_log_probabilities(swapped, spec(**given_), boundary=sample.BOUNDARY)
    assert torch.isfinite(scored).tolist() == [True, True, True, False]


def test_mass_near_top_p_counts_as_below_it() -> None:
    logits = torch.tensor([0.400004, 0.3, 0.2, 0.099996]).log()
    of = spec(top_p=0.4)
    assert torch.isfinite(sampler_log_probabilities(logits, of)).tolist() == [True, False, False, False]
    scored = sampler_log_probabilities(logits, of, boundary=sample.BOUNDARY)
    assert torch.isfinite(scored).tolist() == [True, True, False, False]
    assert scored[0].item() == pytest.approx(0.0, abs=1e-6), "what the sampler surely draws is scored as it draws it"


def test_the_scorer_allows_for_rounding_at_a_boundary(end: int) -> None:
    logits = torch.full((300,), -20.0)
    logits[[5, 6, 7, 8]] = torch.tensor([2.0, 1.0, 1.0 - 2e-6, 1.0 - 1e-3])
    ids = [[5, 6], [5, 7], [5, 8]]
    zeros = np.zeros(3, dtype=np.int64)
    drawn = SampleSet(zeros, zeros, ids, ["", "", ""], zeros.astype(bool), zeros.astype(float))
    for given_ in ({"top_k": 2}, {"top_p": 0.6}):
        scored = sample.token_log_likelihood(constant(logits, end), spec(**given_), drawn, [[end]], rows=3)
        assert scored[1, 1] == pytest.approx(scored[0, 1], abs=1e-5)
        assert scored[0, :2].sum() == pytest.approx(2 - 2 * math.log(math.exp(2) + math.e) + 1, abs=1e-5)
        assert np.isneginf(scored[2, 1])


def test_a_text_outside_the_support_is_impossible(trained: Any, tokenizer: Tokenizer, end: int) -> None:
    wide, narrow = spec(), spec(top_k=3)
    samples = blocks(trained, wide, 40, [[end]], tokenizer, end, 0)
    free = sample.token_log_likelihood(trained, wide, samples, [[end]], rows=20)
    scored = sample.token_log_likelihood(trained, narrow, samples, [[end]], rows=20)
    assert np.isneginf(scored).any(1).mean() > 0.5
    assert (scored[np.isfinite(scored)] >= free[np.isfinite(scored)]).all(), "what is kept gains the mass cut off"


@pytest.mark.parametrize("given_", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-3}])
def test_greedy_limits(trained: Any, tokenizer: Tokenizer, end: int, given_: dict[str, Any]) -> None:
    samples = blocks(trained, spec(**given_), 20, [[end]], tokenizer, end, 0)
    assert all(ids == samples.ids[0] for ids in samples.ids)
    ids = [end, *samples.ids[0]]
    with torch.no_grad():
        assert trained(input_ids=torch.tensor([ids])).logits[0, :-1].argmax(-1).tolist() == ids[1:]
    assert samples.log_probability == pytest.approx(np.zeros(20), abs=1e-2)


# Nothing else moves a text.


def same(a: SampleSet, b: SampleSet) -> None:
    assert (a.ids, a.texts) == (b.ids, b.texts)
    for name in ("rows", "prompts", "ended", "log_probability"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


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


# Records and prompts.


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


# Texts made shorter, and read in other tokens.


@given(st.text(max_size=30), st.integers(0, 40))
def test_the_first_bytes_are_whole_characters(text: str, size: int) -> None:
    found = tokens.first_bytes(text, size)
    assert text.startswith(found)
    assert len(found.encode()) <= size
    # No further character would have fitted.
    assert found == text or len(text[: len(found) + 1].encode()) > size


def test_first_bytes_by_hand() -> None:
    assert [tokens.first_bytes("aé漢🙂", size) for size in range(11)] == [
        *["", "a", "a", "aé", "aé", "aé", "aé漢", "aé漢", "aé漢", "aé漢", "aé漢🙂"]
    ]


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
    """Scores of cut texts stand in arrays as wide as the cut."""
    samples = blocks(untrained("gpt2", end), spec(), 200, [[end]], tokenizer, end, 0)
    assert any("\ufffd" in text for text in samples.texts)
    for reader in (tokenizer, byte_tokenizer()):
        read = sample.retokenised(sample.cut_bytes(samples, size), reader, reader.token_to_id(tokens.END))
        assert read.lengths.max() <= size


def test_a_text_of_full_length_has_a_byte_a_token(tokenizer: Tokenizer, end: int) -> None:
    """So that texts that are cut to as many bytes as they may have tokens are all equally long, or have ended."""
    samples = blocks(untrained("gpt2", end), spec(), 200, [[end]], tokenizer, end, 0)
    for text, ids, ended in zip(samples.texts, samples.ids, samples.ended, strict=True):
        assert ended or len(text.encode()) >= len(ids)


def byte_tokenizer() -> Tokenizer:
    from natfp_bench.plan.settings import TokenizerSpec

    made = tokens.train_tokenizer(["text"], TokenizerSpec(vocabulary=257, train_bytes=1))
    made.encode_special_tokens = True
    return made
