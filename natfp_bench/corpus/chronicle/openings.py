"""Openings: the first sentence names the hero, whose occupation determines the topic, and sets the tense."""

from __future__ import annotations

from . import lexicon as lex
from .choices import OTHERWISE, Branch, Chooser, Table, Word, plain
from .clauses import verb_phrase
from .morphology import ordinal
from .phrases import TITLES, town
from .scene import PAST, PRESENT, Character, Scene, day_of_year

OPENINGS = Branch(
    ("on", 6, "on"), ("in", 8, "in"), ("name", 6, lex.GIVEN), ("there", 3, "there"), ("long", 2, "long"),
    ("this", 2, "this"), ("article", 4, "a an"),
)  # fmt: skip
SEASONS = plain(dict.fromkeys(("spring", "summer", "autumn", "winter"), 1))
YEARS = Table((Word(str(year), str(year)), 1) for year in range(1740, 1880))
MONTHS = plain(dict.fromkeys(lex.MONTHS, 1))
DAYS = Table((Word(ordinal(day), str(day)), 1) for day in range(1, 29))
WHEN_OR_WHERE = Branch(("season", 6, "the"), ("town", 3, lex.TOWNS), ("year", 4, YEARS), ("month", 4, MONTHS))
WAS_OR_IS = plain({"was": 2, "is": 1})
LIVES = plain({"lived": 2, "lives": 1})
LIVED = Branch(("lived", 2, "lived"), ("did", 3, OTHERWISE))
HERO_DESCRIBED = Branch(("yes", 1, lex.TRAITS.plain), ("no", 1, OTHERWISE))


def opening(c: Chooser, scene: Scene, heroes: lex.Heroes) -> None:
    """The first sentence."""
    match c.branch(OPENINGS):
        case "on":  # On the 3rd of March 1804 Thomas Holt, a miller of Ashford, went home
            c.say("on", "the")
            day = c.word(DAYS)
            c.say("of")
            month = c.word(MONTHS)
            year(c, scene)
            scene.set_date(day_of_year(lex.MONTHS.index(month.text), int(day.lemma)))
            name = full_name(c, scene)
            c.say(",")
            occupation = hero(c, scene, heroes)
            c.say("of")
            town(c, scene)
            c.say(",")
            scene.introduce(Character(name, occupation))
            verb_phrase(c, scene, "past")
        case "in":
            c.say("in")
            match c.branch(WHEN_OR_WHERE):
                case "season":  # In the spring of 1804 a miller named Thomas Holt lived in Ashford
                    c.say("the")
                    scene.season = c.word(SEASONS).text
                    c.say("of")
                    year(c, scene)
                case "year":
                    year(c, scene)
                case "month":
                    scene.set_date(day_of_year(lex.MONTHS.index(c.word(MONTHS).text), 1))
                    year(c, scene)
                case _:  # In Ashford there lives a miller named Thomas Holt
                    town(c, scene)
                    c.say("there")
                    scene.tense = PAST if c.word(LIVES).text == "lived" else PRESENT
                    named_hero(c, scene, heroes)
                    return
            named_hero(c, scene, heroes)
            if c.branch(LIVED) == "lived":
                c.say("lived", "in")
                town(c, scene)
            else:
                verb_phrase(c, scene, "past")
        case "name":  # Thomas Holt is a poor miller in Ashford
            name = full_name(c, scene)
            scene.tense = PAST if c.word(WAS_OR_IS).text == "was" else PRESENT
            occupation = hero(c, scene, heroes)
            c.say("in")
            town(c, scene)
            scene.introduce(Character(name, occupation))
        case "there":  # There was once a miller in Ashford whose name was Thomas Holt
            c.say("there")
            scene.tense = PAST if (tense := c.word(WAS_OR_IS).text) == "was" else PRESENT
            occupation = hero(c, scene, heroes)
            c.say("in")
            town(c, scene)
            c.say("whose", "name", tense)
            scene.introduce(Character(full_name(c, scene), occupation))
        case "long":  # Long ago a miller named Thomas Holt lived in Ashford
            c.say("long", "ago")
            named_hero(c, scene, heroes)
            c.say("lived", "in")
            town(c, scene)
        case "this":  # This is the story of Thomas Holt, a miller of Ashford
            c.say("this", "is", "the", "story", "of")
            name = full_name(c, scene)
            c.say(",")
            occupation = hero(c, scene, heroes)
            c.say("of")
            town(c, scene)
            scene.introduce(Character(name, occupation))
        case _:  # A poor miller named Thomas Holt lives in Ashford
            named_hero(c, scene, heroes)
            scene.tense = PAST if c.word(LIVES).text == "lived" else PRESENT
            c.say("in")
            town(c, scene)


def hero(c: Chooser, scene: Scene, heroes: lex.Heroes) -> str:
    """`a poor miller`: the occupation determines the topic."""
    article = c.branch(heroes.article)
    c.say(article)
    if c.branch(HERO_DESCRIBED) == "yes":
        c.word(lex.TRAITS.after[article]["harvest"])  # the same in every topic
        occupation = c.word(heroes.any)
    else:
        occupation = c.word(heroes.after[article])
    scene.topic = occupation.kind
    return occupation.text


def named_hero(c: Chooser, scene: Scene, heroes: lex.Heroes) -> None:
    """`a poor miller named Thomas Holt`."""
    occupation = hero(c, scene, heroes)
    c.say(c.branch(TITLES))
    scene.introduce(Character(full_name(c, scene), occupation))


def full_name(c: Chooser, scene: Scene) -> Word:
    """`Thomas Holt`; returns the given name."""
    name = c.word(lex.GIVEN)
    scene.full_name = (name.text, c.word(lex.SURNAMES).text)
    return name


def year(c: Chooser, scene: Scene) -> None:
    """`1804`; the end of the document may name it again."""
    scene.where_or_when = c.word(YEARS).text
