"""Subjects: who or what a clause is about, and the forms of verbs that agree with it."""

from __future__ import annotations

from typing import NamedTuple

from . import lexicon as lex
from .choices import OTHERWISE, Branch, Chooser
from .phrases import PERSON, TITLED, TITLES, character, indefinite, kin, several
from .scene import Agreement, Character, Scene

AND = Branch(("and", 1, "and"), ("alone", 11, OTHERWISE))
NOUN_SUBJECT = Branch(
    ("described", 14, lex.TRAITS.plain),
    ("best", 3, lex.SUPERLATIVES),
    ("person", 34, lex.PEOPLE.any),
    ("animal", 10, lex.ANIMALS.any),
    ("thing", 9, lex.THINGS.any),
    ("site", 6, lex.SITES.any),
    ("weather", 10, lex.WEATHER),
    ("event", 7, lex.EVENTS.any),
    ("abstract", 6, lex.ABSTRACTS),
)
SUBJECTS = {
    (pronoun, others, within): Branch(
        ("pronoun", 40 if pronoun else 0, pronoun),
        ("name", 22 if others else 0 if within else 12, lex.GIVEN),
        ("the", 24, "the"),
        ("article", 6, "a an"),
        ("own", 7 if pronoun else 0, {"he": "his", "she": "her"}.get(pronoun, "")),
        ("number", 4, lex.NUMBERS),
    )
    for pronoun in ("", "he", "she")
    for others in (False, True)
    for within in (False, True)
}
MINE = Branch(("kin", 5, lex.KIN), ("animal", 2, lex.ANIMALS.one), ("thing", 2, lex.THINGS.one), ("body", 2, lex.BODY))


class GrammaticalSubject(NamedTuple):
    """What a predicate needs to know about its subject."""

    kind: str  # person, animal, thing, site, weather, event, abstract
    agreement: Agreement


def subject(c: Chooser, scene: Scene) -> GrammaticalSubject:
    """Who or what a clause is about; from here on, "his" and "her" mean this person."""
    one, many = scene.tense
    center = scene.center
    others = len(scene.characters) > (center is not None)
    within = scene.depth > 0  # "Anne knew that she", not "that Anne"
    match c.branch(SUBJECTS[center.pronouns.subject if center else "", others, within]):
        case "pronoun":
            assert center is not None  # noqa: S101  (the branch offers it only then)
            c.say(center.pronouns.subject)
            scene.turn_to(center)
        case "name":
            who = character(c, scene, (center.given,) if center and within else ())
            scene.turn_to(who)
            if len(scene.characters) > 1 and c.branch(AND) == "and":
                c.say("and")
                character(c, scene, (who.given,))
                return _strangers(scene, many)
        case "the":
            c.say("the")
            return _noun_subject(c, scene)
        case "article":
            sex = indefinite(c, scene, PERSON).kind
            if len(scene.characters) < 4 and c.branch(TITLED) == "yes":
                c.say(c.branch(TITLES))
                taken = tuple(name for name, who in scene.characters.items() if not sex or who.sex == sex)
                scene.introduce(Character(c.word(lex.NAMES[sex], excluding=taken)))
            else:
                _strangers(scene, one)
        case "own":
            return _own_subject(c, scene)
        case _:
            c.word(lex.NUMBERS)
            several(c, scene, PERSON)
            return _strangers(scene, many)
    return GrammaticalSubject("person", one)


def _strangers(scene: Scene, agreement: Agreement) -> GrammaticalSubject:
    """A person who is not a character. After it, "he" and "she" refer to no character."""
    scene.center = None
    scene.possessive = "their" if agreement.plural else ""
    return GrammaticalSubject("person", agreement)


def _noun_subject(c: Chooser, scene: Scene) -> GrammaticalSubject:
    topic = scene.topic
    himself = (scene.center.occupation,) if scene.depth and scene.center and scene.center.occupation else ()
    match c.branch(NOUN_SUBJECT):
        case "described":
            c.word(lex.TRAITS.plain[topic])
            kind, word = "person", c.word(lex.PEOPLE.any[topic], familiar=scene.recall("person"), excluding=himself)
        case "best":
            c.word(lex.SUPERLATIVES[topic])
            kind, word = "person", c.word(lex.PEOPLE.one[topic], excluding=himself)
        case "person":
            kind, word = "person", c.word(lex.PEOPLE.any[topic], familiar=scene.recall("person"), excluding=himself)
        case "animal":
            kind, word = "animal", c.word(lex.ANIMALS.any[topic], familiar=scene.recall("animal"))
        case "thing":
            kind, word = "thing", c.word(lex.THINGS.any[topic], familiar=scene.recall("thing"))
            scene.it = word
        case "site":
            kind, word = "site", c.word(lex.SITES.any[topic], familiar=scene.recall("site"))
        case "weather":
            kind, word = "weather", c.word(lex.WEATHER[scene.season])
        case "event":
            kind, word = "event", c.word(lex.EVENTS.any[topic], familiar=scene.recall("event"))
        case _:
            kind, word = "abstract", c.word(lex.ABSTRACTS[topic])
    agreement = scene.tense[word.plural]
    if kind == "person":
        known = None if word.plural else scene.known_as(word.text)
        if known is None:
            return _strangers(scene, agreement)
        scene.turn_to(known)
    return GrammaticalSubject(kind, agreement)


def _own_subject(c: Chooser, scene: Scene) -> GrammaticalSubject:
    assert scene.center is not None  # noqa: S101
    one, topic = scene.tense[0], scene.topic
    c.say(scene.center.pronouns.possessive)
    scene.turn_to(scene.center)
    kind = c.branch(MINE)
    match kind:
        case "kin":
            relative = kin(c, scene)
            if relative is None:
                return _strangers(scene, one)
            scene.turn_to(relative)
            kind = "person"
        case "animal":
            c.word(lex.ANIMALS.one[topic], familiar=scene.recall("animal"))
        case "thing":
            scene.it = c.word(lex.THINGS.one[topic], familiar=scene.recall("thing"))
        case _:
            c.word(lex.BODY[topic])
    return GrammaticalSubject(kind, one)
