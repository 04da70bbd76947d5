"""Where the fingerprint is, by the likelihoods: how many bits each token gives for its source.

Shapes, for n texts and V variants: `token_log_likelihood` V arrays (n, L) float, nats of each token of every text under
each variant's actual sampler, -inf if it is impossible; `source` (n,) int, the variant that wrote the text; `lengths`
(n,) int, its tokens; `class_of` (V,) int, the class of each variant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from natfp_bench.base.records import Record
from natfp_bench.corpus.words import WORD_TYPES

from .intervals import Floats, Ints


class PositionRatio(Record):
    """Bits that the token at one position (the first is 1) gives for its source; None if no rival could write it.

    texts: number of texts in the mean; impossible: pairs of text and rival that are left out because the rival could
    not write the token.
    """

    position: int
    bits: float | None
    standard_error: float | None
    texts: int
    impossible: int


class TypeRatio(Record):
    """Bits that a token of one type gives for its source, None if there is none, and the type's share of all bits.

    tokens, token_share: all tokens of the type; impossible: pairs of token and rival that are left out because the
    rival could not write the token.
    """

    type: str
    bits: float | None
    standard_error: float | None
    tokens: int
    token_share: float
    bits_share: float | None
    impossible: int


def ratio_by_position(
    token_log_likelihood: Sequence[NDArray[Any]],
    source: Ints,
    lengths: Ints,
    class_of: Ints | None = None,
    group_of: Ints | None = None,
) -> list[PositionRatio]:
    """Bits per token for the source against its rivals, position by position up to the longest text.

    It is the mean over texts of the mean over rivals of log2 p_source(token) - log2 p_rival(token). This estimates the
    KL divergence at that position, averaged over rivals; the standard error is over texts. Rivals are the variants of
    other classes (without `class_of`, all other variants); with groups, only those of the same group, and texts without
    a rival in their group are left out. A rival that could not write the token is left out and counted. Raises
    ValueError if there is one class only, if a token is impossible for its own source, and on NaN or +inf.
    """
    bits, impossible = _token_bits(token_log_likelihood, source, lengths, class_of, group_of)
    found = []
    for i in range(int(np.max(lengths, initial=0))):
        known = bits[~np.isnan(bits[:, i]), i]
        n = len(known)
        found.append(
            PositionRatio(
                position=i + 1,
                bits=math.fsum(known) / n if n else None,
                standard_error=float(known.std(ddof=1)) / math.sqrt(n) if n > 1 else None,
                texts=n,
                impossible=int(impossible[:, i].sum()),
            )
        )
    return found


def ratio_by_type(
    token_log_likelihood: Sequence[NDArray[Any]],
    source: Ints,
    lengths: Ints,
    types: Sequence[Sequence[str]],
    class_of: Ints | None = None,
    group_of: Ints | None = None,
) -> list[TypeRatio]:
    """Bits per token for the source against its rivals, by type of token, in the order of WORD_TYPES.

    types: those of each text, from `words.token_types`. Means are sums of bits over numbers of tokens, with the
    standard error of a ratio over texts (Cochran 1977, chapter 6). Shares of bits sum to one; noise may make some
    negative. Raises ValueError as `ratio_by_position` does, on no tokens, and on types that do not fit the lengths.
    """
    bits, impossible = _token_bits(token_log_likelihood, source, lengths, class_of, group_of)
    if [len(row) for row in types] != np.asarray(lengths).tolist():
        raise ValueError("every token needs a type: the types of some text do not fit its length")
    if not (n_tokens := sum(map(len, types))):
        raise ValueError("there are no tokens")
    index = {kind: i for i, kind in enumerate(WORD_TYPES)}
    if unknown := set(chain.from_iterable(types)) - set(index):
        raise ValueError(f"unknown type of token {min(unknown)!r}")
    type_at = np.full(bits.shape, -1)
    type_at[_within(bits.shape[1], lengths)] = [index[kind] for kind in chain.from_iterable(types)]
    known = ~np.isnan(bits)
    whole = math.fsum(bits[known])

    found = []
    for kind, i in index.items():
        here = type_at == i
        scored = here & known
        sums, tokens = np.where(scored, bits, 0.0).sum(axis=1), scored.sum(axis=1)
        sums, tokens = sums[tokens > 0], tokens[tokens > 0]
        n, total = len(tokens), int(tokens.sum())
        mean = math.fsum(sums) / total if n else 0.0
        spread = math.fsum((sums - mean * tokens) ** 2)
        found.append(
            TypeRatio(
                type=kind,
                bits=mean if n else None,
                standard_error=math.sqrt(n / (n - 1) * spread) / total if n > 1 else None,
                tokens=int(here.sum()),
                token_share=int(here.sum()) / n_tokens,
                bits_share=math.fsum(sums) / whole if whole else None,
                impossible=int(impossible[here].sum()),
            )
        )
    return found


def _within(width: int, lengths: Ints) -> NDArray[np.bool_]:
    """Mask of the positions within the texts: (n, width)."""
    return np.asarray(np.arange(width) < np.asarray(lengths)[:, None])


def _token_bits(
    token_log_likelihood: Sequence[NDArray[Any]],
    source: Ints,
    lengths: Ints,
    class_of: Ints | None,
    group_of: Ints | None,
) -> tuple[Floats, Ints]:
    """Mean over rivals of each token's log-likelihood ratio, in bits, and the number of rivals that cannot write it.

    Both are (n, L); the ratio is NaN after the end of a text, and if no rival can write the token.
    """
    source = np.asarray(source)
    variants = len(token_log_likelihood)
    variant_class = np.arange(variants) if class_of is None else np.asarray(class_of)
    group = np.zeros(variants, dtype=np.int64) if group_of is None else np.asarray(group_of)
    shape = np.shape(token_log_likelihood[0])
    within = _within(shape[1], lengths)
    total, possible, rivals = np.zeros(shape), np.zeros(shape, dtype=np.int64), np.zeros(shape[0], dtype=np.int64)
    for variant in np.unique(source).tolist():
        rows = np.flatnonzero(source == variant)
        own = np.where(within[rows], token_log_likelihood[variant][rows], 0.0)
        if not np.isfinite(own).all():
            raise ValueError(f"variant {variant} wrote a token that is impossible under its own likelihood")
        others = variant_class != variant_class[variant]
        if not others.any():
            raise ValueError(f"variant {variant} has no rival")
        others = np.flatnonzero(others & (group == group[variant]))
        rivals[rows] = len(others)
        for other in others.tolist():
            rival = np.where(within[rows], token_log_likelihood[other][rows], 0.0)
            if np.isnan(rival).any() or np.isposinf(rival).any():
                raise ValueError("log-likelihoods must be finite or -inf")
            can = np.isfinite(rival)
            total[rows] += np.where(can, own - rival, 0.0)
            possible[rows] += can
    known = within & (possible > 0)
    bits = np.divide(total, possible * math.log(2.0), out=np.full(shape, np.nan), where=known)
    return bits, np.where(within, rivals[:, None] - possible, 0)
