"""Rewriting of texts: it leads to the rewriter's own distribution, and touches nothing but tokens of a text."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from architectures import small
from numpy.typing import NDArray
from scipy import stats

from natfp_bench.models import model as models
from natfp_bench.models.rewrite import rewrite
from natfp_bench.models.sample import SampleSet

BEGIN, END = 5, 6


def samples(ids: list[list[int]]) -> SampleSet:
    ended = np.array([row[-1] == END for row in ids])
    rows = np.arange(len(ids))
    return SampleSet(rows, np.zeros(len(ids), np.int64), ids, [""] * len(ids), ended, np.zeros(len(ids)))


def sharp() -> torch.nn.Module:
    """A model of seven tokens whose probabilities are far from uniform."""
    model = models.build(small(), END + 1, END, "test", 3).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights *= 2
    return model


def probabilities(model: torch.nn.Module, texts: list[tuple[int, ...]], end: tuple[int, ...]) -> NDArray[np.float64]:
    """Of each text among those of its length, by enumeration."""
    tokens = torch.tensor([[BEGIN, *text, *end] for text in texts])
    with torch.inference_mode():
        logs = model(input_ids=tokens[:, :-1]).logits.double().log_softmax(-1)
    total = logs.gather(-1, tokens[:, 1:, None]).squeeze(-1).sum(1)
    return np.asarray(total.softmax(0))


def test_many_sweeps_end_in_the_distribution_of_the_rewriter() -> None:
    model, n = sharp(), 3000
    texts = list(itertools.product(range(END), repeat=2))
    for end in ((END,), ()):
        known = probabilities(model, texts, end)
        assert known.max() > 2 * known.min()
        written, changed = rewrite(model, samples([[0, 0, *end]] * n), BEGIN, END, "tests", len(end), sweeps=12)
        assert all(tuple(row[2:]) == end for row in written)
        counts = np.array([sum(tuple(row[:2]) == text for row in written) for text in texts])
        assert counts.sum() == n
        rare = known * n < 5
        seen, expected = counts[~rare], known[~rare] * n
        if rare.any():
            seen, expected = np.append(seen, counts[rare].sum()), np.append(expected, known[rare].sum() * n)
        assert stats.chisquare(seen, expected).pvalue > 0.001
        assert changed == sum(a != b for row in written for a, b in zip(row, [0, 0, *end], strict=True))


def test_a_text_does_not_depend_on_its_neighbours() -> None:
    model = sharp()
    ids = [[1, 2, 3, END], [4], [0, 1, 0], [END], [2, 2, 2, 2, 2]]
    together, _ = rewrite(model, samples(ids), BEGIN, END, "tests", sweeps=2)
    assert [len(row) for row in together] == [len(row) for row in ids]
    assert [row[-1] == END for row in together] == [row[-1] == END for row in ids]
    assert not any(END in row[:-1] for row in together)
    some, _ = rewrite(model, samples(ids).take(np.array([0, 4])), BEGIN, END, "tests", sweeps=2)
    assert some == [together[0], together[4]]
    other, _ = rewrite(model, samples(ids), BEGIN, END, "others", sweeps=2)
    assert other != together
