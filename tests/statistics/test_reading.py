"""What an attributor reads of planted evidence: it is found by type, by position, and over texts judged together."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from natfp_bench.corpus.words import WORD_TYPES
from natfp_bench.statistics import reading

WIDTH, KINDS = 12, ("name", "content")


def planted(n: int, k: int, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, list[list[str]]]:
    """Log-likelihoods of tokens that are normal numbers with a mean of their class; truth, lengths, types."""
    rng = np.random.default_rng(seed)
    truth, means = np.repeat(np.arange(k), n), rng.normal(0, 0.4, (k, WIDTH))
    tokens = means[truth] + rng.normal(size=(n * k, WIDTH))
    lengths = rng.integers(1, WIDTH + 1, n * k)
    types = [[KINDS[int(rng.integers(2))] for _ in range(length)] for length in lengths]
    return [-((tokens - mean) ** 2) / 2 for mean in means], truth, lengths, types


def answers(found: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """Answers of an attributor that weighs the evidence of each part."""
    return softmax(np.stack([one @ np.array(weights) for one in found], axis=1), axis=1)


def test_the_evidence_of_parts_adds_up_to_that_of_the_texts() -> None:
    scores, _, lengths, types = planted(20, 3)
    whole = [sum(one[i, : lengths[i]].sum() for i in range(60)) for one in scores]
    for parts in (reading.by_type(types, WIDTH), reading.by_position(60, WIDTH)):
        found = reading.evidence(scores, lengths, parts)
        assert [one.sum() for one in found] == pytest.approx(whole)
        assert found[0].shape == (60, len(parts.names))
    assert reading.by_position(60, WIDTH).names == ["1", "2", "3-4", "5-8", "9-12"]
    assert reading.by_type(types, WIDTH).names == WORD_TYPES


def test_what_is_read_of_each_part_is_found() -> None:
    scores, truth, lengths, types = planted(300, 3)
    parts = reading.by_type(types, WIDTH)
    found = reading.evidence(scores, lengths, parts)
    weights = [0.8 if kind == "name" else 0.1 for kind in parts.names]
    got = {one.part: one for one in reading.parts_read(parts.names, found, answers(found, weights), truth, truth)}
    assert {name: one.share.value for name, one in got.items()} == pytest.approx({"name": 0.8, "content": 0.1})
    assert sum(one.bits_share for one in got.values()) == pytest.approx(1)
    assert got["name"].bits_share == pytest.approx(0.5, abs=0.1), "half of the tokens are of each type"


def test_an_attributor_of_no_part_reads_nothing_and_the_posterior_reads_everything() -> None:
    scores, truth, lengths, _ = planted(100, 4)
    parts = reading.by_position(400, WIDTH)
    found = reading.evidence(scores, lengths, parts)
    nothing = reading.parts_read(parts.names, found, np.full((400, 4), 0.25), truth, np.arange(400))
    assert [one.share.value for one in nothing] == [0] * 5
    everything = reading.parts_read(parts.names, found, answers(found, [1.0] * 5), truth, np.arange(400))
    assert [one.share.value for one in everything] == pytest.approx([1] * 5)


def test_intervals_of_shares_hold_over_prompts() -> None:
    """An attributor that is noisy in a way that the texts of a prompt share."""
    inside = 0
    for seed in range(60):
        scores, truth, lengths, types = planted(40, 2, seed)
        parts = reading.by_type(types, WIDTH)
        found, prompts = reading.evidence(scores, lengths, parts), np.tile(np.arange(40), 2)
        weights = [0.5 if kind == "name" else 0.2 for kind in parts.names]
        noise = np.random.default_rng(seed + 1000).normal(size=40)[prompts]
        logs = np.stack([one @ np.array(weights) for one in found], axis=1) + noise[:, None] * np.array([1.0, 0.0])
        got = {one.part: one for one in reading.parts_read(parts.names, found, softmax(logs, axis=1), truth, prompts)}
        inside += got["name"].share.low <= 0.5 <= got["name"].share.high
    assert 51 <= inside <= 60


def test_a_text_that_a_rival_could_not_write_is_left_out() -> None:
    scores, truth, lengths, types = planted(50, 2)
    parts = reading.by_type(types, WIDTH)
    expected = reading.parts_read(
        parts.names,
        [one[1:] for one in reading.evidence(scores, lengths, parts)],
        answers(reading.evidence(scores, lengths, parts), [0.5] * 6)[1:],
        truth[1:],
        truth[1:],
    )
    scores[1][0, 0] = -math.inf
    found = reading.evidence(scores, lengths, parts)
    proba = answers([np.nan_to_num(one, neginf=0.0) for one in found], [0.5] * 6)
    got = reading.parts_read(parts.names, found, proba, truth, truth)
    assert [one.share.value for one in got] == pytest.approx([one.share.value for one in expected])


def test_texts_judged_together_by_the_closed_form() -> None:
    """Two classes whose log-odds are normal: m texts of them are right with probability Phi(d sqrt(m) / 2)."""
    rng = np.random.default_rng(0)
    truth, d = np.repeat([0, 1], 20_000), 0.5
    seen = rng.normal(np.where(truth == 0, -d / 2, d / 2))
    proba = np.exp(log_softmax(np.stack([-d * seen, np.zeros(len(seen))], axis=1), axis=1))
    reached, most = reading.texts_to(proba, truth, 0.99, 0)
    assert most == 768
    assert reached == pytest.approx((2 * 2.3263 / d) ** 2, rel=0.1)
    assert reading.texts_to(proba[::100], truth[::100], 0.99, 0) == (None, 8)


def test_no_evidence_makes_no_reading() -> None:
    same = [np.zeros((4, WIDTH))] * 2
    lengths, truth = np.full(4, WIDTH), np.array([0, 0, 1, 1])
    parts = reading.by_position(4, WIDTH)
    divided = [(parts.names, reading.evidence(same, lengths, parts))] * 2
    assert reading.read("a", np.full((4, 2), 0.5), truth, truth, divided, 0) is None
