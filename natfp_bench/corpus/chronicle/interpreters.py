"""The interpreters of grammars: a Writer, which draws texts, and a Reader, which parses them."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from math import log2

from .choices import END, FAMILIARITY, Branch, Table, Word


def render(tokens: Sequence[str], starts: Iterable[int]) -> str:
    """Join tokens into text, with capitals at the starts and the spaces of printed text."""
    spelled = list(tokens)
    for place in starts:
        spelled[place] = spelled[place][0].upper() + spelled[place][1:]
    text = " ".join(spelled)
    for mark in (",", ".", ";", "?", "!"):
        text = text.replace(" " + mark, mark)
    return text.replace("“ ", '"').replace(" ”", '"')


_TOKEN = re.compile(r"[A-Za-z]+|\d+(?:st|nd|rd|th)?|[.,;?!\"]")


class Writer:
    """Draws every choice; afterwards `text()` is the text and `bits` is -log2 of its probability."""

    __slots__ = ("bits", "draw", "starts", "tokens")

    def __init__(self, words: Iterator[int]) -> None:
        self.draw = words.__next__
        self.tokens: list[str] = []
        self.starts: list[int] = []
        self.bits = 0.0

    @property
    def length(self) -> int:
        """Number of tokens emitted so far."""
        return len(self.tokens)

    def text(self) -> str:
        """Return the text that was written."""
        return render(self.tokens, self.starts)

    def begin(self) -> None:
        """Give the next token a capital."""
        self.starts.append(len(self.tokens))

    def say(self, *tokens: str) -> None:
        """Emit literal tokens."""
        self.tokens += tokens

    def branch(self, branch: Branch) -> str:
        """Draw an option."""
        place = bisect_right(branch.cumulative, self.draw() * branch.total >> 64)
        self.bits += branch.costs[place]
        return branch.labels[place]

    def word(self, table: Table, *, familiar: Sequence[str] = (), excluding: Sequence[str] = ()) -> Word:
        """Draw a word and emit it."""
        if familiar or excluding:
            place, gain = _draw_adjusted(self.draw(), table, familiar, excluding)
            self.bits += gain
        else:
            place = bisect_right(table.cumulative, self.draw() * table.total >> 64)
            self.bits += table.costs[place]
        word = table.words[place]
        self.tokens.append(word.text)
        return word


class Reader:
    """Follows a text: the next token identifies each choice.

    Raises ValueError with the character position if no derivation continues the text.
    """

    __slots__ = ("bits", "given", "places", "starts", "text", "tokens")

    def __init__(self, text: str, proper: frozenset[str]) -> None:
        """`proper`: the words that always have a capital; other words have one only after `begin`."""
        self.text = text
        self.bits = 0.0
        self.tokens: list[str] = []
        self.starts: list[int] = []
        self.given: list[str] = []
        self.places: list[int] = []
        quotes = 0
        for match in _TOKEN.finditer(text):
            token = match[0]
            if token == '"':  # noqa: S105
                token = "“”"[quotes % 2]
                quotes += 1
            elif token not in proper:
                token = token[0].lower() + token[1:]
            self.given.append(token)
            self.places.append(match.start())
        self.given.append(END)
        self.places.append(len(text))

    @property
    def length(self) -> int:
        """Number of tokens followed so far."""
        return len(self.tokens)

    def begin(self) -> None:
        """Expect a capital at the next token."""
        self.starts.append(len(self.tokens))

    def say(self, *tokens: str) -> None:
        """Follow literal tokens."""
        for token in tokens:
            if self.given[len(self.tokens)] != token:
                raise self._fault(f"expected {token!r}")
            self.tokens.append(token)

    def branch(self, branch: Branch) -> str:
        """Take the option that the next token identifies."""
        place = branch.resolve(self.given[len(self.tokens)])
        if place is None:
            raise self._fault("no option begins like this")
        self.bits += branch.costs[place]
        return branch.labels[place]

    def word(self, table: Table, *, familiar: Sequence[str] = (), excluding: Sequence[str] = ()) -> Word:
        """Take the next token as a word of the table."""
        token = self.given[len(self.tokens)]
        place = table.index.get(token)
        if place is None or token in excluding:
            raise self._fault("this word cannot be here")
        if familiar or excluding:
            total, weight = adjusted(table, place, familiar, excluding)
            self.bits += log2(total) - log2(weight)
        else:
            self.bits += table.costs[place]
        self.tokens.append(token)
        return table.words[place]

    def finish(self) -> None:
        """Check that the text ends here, and that `render` gives the same spaces, marks and capitals."""
        if self.given[len(self.tokens)] != END:
            raise self._fault("expected the end")
        spelled = render(self.tokens, self.starts)
        if spelled != self.text:
            same = zip(spelled, self.text, strict=False)
            at = next((i for i, (a, b) in enumerate(same) if a != b), min(len(spelled), len(self.text)))
            raise ValueError(f"position {at}: not the spelling of a chronicle: {self.text[at : at + 20]!r}")

    def _fault(self, what: str) -> ValueError:
        place = self.places[len(self.tokens)]
        return ValueError(f"position {place}: {what}: {self.text[place : place + 20]!r}")


def adjusted(table: Table, place: int, familiar: Sequence[str], excluding: Sequence[str]) -> tuple[int, int]:
    """Total weight, and the weight of one word, with familiar words raised and excluded words removed."""
    index, bonus = table.index, table.total // FAMILIARITY
    text = table.words[place].text
    known = [word for word in familiar if word not in excluding]
    total = table.total + bonus * len(known) - sum(table.weight(index[word]) for word in excluding)
    return total, table.weight(place) + bonus * known.count(text)


def _draw_adjusted(word64: int, table: Table, familiar: Sequence[str], excluding: Sequence[str]) -> tuple[int, float]:
    """Draw from the adjusted table without building it: (place, bits)."""
    index, bonus = table.index, table.total // FAMILIARITY
    gone = sorted(index[word] for word in excluding)
    rest = table.total - sum(table.weight(place) for place in gone)
    known = [word for word in familiar if word not in excluding]
    at = word64 * (rest + bonus * len(known)) >> 64
    if at >= rest:
        place = index[known[(at - rest) // bonus]]
    else:
        for place in gone:  # step over the gaps that the excluded words leave, in order
            if at >= table.cumulative[place] - table.weight(place):
                at += table.weight(place)
        place = bisect_right(table.cumulative, at)
    total, weight = adjusted(table, place, familiar, excluding)
    return place, log2(total) - log2(weight)
