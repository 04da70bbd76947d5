"""The interpreters of grammars: Writer, Reader, Checker, and an exact walk over all derivations."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from math import log2

from .choices import END, FAMILIARITY, Branch, Program, Table, Word


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
            total, weight = _adjusted(table, place, familiar, excluding)
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


class Checker(Writer):
    """A Writer that asserts for each choice that the next token alone identifies it."""

    __slots__ = ("checked", "pending")

    def __init__(self, words: Iterator[int]) -> None:
        super().__init__(words)
        self.pending: list[tuple[Branch, str]] = []
        self.checked = 0

    def settle(self, token: str) -> None:
        """Check that this token identifies every option that was taken since the last token."""
        for branch, label in self.pending:
            place = branch.resolve(token)
            if place is None or branch.labels[place] != label:
                raise AssertionError(f"{token!r} does not identify {label!r} of {branch.labels}: {self.tokens[-12:]}")
            self.checked += 1
        self.pending.clear()

    def say(self, *tokens: str) -> None:
        """Emit literal tokens; the first of them settles the branches before it."""
        self.settle(tokens[0])
        super().say(*tokens)

    def branch(self, branch: Branch) -> str:
        """Draw an option; the next token settles it."""
        label = super().branch(branch)
        self.pending.append((branch, label))
        return label

    def word(self, table: Table, *, familiar: Sequence[str] = (), excluding: Sequence[str] = ()) -> Word:
        """Draw a word; it settles the branches before it, and no other word of the table may be the same token."""
        word = super().word(table, familiar=familiar, excluding=excluding)
        self.settle(word.text)
        if table.words[table.index[word.text]] != word or word.text in excluding:
            raise AssertionError(f"{word.text!r} does not identify {word}")
        self.checked += 1
        return word


class _Walker(Writer):
    """Replays a script of choices, then takes the first option of every later choice; notes how many there were."""

    __slots__ = ("probability", "script", "taken", "widths")

    def __init__(self, script: Sequence[int]) -> None:
        super().__init__(iter(()))
        self.script = script
        self.taken: list[int] = []
        self.widths: list[int] = []
        self.probability = Fraction(1)

    def _take(self, places: Sequence[int], weights: Sequence[int]) -> int:
        step = len(self.taken)
        choice = self.script[step] if step < len(self.script) else 0
        self.taken.append(choice)
        self.widths.append(len(places))
        self.probability *= Fraction(weights[choice], sum(weights))
        return places[choice]

    def branch(self, branch: Branch) -> str:
        weights = [b - a for a, b in zip((0, *branch.cumulative), branch.cumulative, strict=False)]
        return branch.labels[self._take(range(len(weights)), weights)]

    def word(self, table: Table, *, familiar: Sequence[str] = (), excluding: Sequence[str] = ()) -> Word:
        places = [i for i, word in enumerate(table.words) if word.text not in excluding]
        weights = [_adjusted(table, place, familiar, excluding)[1] for place in places]
        word = table.words[self._take(places, weights)]
        self.tokens.append(word.text)
        return word


def derivations(program: Program) -> Iterator[tuple[str, Fraction]]:
    """Walk every derivation of a finite grammar, depth first: (text, exact probability)."""
    script: list[int] | None = []
    while script is not None:
        walker = _Walker(script)
        program(walker)
        yield walker.text(), walker.probability
        script = walker.taken
        while script and script[-1] + 1 == walker.widths[len(script) - 1]:
            script.pop()
        script = [*script[:-1], script[-1] + 1] if script else None


def _adjusted(table: Table, place: int, familiar: Sequence[str], excluding: Sequence[str]) -> tuple[int, int]:
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
    total, weight = _adjusted(table, place, familiar, excluding)
    return place, log2(total) - log2(weight)
