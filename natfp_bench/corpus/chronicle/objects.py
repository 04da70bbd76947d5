"""Verbs by construction, and the objects of some constructions."""

from __future__ import annotations

from . import lexicon as lex
from .choices import OTHERWISE, Branch, Chooser
from .lexicon import SPEECH, VERBS
from .phrases import ANIMAL, EVENT, POSSESSIVES, character, indefinite, several, where, whither
from .scene import Scene

FORMS = ("base", "s", "past", "ing", "done")
SIMPLE = {  # constructions that take no clause, and their weights
    "handle": 16, "give": 6, "tend": 5, "trade": 3, "move": 15, "stay": 6, "work": 8, "perceive": 9,
    "social": 8, "place": 5,
    "fix": 4, "consume": 4, "care": 5, "become": 4, "unlock": 2,
}  # fmt: skip
CLAUSAL = {"think": 8, "wish": 6, "speak": 3, "persuade": 4}
ALL_VERBS = {**VERBS, **SPEECH}


def constructions(form: str, weights: dict[str, int]) -> Branch:
    """Branch on the construction; the verb identifies it, because no verb is in two constructions."""
    return Branch(*((name, weight, ALL_VERBS[name].forms[form]) for name, weight in weights.items()))


def _others(scene: Scene) -> tuple[str, ...] | None:
    """Return the names to exclude if another person is meant; None if there is no other person."""
    center = (scene.center.given,) if scene.center else ()
    return center if len(scene.characters) > len(center) else None


THAT_THING = Branch(("no", 8, OTHERWISE), ("that", 1, "that"))


def history(c: Chooser, scene: Scene) -> None:
    """`that Anne had mended`: what happened to the thing before."""
    others = _others(scene)
    if others is not None and c.branch(THAT_THING) == "that":
        c.say("that")
        character(c, scene, others)
        c.say(scene.tense[0].have)
        c.word(VERBS["handle"].forms["done"][scene.topic])


PERCEIVED = Branch(
    ("animal", 3, lex.ANIMALS.any), ("thing", 4, lex.THINGS.any), ("person", 4, lex.PEOPLE.any),
    ("site", 3, lex.SITES.any),
    ("weather", 1, lex.WEATHER),
)  # fmt: skip
PERCEIVED_FORM = {
    others: Branch(("the", 6, "the"), ("number", 1, lex.NUMBERS), ("name", 5 if others else 0, lex.GIVEN))
    for others in (False, True)
}
DOINGS = constructions("ing", {name: SIMPLE[name] for name in ("move", "stay", "work")})
DOING = Branch(("nothing", 1, OTHERWISE), ("something", 1, DOINGS))


def perceived(c: Chooser, scene: Scene, full: bool) -> bool:
    """Anything that can be seen: `the fox`, `six gulls`, `Anne coming home`; returns whether it ends the clause."""
    topic = scene.topic
    others = _others(scene)
    match c.branch(PERCEIVED_FORM[others is not None]):
        case "name":
            character(c, scene, others or ())
            if full and c.branch(DOING) == "something":
                doing(c, scene)
                return True
        case "number":
            c.word(lex.NUMBERS)
            several(c, scene, ANIMAL)
        case _:
            c.say("the")
            match c.branch(PERCEIVED):
                case "animal":
                    c.word(lex.ANIMALS.any[topic], familiar=scene.recall("animal"))
                case "thing":
                    scene.it = c.word(lex.THINGS.any[topic], familiar=scene.recall("thing"))
                case "person":
                    c.word(lex.PEOPLE.any[topic], familiar=scene.recall("person"))
                case "site":
                    c.word(lex.SITES.any[topic], familiar=scene.recall("site"))
                case _:
                    c.word(lex.WEATHER[scene.season])
    return False


def doing(c: Chooser, scene: Scene) -> None:
    """`walking home`, `waiting at the gate`."""
    name = c.branch(DOINGS)
    c.word(VERBS[name].forms["ing"][scene.topic])
    if name == "move":
        whither(c, scene)
    elif name == "stay":
        where(c, scene)


FOOD = {
    own: Branch(
        ("the", 4, "the"), ("some", 3, "some"), ("own", 3 if own else 0, own),
    )
    for own in POSSESSIVES
}  # fmt: skip


def food(c: Chooser, scene: Scene) -> None:
    """`some bread`."""
    c.say(scene.possessive if (word := c.branch(FOOD[scene.possessive])) == "own" else word)
    c.word(lex.FOODS[scene.topic])


MATTER = Branch(("the", 9, "the"), ("article", 2, "a an"), ("bare", 2, lex.FEELINGS))
MATTERS = Branch(("described", 4, lex.NOTABLE.plain), ("abstract", 9, lex.ABSTRACTS), ("event", 6, lex.EVENTS.any))
DESCRIBED_MATTERS = Branch(("abstract", 3, lex.ABSTRACTS), ("event", 4, lex.EVENTS.any))


def matter(c: Chooser, scene: Scene) -> None:
    """What can be remembered or feared: `the great storm`, `poverty`."""
    match c.branch(MATTER):
        case "article":
            indefinite(c, scene, EVENT)
            return
        case "the":
            c.say("the")
            kind = c.branch(MATTERS)
            if kind == "described":
                c.word(lex.NOTABLE.plain[scene.topic])
                kind = c.branch(DESCRIBED_MATTERS)
        case _:
            c.word(lex.FEELINGS[scene.topic])
            return
    if kind == "event":
        word = c.word(lex.EVENTS.any[scene.topic], familiar=scene.recall("event"))
        if not word.plural:
            scene.remember("event", word.text)
    else:
        c.word(lex.ABSTRACTS[scene.topic])


DEGREE = Branch(
    ("plain", 7, OTHERWISE), ("very", 2, "very"), ("too", 1, "too"), ("rather", 1, "rather"), ("quite", 1, "quite")
)


def mood(c: Chooser, scene: Scene) -> None:
    """`very tired`."""
    if (degree := c.branch(DEGREE)) != "plain":
        c.say(degree)
    c.word(lex.MOODS[scene.topic])
