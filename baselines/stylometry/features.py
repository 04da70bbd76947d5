"""Features that a reader could count in a text, each with a name."""

from __future__ import annotations

import math
import operator
import re
import string
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from natfp_bench.attributors.kit import FUNCTION_WORDS, word_types

TYPES = ("function", "content", "punctuation", "number", "name")

MARKS = tuple(".,;:!?'\"-()")

LETTERS = tuple(string.ascii_lowercase)

LONG_WORD = 7

FUNCTION_WORDS_SORTED = tuple(sorted(FUNCTION_WORDS))

LAYOUT = re.compile(r"\n|  ")


def features(text: str) -> dict[str, float]:
    """Features of a text by name; features that are absent are 0, and shares are of all characters or all words."""
    types = word_types(text)
    tokens = [text[start:end] for start, end, _ in types]
    kinds = [kind for _, _, kind in types]
    spoken = [token.lower() for token, kind in zip(tokens, kinds, strict=True) if kind != "punctuation"]
    n, characters = max(len(spoken), 1), max(len(text), 1)
    counts, letters = Counter(spoken), Counter(text)
    lengths = [len(word) for word in spoken] or [0]
    mean = sum(lengths) / len(lengths)
    ends = sum(token[0] in ".!?" for token in tokens)
    pairs = list(pairwise(token.lower() for token in tokens))
    found = {
        "characters": len(text),
        "words": len(spoken),
        "word length: mean": mean,
        "word length: deviation": math.sqrt(sum((length - mean) ** 2 for length in lengths) / len(lengths)),
        "word length: longest": max(lengths),
        "words of 7 letters and more": sum(length >= LONG_WORD for length in lengths) / n,
        "sentence ends": ends,
        "words a sentence": len(spoken) / max(ends, 1),
        "type-token ratio": len(counts) / n,
        "words used once": sum(count == 1 for count in counts.values()) / n,
        "repetition: most frequent word": max(counts.values(), default=0) / n,
        "repetition: word after itself": sum(a == b for a, b in pairs) / n,
        "repetition: pairs seen before": 1 - len(set(pairs)) / max(len(pairs), 1),
        "repetition: letter after itself": sum(map(operator.eq, text, text[1:])) / characters,
        "capitals": sum(count for character, count in letters.items() if character.isupper()) / characters,
        "digits": sum(count for character, count in letters.items() if character.isdigit()) / characters,
        "whitespace": sum(count for character, count in letters.items() if character.isspace()) / characters,
        "characters beyond ASCII": sum(count for character, count in letters.items() if character > "\x7f")
        / characters,
        "line breaks and double spaces": len(LAYOUT.findall(text)),
        "begins with a capital": float(text[:1].isupper()),
        "ends a sentence": float(text[-1:] in tuple(".!?\"'")),
        **{f"mark {mark}": letters[mark] / characters for mark in MARKS},
        **{f"letter {letter}": (letters[letter] + letters[letter.upper()]) / characters for letter in LETTERS},
        **{f"type: {kind}": kinds.count(kind) / max(len(kinds), 1) for kind in TYPES},
        **{f"word: {word}": count / n for word, count in counts.items() if word in FUNCTION_WORDS},
    }
    for (a, b), count in Counter(pairwise(kinds)).items():
        found[f"types: {a}, {b}"] = count / len(kinds)
    return found


def table(rows: Sequence[dict[str, float]], names: Sequence[str]) -> NDArray[np.float32]:
    """Features of texts as a matrix (texts, names), 0 if absent."""
    return np.array([[row.get(name, 0.0) for name in names] for row in rows], dtype=np.float32).reshape(-1, len(names))
