"""Likelihoods of texts: those of a plain forward pass, under the sampler with its truncation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, untrained
from samples import blocks, constant, spec
from tokenizers import Tokenizer
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from natfp_bench.models import sample
from natfp_bench.models.sample import SampleSet
from natfp_bench.models.sampler import sampler_log_probabilities
from natfp_bench.plan.text_settings import SamplingSpec


def warped(logits: torch.Tensor, of: SamplingSpec) -> torch.Tensor:
    """Log-probabilities after transformers' warpers."""
    logits = TemperatureLogitsWarper(of.temperature)(None, logits)
    if of.top_k:
        logits = TopKLogitsWarper(of.top_k)(None, logits)
    if of.top_p < 1:
        logits = TopPLogitsWarper(of.top_p)(None, logits)
    return logits.log_softmax(-1)


def plain(model: Any, of: SamplingSpec, samples: SampleSet, prompts: list[list[int]]) -> list[float]:
    """Log-probability of each text by one forward pass per text, no padding, no cache, and transformers' warpers."""
    found = []
    for prompt_id, ids in zip(samples.prompts, samples.ids, strict=True):
        prompt = prompts[prompt_id % len(prompts)]
        row = torch.tensor([[*prompt, *ids]])
        with torch.no_grad():
            logits = model(input_ids=row).logits[0, len(prompt) - 1 : -1]
        found.append(warped(logits, of).gather(-1, torch.tensor(ids)[:, None]).double().sum().item())
    return found


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
    torch.testing.assert_close(sampler_log_probabilities(logits, of), warped(logits, of))


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
    """Sampler and scorer sum in different orders, so the second and the third token may change places."""
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
