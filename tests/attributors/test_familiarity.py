"""How familiar a text is: an n-gram model of bytes, by hand and on texts unlike each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from natfp_bench.attributors.familiarity import END, ByteNgrams, Counts, _codes, _joined


def test_probabilities_after_any_context_sum_to_one() -> None:
    texts = ["abracadabra", "abba", "cadabra"]
    known = [Counts.of(codes) for codes in _codes(*_joined(texts))]
    for context in (b"abr", b"bra", b"zzz", b""):
        shorter = np.full(256, 1 / 256)
        padded = bytes([END] * 5) + context
        for order, counts in enumerate(known):
            before = int.from_bytes(padded[len(padded) - order :], "big")
            codes = np.array([(before << 8) | last for last in range(256)], dtype=np.uint64)
            shorter = counts.interpolated(codes, shorter)
            assert shorter.sum() == pytest.approx(1)


def test_familiarity_by_hand() -> None:
    """One text `a` has two symbols, `a` and the end: Witten and Bell's mixture, order by order."""
    model = ByteNgrams(["a"])

    def log_probability(uniform: float, longer: int) -> float:
        p = (1 + 2 * uniform) / (2 + 2)  # two symbols, each seen once, in the empty context
        for _ in range(longer):
            p = (1 + 1 * p) / (1 + 1)  # a context seen once, before one symbol
        return math.log(p)

    expected = (log_probability(1 / 256, 5) + log_probability(1 / 256, 5)) / 2
    assert model.familiarity(["a"])[0] == pytest.approx(expected)


def test_texts_unlike_the_training_texts_are_less_familiar() -> None:
    model = ByteNgrams([f"the old miller sold {what} at dawn." for what in ("a boat", "two horses", "the map")] * 20)
    near, code, other = model.familiarity(
        ["the old miller sold the boat.", "def f(x): return x", "Всё смешалось в доме."]
    )
    assert near > code > other
    texts = ["", "\ud800", "a" * 1000, "\0"]
    together = model.familiarity(texts)
    assert np.isfinite(together).all()
    assert together == pytest.approx([model.familiarity([text])[0] for text in texts])
    assert model.familiarity([]).shape == (0,)


def test_only_a_part_of_many_texts_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natfp_bench.attributors.familiarity.MOST_BYTES", 10)
    assert ByteNgrams(["aaaa", "zzzz"] * 5).familiarity(["zzzz"])[0] < ByteNgrams(["zzzz"]).familiarity(["zzzz"])[0]
