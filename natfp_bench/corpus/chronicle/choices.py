"""Grammars as programs, which the interpreters of `interpreters` run.

A grammar is one function `program(c)`. It uses a chooser `c`, which has four operations:

    c.branch(BRANCH)   a structural choice; returns the label of the option taken, emits nothing
    c.word(TABLE)      a lexical choice; emits the word and returns it
    c.say("of", "the") literal tokens
    c.begin()          the next token opens a sentence and gets a capital

The same program is run by a Writer (draws, and so generates) and by a Reader (follows a given text, and so parses and
scores it). Tests run it by a Checker (a Writer that checks that the text shows each choice), and walk every derivation
of a small grammar with exact probabilities.

**Texts and derivations correspond one to one.** The options of a branch begin with disjoint sets of tokens, and the
words of a table are distinct tokens; the index of a branch or table refuses any other. The options of a choice depend
only on the tokens emitted before. At most one option of a branch is the "otherwise": it takes every token that no other
option begins with, and the text after it must not begin like another option; the Checker checks this. So the next token
always identifies the choice that made it. Two different derivations give different texts, and -log2 of the product of
the choices' probabilities is the exact code length of the text.

**Draws** are integers: `(word64 * total) >> 64` selects an option by cumulative weight, where word64 comes from
SHAKE-256. The probability of an option differs from weight / total by less than total / 2**64.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import log2
from typing import NamedTuple, Protocol

FAMILIARITY = 8  # a familiar word gains one part in this many of its table's total weight
END = ""  # the token that a reader sees after the last one
OTHERWISE = None  # the first tokens of the option that takes every token that no other option begins with


class Word(NamedTuple):
    """One surface form: a single token, and the facts about it that the grammar needs."""

    text: str
    lemma: str
    plural: bool = False
    kind: str = ""  # the sex of a name, the topic of an occupation


class Vocabulary(Protocol):
    """Anything that knows the tokens it can write."""

    @property
    def texts(self) -> Iterable[str]:
        """Every token that it can write."""


First = str | Vocabulary | tuple["str | Vocabulary", ...] | None


class Table:
    """Words with integer weights, one of which is drawn and emitted."""

    __slots__ = ("_index", "costs", "cumulative", "total", "words")

    def __init__(self, weighted: Iterable[tuple[Word, int]]) -> None:
        pairs = [(word, weight) for word, weight in weighted if weight > 0]
        self.words = tuple(word for word, _ in pairs)
        self.cumulative = _cumulative([weight for _, weight in pairs])
        self.total = self.cumulative[-1] if pairs else 0
        bits = log2(self.total) if pairs else 0.0
        self.costs = tuple(bits - log2(weight) for _, weight in pairs)
        self._index: dict[str, int] | None = None

    @property
    def texts(self) -> Iterable[str]:
        """The tokens of its words."""
        return self.index

    @property
    def index(self) -> dict[str, int]:
        """Place of each token, built at first use. Raises ValueError if two words are the same token."""
        if self._index is None:
            index = {word.text: place for place, word in enumerate(self.words)}
            if len(index) < len(self.words):
                texts = [word.text for word in self.words]
                raise ValueError(f"words twice in one table: {sorted({t for t in texts if texts.count(t) > 1})}")
            self._index = index
        return self._index

    def weight(self, place: int) -> int:
        """Weight of the word at a place."""
        return self.cumulative[place] - (self.cumulative[place - 1] if place else 0)


def plain(weights: Mapping[str, int]) -> Table:
    """Make a table of words that need only a weight."""
    return Table((Word(text, text), weight) for text, weight in weights.items())


class Branch:
    """A structural choice among (label, weight, first tokens) options.

    First tokens: a string of tokens separated by spaces, a vocabulary, a tuple of these, or OTHERWISE.
    """

    __slots__ = ("_index", "costs", "cumulative", "firsts", "labels", "otherwise", "total")

    def __init__(self, *options: tuple[str, int, First]) -> None:
        options = tuple(option for option in options if option[1] > 0)
        self.labels = tuple(label for label, _, _ in options)
        self.firsts = tuple(first for _, _, first in options)
        self.cumulative = _cumulative([weight for _, weight, _ in options])
        self.total = self.cumulative[-1]
        bits = log2(self.total)
        self.costs = tuple(bits - log2(weight) for _, weight, _ in options)
        open_ended = [place for place, first in enumerate(self.firsts) if first is OTHERWISE]
        if len(open_ended) > 1:
            raise ValueError(f"more than one option of {self.labels} takes every other token")
        self.otherwise = open_ended[0] if open_ended else None
        self._index: dict[str, int] | None = None

    @property
    def texts(self) -> Iterable[str]:
        """The tokens that its options can begin with, except the "otherwise"."""
        return self.index

    @property
    def index(self) -> dict[str, int]:
        """Option of each first token, built at first use. Raises ValueError if two options share a first token."""
        if self._index is None:
            index: dict[str, int] = {}
            for place, first in enumerate(self.firsts):
                for token in tokens_of(first):
                    if index.setdefault(token, place) != place:
                        raise ValueError(
                            f"{token!r} begins both {self.labels[index[token]]!r} and {self.labels[place]!r}"
                        )
            self._index = index
        return self._index

    def resolve(self, token: str) -> int | None:
        """Return the option that a token identifies, or None."""
        return self.index.get(token, self.otherwise)


class Chooser(Protocol):
    """The operations that a grammar uses."""

    @property
    def length(self) -> int:
        """Number of tokens emitted so far."""

    def begin(self) -> None:
        """Give the next token a capital."""

    def say(self, *tokens: str) -> None:
        """Emit literal tokens."""

    def branch(self, branch: Branch) -> str:
        """Take one option; return its label."""

    def word(self, table: Table, *, familiar: Sequence[str] = (), excluding: Sequence[str] = ()) -> Word:
        """Take and emit one word.

        familiar: words of this table; each gains 1 / FAMILIARITY of the table's total weight. excluding: words that
        cannot be taken; the other weights are renormalised exactly.
        """


def tokens_of(first: First) -> Iterator[str]:
    """Iterate over first tokens."""
    if isinstance(first, str):
        yield from first.split() if first else (END,)
    elif isinstance(first, tuple):
        for part in first:
            yield from tokens_of(part)
    elif first is not None:
        yield from first.texts


def random_words(*name: int | str) -> Iterator[int]:
    """Endless 64-bit words, a pure function of the name: its SHAKE-256, read as little-endian integers."""
    shake = hashlib.shake_256(":".join(map(str, name)).encode())
    done, size = 0, 512
    while True:
        yield from struct.unpack(f"<{size - done}Q", shake.digest(8 * size)[8 * done :])
        done, size = size, 2 * size


def _cumulative(weights: Sequence[int]) -> tuple[int, ...]:
    total = 0
    sums = []
    for weight in weights:
        total += weight
        sums.append(total)
    return tuple(sums)
