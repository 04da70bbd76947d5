"""Bits by position and by type of token, against planted sources for which they are known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from natfp_bench.base.records import canonical_json
from natfp_bench.corpus.words import WORD_TYPES
from natfp_bench.statistics import token_evidence

START = np.array([[0.6, 0.3, 0.1], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
MOVES = np.array(
    [
        [[0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.1, 0.3, 0.6]],
        [[0.5, 0.3, 0.2], [0.3, 0.4, 0.3], [0.1, 0.2, 0.7]],
        [[0.8, 0.1, 0.1], [0.2, 0.4, 0.4], [0.3, 0.3, 0.4]],
    ]
)
"""Three Markov chains over three tokens; the first and the third have the same initial distribution."""


def markov(per_variant: int, length: int) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Tokens (n, length), the log-likelihoods of each under each chain, and the chain that wrote each text."""
    rng = np.random.default_rng(0)
    source = np.repeat(np.arange(3), per_variant)
    tokens = np.zeros((len(source), length), dtype=np.int64)
    for i in range(length):
        shares = START[source] if i == 0 else MOVES[source, tokens[:, i - 1]]
        tokens[:, i] = (rng.random(len(source))[:, None] > shares.cumsum(axis=1)).sum(axis=1).clip(max=2)
    scores = [
        np.log(np.column_stack([START[v, tokens[:, 0]], MOVES[v, tokens[:, :-1], tokens[:, 1:]]])) for v in range(3)
    ]
    return tokens, scores, source


def divergence_at(position: int, p: int, q: int) -> float:
    """KL divergence in bits of chain p from chain q at a position (the first is 1), in closed form."""
    if position == 1:
        return float(np.sum(START[p] * np.log2(START[p] / START[q])))
    before = START[p] @ np.linalg.matrix_power(MOVES[p], position - 2)
    return float(before @ np.sum(MOVES[p] * np.log2(MOVES[p] / MOVES[q]), axis=1))


@pytest.mark.parametrize("class_of", [None, [0, 1, 0]])
def test_ratios_by_position_are_the_divergences_of_the_chains(class_of: list[int] | None) -> None:
    _, scores, source = markov(4000, 6)
    lengths = np.random.default_rng(1).integers(2, 7, size=len(source))
    found = token_evidence.ratio_by_position(scores, source, lengths, None if class_of is None else np.array(class_of))
    assert [one.position for one in found] == [1, 2, 3, 4, 5, 6]
    rivals = {0: [1, 2], 1: [0, 2], 2: [0, 1]} if class_of is None else {0: [1], 1: [0, 2], 2: [1]}
    for one in found:
        assert one.texts == np.sum(lengths >= one.position)
        expected = np.mean([np.mean([divergence_at(one.position, p, q) for q in qs]) for p, qs in rivals.items()])
        assert abs(one.bits - expected) < 4 * one.standard_error
        assert one.standard_error < expected / 10
        assert one.impossible == 0
    json.loads(canonical_json(found))


def test_rivals_are_of_the_same_group() -> None:
    """A model of another replicate does not affect the evidence of two models, however different it is."""
    _, scores, source = markov(4000, 6)
    lengths = np.full(len(source), 6)
    classes, groups = np.array([0, 1, 1]), np.array([0, 0, 1])
    types = [["name"] * 6 for _ in source]
    together = [scores[0], scores[1]]
    two = source < 2
    expected = token_evidence.ratio_by_position([own[two] for own in together], source[two], lengths[two])
    found = token_evidence.ratio_by_position(scores, source, lengths, classes, groups)
    assert [one.bits for one in found] == pytest.approx([one.bits for one in expected])
    assert {one.texts for one in found} == {int(two.sum())}, "texts without a rival in their group are left out"
    [names] = [one for one in token_evidence.ratio_by_type(scores, source, lengths, types, classes, groups) if one.bits]
    assert names.bits == pytest.approx(np.mean([one.bits for one in expected if one.bits is not None]))
    assert token_evidence.ratio_by_position(scores, source, lengths, classes, np.zeros(3)) != found


def test_ratios_by_type_are_the_divergences_of_the_tokens() -> None:
    """For independent tokens, the bits of a type are its part of the divergence over its probability."""
    rng, shares = np.random.default_rng(0), np.array([[0.5, 0.3, 0.2], [0.3, 0.3, 0.4]])
    source, lengths = np.arange(4000) % 2, rng.integers(0, 9, size=4000)
    tokens = (rng.random((4000, 8))[..., None] > shares.cumsum(axis=1)[source][:, None]).sum(axis=2).clip(max=2)
    kinds = ["name", "content", "name"]
    types = [[kinds[token] for token in row[:length]] for row, length in zip(tokens, lengths, strict=True)]
    scores = [np.log(shares[v])[tokens].astype(np.float32) for v in range(2)]
    found = {one.type: one for one in token_evidence.ratio_by_type(scores, source, lengths, types)}
    assert list(found) == list(WORD_TYPES)
    part = [shares[p] * np.log2(shares[p] / shares[1 - p]) for p in range(2)]
    name, content = found["name"], found["content"]
    assert abs(name.bits - np.mean([row[0] + row[2] for row in part]) / 0.7) < 4 * name.standard_error
    assert name.standard_error < 0.02
    assert content.bits == pytest.approx(0.0, abs=1e-6)
    assert name.bits_share == pytest.approx(1.0, abs=1e-6)
    assert name.token_share == pytest.approx(0.7, abs=0.02)
    assert name.tokens + content.tokens == lengths.sum()
    assert found["end"].model_dump() == {
        "type": "end", "bits": None, "standard_error": None, "tokens": 0, "token_share": 0.0, "bits_share": 0.0,
        "impossible": 0,
    }  # fmt: skip
    json.loads(canonical_json(list(found.values())))


def test_standard_errors_by_type_are_over_texts() -> None:
    """z-scores over repeated experiments have unit spread, although all tokens of a text are the same."""
    rng, shares, scores = np.random.default_rng(0), np.array([[0.7, 0.3], [0.4, 0.6]]), []
    expected = np.sum(shares[0] * np.log2(shares[0] / shares[1]))
    for _ in range(200):
        lengths, tokens = rng.integers(1, 9, size=150), (rng.random(150) > 0.7).astype(int)
        likelihood = [np.tile(np.log(row)[tokens][:, None], (1, 8)) for row in shares]
        types = [["content"] * length for length in lengths]
        found = token_evidence.ratio_by_type(likelihood, np.zeros(150, dtype=int), lengths, types)[1]
        scores.append((found.bits - expected) / found.standard_error)
    assert np.std(scores) == pytest.approx(1.0, abs=0.2)


def test_impossible_rivals_are_left_out_and_counted() -> None:
    half, eighth = math.log(1 / 2), math.log(1 / 8)
    scores = [
        np.array([[half, half, np.nan], [half, half, half]]),
        np.array([[eighth, -np.inf, np.nan], [-np.inf, -np.inf, half]]),
        np.array([[half, -np.inf, np.nan], [eighth, -np.inf, half]]),
    ]
    source, lengths = np.array([0, 0]), np.array([2, 3])
    found = token_evidence.ratio_by_position(scores, source, lengths)
    assert [(one.bits, one.texts, one.impossible) for one in found] == [
        (pytest.approx(1.5), 2, 1),
        (None, 0, 4),
        (0.0, 1, 0),
    ]
    assert [one.standard_error for one in found] == [pytest.approx(0.5), None, None]
    types = [["function", "function"], ["function", "name", "function"]]
    by_type = {one.type: one for one in token_evidence.ratio_by_type(scores, source, lengths, types)}
    function, name = by_type["function"], by_type["name"]
    assert (function.bits, function.tokens, function.impossible) == (pytest.approx(1.0), 4, 3)
    assert (function.bits_share, function.token_share) == (pytest.approx(1.0), 0.8)
    assert (name.bits, name.tokens, name.impossible) == (None, 1, 2)


def test_no_ratio_of_impossible_sources_or_without_rivals() -> None:
    one, two = np.zeros(1, dtype=int), np.array([2])
    good, bad = np.array([[-1.0, -1.0]]), np.array([[-1.0, -np.inf]])
    with pytest.raises(ValueError, match="variant 0 wrote a token that is impossible"):
        token_evidence.ratio_by_position([bad, good], one, two)
    with pytest.raises(ValueError, match="variant 0 has no rival"):
        token_evidence.ratio_by_position([good, good], one, two, np.array([0, 0]))
    for nonsense in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite or -inf"):
            token_evidence.ratio_by_position([good, np.array([[-1.0, nonsense]])], one, two)
    for types, message in [
        ([["name"]], "do not fit its length"),
        ([["name", "verb"]], "unknown type of token 'verb'"),
    ]:
        with pytest.raises(ValueError, match=message):
            token_evidence.ratio_by_type([good, good], one, two, types)
    with pytest.raises(ValueError, match="no tokens"):
        token_evidence.ratio_by_type([good, good], one, np.array([0]), [[]])
    assert token_evidence.ratio_by_position([good, good], one, np.array([0])) == []


def test_identical_sources_give_no_bits() -> None:
    scores = [-np.random.default_rng(0).random((40, 5))] * 2
    source, lengths = np.arange(40) % 2, np.full(40, 5)
    assert {one.bits for one in token_evidence.ratio_by_position(scores, source, lengths)} == {0.0}
    by_type = token_evidence.ratio_by_type(scores, source, lengths, [["content"] * 5] * 40)
    assert {one.bits_share for one in by_type} == {None}
