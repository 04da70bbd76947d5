"""The lexicon: word classes whose Zipfian tables depend on the topic.

In every topic a class has the same words in a different order: the topic's own words and the common words take turns,
and the words of other topics follow at half their weight. The weight of the word of rank r = 1, 2, ... is the integer
round(SCALE / (r + SHIFT)) (Zipf's law with Mandelbrot's shift). Tables are built at first use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import zip_longest

from . import morphology, words
from .choices import Branch, Table, Word
from .words import Lines

SCALE = 1_000_000
SHIFT = 10
FOREIGN = 2  # in documents of another topic, a word weighs less by this factor

Forms = Callable[[str], Iterable[tuple[Word, int]]]  # the forms of a lemma, each with its share


def zipf(ranked: Iterable[str], *, start: int = 1, divisor: int = 1) -> Iterator[tuple[str, int]]:
    """Pair each word with its weight, most frequent first."""
    for rank, word in enumerate(ranked, start):
        place = divisor * (rank + SHIFT)
        yield word, (2 * SCALE + place) // (2 * place)


def ranked(lines: Lines, topic: str) -> Iterator[tuple[str, int]]:
    """Weigh the words of a class as a topic ranks them."""
    turns = zip_longest(lines.get(topic, "").split() if topic else (), lines.get("", "").split())
    near = [word for turn in turns for word in turn if word is not None]
    yield from zipf(near)
    others = zip_longest(*(line.split() for home, line in lines.items() if home not in ("", topic)))
    far = (word for turn in others for word in turn if word is not None)
    yield from zipf(far, start=len(near) + 1, divisor=FOREIGN)


class WordClass:
    """Words for one place in a sentence: one table per topic, all with the same words."""

    __slots__ = ("_forms", "_lines", "_tables", "_texts")

    def __init__(self, lines: Lines, forms: Forms) -> None:
        self._lines = lines
        self._forms = forms
        self._tables: dict[str, Table] = {}
        self._texts: frozenset[str] | None = None

    def __getitem__(self, topic: str) -> Table:
        """Table of a topic."""
        table = self._tables.get(topic)
        if table is None:
            weighed = ranked(self._lines, topic)
            table = Table((word, weight * share) for lemma, weight in weighed for word, share in self._forms(lemma))
            self._tables[topic] = table
        return table

    @property
    def texts(self) -> frozenset[str]:
        """Every token of the class."""
        if self._texts is None:
            lemmas = (lemma for line in self._lines.values() for lemma in line.split())
            self._texts = frozenset(word.text for lemma in lemmas for word, _ in self._forms(lemma))
        return self._texts


class Nouns:
    """Countable nouns: of `any` number, `one`, `many`; `after` has the singulars by their article, `a` or `an`."""

    def __init__(self, lines: Lines, singulars: int = 3) -> None:
        """`singulars` to one plural after `the`."""
        self.any = WordClass(lines, lambda lemma: [*_singular(lemma, singulars), *_plural(lemma, 1)])
        self.one = WordClass(lines, lambda lemma: _singular(lemma, 1))
        self.many = WordClass(lines, lambda lemma: [(Word(morphology.plural(lemma), lemma, True), 1)])
        self.after: dict[str, WordClass] = _by_article(lines, lambda lemma: lemma)
        self._articles: dict[str, Branch] = {}

    def article(self, topic: str) -> Branch:
        """Branch on the article; the nouns of the topic decide how often it is `an`."""
        branch = self._articles.get(topic)
        if branch is None:
            a, an = self.after["a"][topic].total, self.after["an"][topic].total
            branch = self._articles[topic] = Branch(("a", a, "a"), ("an", an, "an"))
        return branch


class Adjectives:
    """Adjectives for one kind of noun: all of them are in `plain`; `after` has them by article, `a` or `an`."""

    def __init__(self, line: str) -> None:
        self.plain = _invariable({"": line})
        self.after = _by_article({"": line}, lambda lemma: lemma)


class Verbs:
    """Verbs of one construction, by form: base, s (goes), past, ing, done (past participle)."""

    def __init__(self, lines: Lines) -> None:
        self.forms = {
            "base": WordClass(lines, _spelled(str)),
            "s": WordClass(lines, _spelled(morphology.third_person)),
            "past": WordClass(lines, _spelled(morphology.past)),
            "ing": WordClass(lines, _spelled(morphology.gerund)),
            "done": WordClass(lines, _spelled(morphology.participle)),
        }


SEXES = {**dict.fromkeys(words.MEN.split(), "male"), **dict.fromkeys(words.WOMEN.split(), "female")}


def _singular(lemma: str, share: int) -> list[tuple[Word, int]]:
    return [(Word(lemma, lemma, kind=SEXES.get(lemma, "")), share)]


def _plural(lemma: str, share: int) -> list[tuple[Word, int]]:
    many = morphology.plural(lemma)  # "the sheep" counts as one; two need a numeral
    return [(Word(many, lemma, True), share)] if many != lemma else []


def _spelled(spell: Callable[[str], str]) -> Forms:
    return lambda lemma: [(Word(spell(lemma), lemma, kind=SEXES.get(lemma, "")), 1)]


def _invariable(lines: Lines) -> WordClass:
    return WordClass(lines, _spelled(str))


def _by_article(lines: Lines, spell: Callable[[str], str]) -> dict[str, WordClass]:
    def forms(article: str) -> Forms:
        return lambda lemma: _spelled(spell)(lemma) if morphology.takes_an(spell(lemma)) == (article == "an") else []

    return {article: WordClass(lines, forms(article)) for article in ("a", "an")}


def _named(line: str, kind: str) -> Table:
    return Table((Word(name, name, kind=kind), weight) for name, weight in zipf(line.split()))


PEOPLE = Nouns(
    {topic: f"{words.OCCUPATIONS.get(topic, '')} {words.PEOPLE.get(topic, '')}" for topic in ("", *words.TOPICS)}
)
THINGS, ANIMALS, SITES = Nouns(words.THINGS, 6), Nouns(words.ANIMALS), Nouns(words.SITES, 20)
INDOORS = Nouns(
    {
        topic: " ".join(word for word in line.split() if word not in words.OPEN_SITES.split())
        for topic, line in words.SITES.items()
    },
    singulars=50,
)
FIXTURES, EVENTS, MEASURES = Nouns(words.FIXTURES, 6), Nouns(words.EVENTS, 9), Nouns({"": words.MEASURES})
FOODS, GOODS = _invariable(words.FOODS), _invariable(words.GOODS)
ABSTRACTS, WEATHER = _invariable(words.ABSTRACTS), _invariable(words.WEATHER)
DOORS = Nouns(words.DOORS, 6)
FEELINGS = _invariable({"": words.FEELINGS})
BODY = _invariable({"": words.BODY})

TRAITS, QUALITIES, BEASTLY = Adjectives(words.TRAITS), Adjectives(words.QUALITIES), Adjectives(words.BEASTLY)
POSSESSED = Adjectives(words.POSSESSED)
LOCAL, NOTABLE, WEATHERLY = Adjectives(words.LOCAL), Adjectives(words.NOTABLE), Adjectives(words.WEATHERLY)
MOODS, STATES = _invariable({"": words.MOODS}), _invariable({"": words.STATES})
BODILY = _invariable({"": words.BODILY})
JUDGEMENTS = _invariable({"": words.JUDGEMENTS})
COMPARATIVES = WordClass({"": words.COMPARABLE}, _spelled(morphology.comparative))
SUPERLATIVES = WordClass({"": words.COMPARABLE}, _spelled(morphology.superlative))
MANNER, OFTEN = _invariable({"": words.MANNER}), _invariable({"": words.OFTEN})
OPENING_ADVERBS = _invariable({"": words.OPENING_ADVERBS})

VERBS = {name.lower(): Verbs(getattr(words, name)) for name in (words.VERB_CLASSES.split())}
SPEECH = {name.lower(): Verbs({"": getattr(words, name)}) for name in ("SPEAK", "ASK", "CRY")}

MALE, FEMALE = _named(words.MALE, "male"), _named(words.FEMALE, "female")
GIVEN = Table(
    (Word(name, name, kind=kind), weight)
    for kind, line in (("male", words.MALE), ("female", words.FEMALE))
    for name, weight in zipf(line.split())
)
NAMES = {"male": MALE, "female": FEMALE, "": GIVEN}
SURNAMES, TOWNS = _named(words.SURNAMES, ""), _named(words.TOWNS, "")
KIN = Table(
    (Word(name, name, kind=kind), weight)
    for kind, line in (("male", words.KIN_MALE), ("female", words.KIN_FEMALE))
    for name, weight in zipf(line.split())
)
PARTS_OF_DAY, DAYS, HOURS, UNITS, SPAN, COINS = (
    _named(line, "") for line in (words.PARTS_OF_DAY, words.DAYS, words.HOURS, words.UNITS, words.SPAN, words.COINS)
)
MONTHS = tuple(words.MONTHS.split())
NUMBERS = Table((Word(name, name, plural=True), weight) for name, weight in zipf(words.NUMBERS.split()))
UNUSED = frozenset(words.UNUSED.split())
FUNCTION_WORDS = frozenset(words.FUNCTION_WORDS.split())
PROPER = frozenset((*GIVEN.texts, *SURNAMES.texts, *TOWNS.texts, *MONTHS, "I"))


class Heroes:
    """Occupations of a document's hero: each belongs to one topic. Topics are equally likely."""

    def __init__(self, topics: Sequence[str]) -> None:
        share = SCALE // len(topics)
        weighed = []
        for topic in topics:
            pairs = list(zipf(words.OCCUPATIONS[topic].split()))
            total = sum(weight for _, weight in pairs)
            weighed += [(Word(word, word, kind=topic), share * weight // total) for word, weight in pairs]
        self.any = Table(weighed)
        self.after = {
            article: Table(pair for pair in weighed if morphology.takes_an(pair[0].text) == (article == "an"))
            for article in ("a", "an")
        }
        self.article = Branch(("a", self.after["a"].total, "a"), ("an", self.after["an"].total, "an"))


heroes = cache(Heroes)


@cache
def word_classes() -> tuple[tuple[str, frozenset[str]], ...]:
    """List every word class as (name, tokens), including the names of people and places."""
    found: list[tuple[str, frozenset[str]]] = []

    def add(name: str, thing: object) -> None:
        if isinstance(thing, WordClass | Table):
            found.append((name, frozenset(thing.texts)))
        elif isinstance(thing, Nouns):
            found.extend([(f"{name}.one", thing.one.texts), (f"{name}.many", thing.many.texts)])
        elif isinstance(thing, Adjectives):
            found.append((name, thing.plain.texts))
        elif isinstance(thing, Verbs):
            found.extend((f"{name}.{form}", words_of.texts) for form, words_of in thing.forms.items())
        elif isinstance(thing, dict):
            for key, value in thing.items():
                add(f"{name}.{key}", value)

    for name, thing in sorted(globals().items()):
        if name.isupper() and name != "SEXES":
            add(name, thing)
    found.append(("MONTHS", frozenset(MONTHS)))
    return tuple(pair for pair in found if pair[0] not in UNUSED)


@cache
def word_types() -> frozenset[str]:
    """Every word type that a document can have, in lower case."""
    return FUNCTION_WORDS | {text.lower() for _, texts in word_classes() for text in texts}
