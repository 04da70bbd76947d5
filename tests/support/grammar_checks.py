"""Interpreters of grammars that check them: that the text shows each choice, and exact probabilities of all texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

from natfp_bench.corpus.chronicle.choices import Branch, Chooser, Table, Word
from natfp_bench.corpus.chronicle.interpreters import Writer, adjusted


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
        weights = [adjusted(table, place, familiar, excluding)[1] for place in places]
        word = table.words[self._take(places, weights)]
        self.tokens.append(word.text)
        return word


def derivations(program: Callable[[Chooser], object]) -> Iterator[tuple[str, Fraction]]:
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
