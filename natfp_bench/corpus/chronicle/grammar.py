"""The grammar of a document, from the opening through sentences and dialogue to the end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from . import lexicon as lex
from . import words
from .choices import END, OTHERWISE, Branch, Chooser, Table, Word, plain
from .clauses import clause, further, predicate, subordinate, verb_phrase
from .dialogue import dialogue
from .lexicon import VERBS
from .morphology import ordinal, plural
from .objects import CLAUSAL, SIMPLE, constructions
from .openings import opening
from .phrases import THING, character, indefinite, town, where
from .scene import PAST, PRESENT, Scene, month_and_day
from .subjects import GrammaticalSubject

SHORTEST, LONGEST = 50, 135  # tokens after which a document may end, and tokens after which it must
STOP = Branch(("stop", 5, END), ("thus", 2, "thus"), ("such", 2, "such"), ("more", 33, OTHERWISE))
LAST = Branch(("stop", 5, END), ("thus", 2, "thus"), ("such", 2, "such"))


def document(c: Chooser, topics: Sequence[str]) -> None:
    """One document: an opening that sets topic, tense and hero, and then sentences."""
    scene = Scene()
    c.begin()
    opening(c, scene, lex.heroes(tuple(topics)))
    c.say(".")
    while (end := "more" if c.length < SHORTEST else c.branch(STOP if c.length < LONGEST else LAST)) == "more":
        sentence(c, scene)
    if end != "stop":
        closing(c, scene, end)


ENDED = {"past": "ended", "s": "ends"}


def closing(c: Chooser, scene: Scene, form: str) -> None:
    """`Thus ended the harvest of 1804`, `Such was the life of Thomas Holt`."""
    one = scene.tense[0]
    c.begin()
    if form == "thus":
        c.say("thus", ENDED[one.form], "the")
        c.word(lex.EVENTS.one[scene.topic], familiar=scene.recall("event"))
        c.say("of" if scene.where_or_when.isdigit() else "in", scene.where_or_when)
    else:
        c.say("such", one.be, "the")
        c.word(FATES)
        c.say("of", *scene.full_name)
    c.say(".")


FATES = plain({"life": 3, "fate": 2, "story": 2, "luck": 1})


# --- sentences -----------------------------------------------------------------------------------------------------

OPENERS = "handle move stay perceive tend work place care wish trade fix unlock"
PARTICIPLES = constructions("ing", {name: {**SIMPLE, **CLAUSAL}[name] for name in OPENERS.split()})
SENTENCES = {
    dated: Branch(
        ("plain", 44, OTHERWISE),
        ("dialogue", 20, "“"),
        ("adverb", 7, lex.OPENING_ADVERBS),
        ("manner", 3, lex.MANNER),
        ("subordinate", 10, "when while after before because although since if"),
        ("in", 3, "in"),
        ("at", 4, "at"),
        ("that", 4, "that"),
        ("next", 3, "next"),
        ("on", 6 if dated else 0, "on"),
        ("there", 5, "there"),
        ("it", 4, "it"),
        ("participle", 4, PARTICIPLES),
        ("nobody", 1, "nobody everybody"),
        ("all", 1, "all"),
    )
    for dated in (False, True)
}
CONJUNCTIONS = plain(dict(lex.zipf(["when", "because", "while", "after", "before", "although", "since", "if"])))
CONTINUE = Branch(
    ("stop", 46, "."), ("and", 16, "and"), ("comma", 14, ","), ("semicolon", 5, ";"),
    ("subordinate", 9, "because when while until after before"),
)  # fmt: skip
CONTINUE_AGAIN = Branch(("stop", 12, "."), ("and", 2, "and"), ("comma", 1, ","))
LINKS = plain({"and": 6, "but": 5, "for": 2, "so": 2, "yet": 1})
BRIEF = ("when", "until", "after", "before")
LATER_CONJUNCTIONS = plain(dict(lex.zipf(["because", "when", "while", "until", "after", "before"])))
IN_THE = Branch(("the", 3, "the"), ("town", 2, lex.TOWNS))
AT = Branch(("last", 2, "last first once"), ("hour", 3, lex.HOURS))
AT_LAST = plain({"last": 3, "first": 2, "once": 1})
EVERYONE = plain({"nobody": 2, "everybody": 1})


def sentence(c: Chooser, scene: Scene) -> None:
    """Any sentence but the first."""
    c.begin()
    match c.branch(SENTENCES[scene.date is not None]):
        case "plain":
            who = clause(c, scene)
        case "dialogue":
            dialogue(c, scene)
            c.say(".")
            return
        case "adverb":
            c.word(lex.OPENING_ADVERBS[scene.topic])
            who = clause(c, scene)
        case "manner":
            c.word(lex.MANNER[scene.topic])
            c.say(",")
            who = clause(c, scene, brief=True)
        case "subordinate":
            subordinate(c, scene, c.word(CONJUNCTIONS).text in BRIEF)
            c.say(",")
            who = clause(c, scene)
        case "in":
            c.say("in")
            if c.branch(IN_THE) == "town":
                town(c, scene)
            else:
                c.say("the")
                c.word(lex.PARTS_OF_DAY)
            who = clause(c, scene)
        case "at":
            c.say("at")
            c.word(AT_LAST if c.branch(AT) == "last" else lex.HOURS)
            who = clause(c, scene)
        case "that":
            c.say("that")
            c.word(lex.DAYS)
            who = clause(c, scene)
        case "next":
            c.say("next")
            c.word(lex.DAYS)
            if scene.date is not None:
                scene.set_date(scene.date + 1)
            who = clause(c, scene)
        case "on":
            later_date(c, scene)
            who = clause(c, scene)
        case "there":
            existence(c, scene)
            c.say(".")
            return
        case "it":
            impersonal(c, scene)
            c.say(".")
            return
        case "participle":
            who = participial(c, scene)
        case "all":
            c.say("all")
            c.word(lex.SPAN)
            who = clause(c, scene)
        case _:
            c.word(EVERYONE)
            scene.center, scene.possessive = None, ""
            who = GrammaticalSubject("person", scene.tense[0])
            predicate(c, scene, who.agreement)
    continuation(c, scene, who)


def continuation(c: Chooser, scene: Scene, who: GrammaticalSubject) -> None:
    """The rest of a sentence after its main clause, with the full stop."""
    rest = CONTINUE
    while (link := c.branch(rest)) != "stop":
        match link:
            case "and":
                c.say("and")
                further(c, scene, who)
            case "comma":
                c.say(",")
                c.word(LINKS)
                who = clause(c, scene)
            case "semicolon":
                c.say(";")
                who = clause(c, scene)
            case _:
                who = subordinate(c, scene, c.word(LATER_CONJUNCTIONS).text in BRIEF)
        rest = CONTINUE_AGAIN
    c.say(".")


def later_date(c: Chooser, scene: Scene) -> None:
    """`on the 9th of April`: one of the twenty days after the scene's date."""
    assert scene.date is not None  # noqa: S101
    c.say("on", "the")
    day = c.word(days_after(scene.date))
    scene.set_date(int(day.lemma))
    c.say("of", lex.MONTHS[month_and_day(int(day.lemma))[0]])


@cache
def days_after(date: int) -> Table:
    """The next twenty days: their ordinals all differ, so that the ordinal determines the month."""
    days = [(date + step) % 365 for step in range(1, 21)]
    return Table((Word(ordinal(month_and_day(day)[1]), str(day)), 1) for day in days)


THERE = {
    agreement[0].be: Branch(("one", 3, agreement[0].be), ("many", 2, agreement[1].be)) for agreement in (PAST, PRESENT)
}
MEASURED = Table((Word(plural(word), word, True), weight) for word, weight in lex.zipf(words.MEASURES.split()))
EXISTING_ONE = Branch(("article", 4, "a an"), ("no", 1, "no"))
THINGS_THERE = Branch(
    ("food", 1, lex.FOODS), ("goods", 1, lex.GOODS), ("animal", 1, lex.ANIMALS.one), ("thing", 1, lex.THINGS.one)
)
MANY_THERE = Branch(
    ("person", 3, lex.PEOPLE.many), ("animal", 3, lex.ANIMALS.many), ("measure", 4, MEASURED),
)  # fmt: skip


def existence(c: Chooser, scene: Scene) -> None:
    """`There were two sheep at the gate`."""
    c.say("there")
    one, many = scene.tense
    if c.branch(THERE[one.be]) == "many":
        c.say(many.be)
        c.word(lex.NUMBERS)
        match c.branch(MANY_THERE):
            case "person":
                c.word(lex.PEOPLE.many[scene.topic])
            case "animal":
                c.word(lex.ANIMALS.many[scene.topic])
            case _:
                c.word(MEASURED)
                c.say("of")
                c.word(lex.GOODS[scene.topic])
    else:
        c.say(one.be)
        if c.branch(EXISTING_ONE) == "no":
            c.say("no")
            match c.branch(THINGS_THERE):
                case "food":
                    c.word(lex.FOODS[scene.topic])
                case "goods":
                    c.word(lex.GOODS[scene.topic])
                case "animal":
                    c.word(lex.ANIMALS.one[scene.topic])
                case _:
                    c.word(lex.THINGS.one[scene.topic])
        else:
            indefinite(c, scene, THING)
    where(c, scene)


IT = {
    agreement[0]: Branch(("be", 3, agreement[0].be), ("rain", 2, VERBS["rain"].forms[agreement[0].form]))
    for agreement in (PAST, PRESENT)
}
RAINING = VERBS["rain"].forms["ing"]
IT_IS = Branch(("raining", 2, RAINING), ("adjective", 4, lex.WEATHERLY.plain), ("day", 3, "a"), ("who", 3, lex.GIVEN))
ALL_DAY = Branch(("no", 2, OTHERWISE), ("all", 1, "all"))


def impersonal(c: Chooser, scene: Scene) -> None:
    """`It was a cold morning`, `It rained all day`, `It was Anne who went home`."""
    c.say("it")
    one = scene.tense[0]
    if c.branch(IT[one]) == "rain":
        c.word(VERBS["rain"].forms[one.form][scene.season])
        if c.branch(ALL_DAY) == "all":
            c.say("all")
            c.word(lex.DAYS)
        return
    c.say(one.be)
    match c.branch(IT_IS):
        case "raining":
            c.word(RAINING[scene.season])
        case "adjective":
            c.word(lex.WEATHERLY.plain[scene.season])
        case "day":
            c.say("a")
            c.word(lex.WEATHERLY.after["a"][scene.season])
            c.word(lex.PARTS_OF_DAY)
        case _:
            scene.turn_to(character(c, scene))
            c.say("who")
            predicate(c, scene, one)


def participial(c: Chooser, scene: Scene) -> GrammaticalSubject:
    """`Carrying a basket, Anne went home`."""
    scene.possessive = ""
    name = c.branch(PARTICIPLES)
    verb_phrase(c, scene, "ing", full=False, name=name)
    c.say(",")
    scene.turn_to(character(c, scene))
    predicate(c, scene, scene.tense[0])
    return GrammaticalSubject("person", scene.tense[0])
