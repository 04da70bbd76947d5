"""The state of a document so far: its topic, tense and date, its characters, and the familiar words.

The text alone determines the scene, so a reader of the text has the same choices as the writer.
"""

from __future__ import annotations

from typing import NamedTuple

from .choices import Table, Word

MONTH_LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
SEASONS = (
    "winter",
    "winter",
    "spring",
    "spring",
    "spring",
    "summer",
    "summer",
    "summer",
    "autumn",
    "autumn",
    "autumn",
    "winter",
)


class Pronouns(NamedTuple):
    """A person's pronouns."""

    subject: str
    object: str
    possessive: str


PRONOUNS = {"male": Pronouns("he", "him", "his"), "female": Pronouns("she", "her", "her")}


class Agreement(NamedTuple):
    """The forms of verbs that agree with a subject."""

    form: str  # of a full verb
    be: str
    have: str
    plural: bool = False


PAST = (Agreement("past", "was", "had"), Agreement("past", "were", "had", plural=True))
PRESENT = (Agreement("s", "is", "has"), Agreement("base", "are", "have", plural=True))
FIRST_PERSON = Agreement("base", "am", "have")


class Character:
    """A named person; `kin` maps a kinship noun to the character that it names."""

    __slots__ = ("given", "kin", "occupation", "pronouns", "sex")

    def __init__(self, name: Word, occupation: str = "") -> None:
        self.given = name.text
        self.sex = name.kind
        self.pronouns = PRONOUNS[name.kind]
        self.occupation = occupation
        self.kin: dict[str, Character] = {}


class Scene:
    """The state of a document so far."""

    __slots__ = (
        "cast",
        "center",
        "characters",
        "date",
        "depth",
        "familiar",
        "full_name",
        "hero",
        "it",
        "named",
        "possessive",
        "season",
        "tense",
        "topic",
        "where_or_when",
    )

    def __init__(self) -> None:
        self.topic = ""
        self.tense = PAST
        self.characters: dict[str, Character] = {}
        self.cast = Table(())
        self.hero: Character | None = None
        self.center: Character | None = None  # whom "he" or "she" means
        self.it: Word | None = None  # the thing that "it" or "them" means
        self.possessive = "his"
        self.depth = 0  # of clauses within clauses
        self.named: tuple[str, ...] = ()  # who was named since the last speech began
        self.full_name = ("", "")  # the hero's
        self.where_or_when = ""  # the first year or town that was named
        self.date: int | None = None  # day of the year, from 0
        self.season = ""
        self.familiar: dict[str, tuple[str, ...]] = {}

    def introduce(self, character: Character) -> None:
        """Add a character; the first one is the hero, who is mentioned most."""
        self.characters[character.given] = character
        self.hero = self.hero or character
        shares = [(who, 2 if who is self.hero else 1) for who in self.characters.values()]
        self.cast = Table((Word(who.given, who.given, kind=who.sex), share) for who, share in shares)
        if character.occupation:
            self.remember("person", character.occupation)
        self.turn_to(character)

    def turn_to(self, character: Character) -> None:
        """Make pronouns mean this character from now on."""
        self.center = character
        self.possessive = character.pronouns.possessive

    def known_as(self, occupation: str) -> Character | None:
        """Find the character with an occupation."""
        return next((who for who in self.characters.values() if who.occupation == occupation), None)

    def remember(self, kind: str, text: str) -> None:
        """Keep the last three words of a kind that were mentioned; they are more likely from now on."""
        old = self.familiar.get(kind, ())
        self.familiar[kind] = (text, *(word for word in old if word != text))[:3]

    def recall(self, kind: str) -> tuple[str, ...]:
        """Return the familiar words of a kind."""
        return self.familiar.get(kind, ())

    def set_date(self, date: int) -> None:
        """Set the day of the year; after December comes January."""
        self.date = date % 365
        self.season = SEASONS[month_and_day(self.date)[0]]


def month_and_day(date: int) -> tuple[int, int]:
    """Month (from 0) and day (from 1) of a day of the year (from 0)."""
    month = 0
    while date >= MONTH_LENGTHS[month]:
        date -= MONTH_LENGTHS[month]
        month += 1
    return month, date + 1


def day_of_year(month: int, day: int) -> int:
    """Day of the year (from 0) of a month (from 0) and day (from 1)."""
    return sum(MONTH_LENGTHS[:month]) + day - 1
