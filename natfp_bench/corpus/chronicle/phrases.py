"""Phrases: people, things and places.

Each function writes one phrase and returns what the rest of the sentence needs to know about it.
"""

from __future__ import annotations

from typing import NamedTuple

from . import lexicon as lex
from . import words
from .choices import OTHERWISE, Branch, Chooser, Word
from .scene import Character, Scene

# --- nouns ---------------------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """A kind of countable noun with the adjectives that suit it."""

    name: str
    nouns: lex.Nouns
    adjectives: lex.Adjectives
    described: Branch


def _kind(name: str, nouns: lex.Nouns, adjectives: lex.Adjectives, weight: int) -> Kind:
    described = Branch(("yes", weight, adjectives.plain), ("no", 100 - weight, OTHERWISE))
    return Kind(name, nouns, adjectives, described)


PERSON = _kind("person", lex.PEOPLE, lex.TRAITS, 42)
THING = _kind("thing", lex.THINGS, lex.QUALITIES, 45)
ANIMAL = _kind("animal", lex.ANIMALS, lex.BEASTLY, 45)
SITE = _kind("site", lex.SITES, lex.LOCAL, 36)
ROOM = _kind("room", lex.INDOORS, lex.LOCAL, 30)
DOOR = _kind("door", lex.DOORS, lex.QUALITIES, 15)
FIXTURE = _kind("fixture", lex.FIXTURES, lex.QUALITIES, 25)
EVENT = _kind("event", lex.EVENTS, lex.NOTABLE, 40)

POSSESSIVES = ("", "his", "her", "their", "my", "your", "our")
DETERMINERS = {
    (own, it): Branch(
        ("it", 26 if it else 0, it),
        ("the", 34, "the"),
        ("article", 34, "a an"),
        ("own", 22 if own else 0, own),
        ("number", 8, lex.NUMBERS),
    )
    for own in POSSESSIVES
    for it in ("", "it", "them")
}
PLACED = {
    own: Branch(("the", 80, "the"), ("article", 12, "a an"), ("own", 5 if own else 0, own)) for own in POSSESSIVES
}


MEASURES = frozenset(words.MEASURES.split())
FILLED = Branch(("no", 2, OTHERWISE), ("of", 3, "of"))


def definite(c: Chooser, scene: Scene, kind: Kind, excluding: tuple[str, ...] = ()) -> Word:
    """`old box` in "the old box"; nouns that were mentioned before are more likely."""
    if c.branch(kind.described) == "yes":
        c.word(kind.adjectives.plain[scene.topic])
    word = c.word(kind.nouns.any[scene.topic], familiar=scene.recall(kind.name), excluding=excluding)
    return _mention(scene, kind, word)


def indefinite(c: Chooser, scene: Scene, kind: Kind) -> Word:
    """`an old box`."""
    article = c.branch(kind.nouns.article(scene.topic))
    c.say(article)
    if c.branch(kind.described) == "yes":
        c.word(kind.adjectives.after[article][scene.topic])
        word = c.word(kind.nouns.one[scene.topic])
    else:
        word = c.word(kind.nouns.after[article][scene.topic])
    return _mention(scene, kind, word)


def several(c: Chooser, scene: Scene, kind: Kind) -> Word:
    """`old boxes` in "three old boxes"."""
    if c.branch(kind.described) == "yes":
        c.word(kind.adjectives.plain[scene.topic])
    return _mention(scene, kind, c.word(kind.nouns.many[scene.topic]))


def _mention(scene: Scene, kind: Kind, word: Word) -> Word:
    if not word.plural and kind.name != "person":
        scene.remember(kind.name, word.text)
    return word


def thing(c: Chooser, scene: Scene, kind: Kind = THING) -> None:
    """An object: `it`, `the old box`, `a box`, `his box`, `three boxes`."""
    it = scene.it if kind is THING else None
    match c.branch(DETERMINERS[scene.possessive, "" if it is None else "them" if it.plural else "it"]):
        case "it":
            c.say("them" if it is not None and it.plural else "it")
            return
        case "the":
            c.say("the")
            word = definite(c, scene, kind)
        case "article":
            word = indefinite(c, scene, kind)
        case "own":
            c.say(scene.possessive)
            word = definite(c, scene, kind)
        case _:
            c.word(lex.NUMBERS)
            word = several(c, scene, kind)
    if kind is THING:
        scene.it = word
        if word.lemma in MEASURES and c.branch(FILLED) == "of":
            c.say("of")
            c.word(lex.GOODS[scene.topic])


def site(c: Chooser, scene: Scene, kind: Kind = SITE) -> None:
    """A place without a name: `the old mill`."""
    match c.branch(PLACED[scene.possessive]):
        case "the":
            c.say("the")
            definite(c, scene, kind)
        case "article":
            indefinite(c, scene, kind)
        case _:
            c.say(scene.possessive)
            definite(c, scene, kind)


def town(c: Chooser, scene: Scene) -> None:
    """A place with a name: `Ashford`."""
    name = c.word(lex.TOWNS, familiar=scene.recall("town")).text
    scene.remember("town", name)
    scene.where_or_when = scene.where_or_when or name


# --- people --------------------------------------------------------------------------------------------------------

NAMED = Branch(("no", 3, OTHERWISE), ("yes", 2, lex.GIVEN))
TITLED = Branch(("no", 7, OTHERWISE), ("yes", 1, "named called"))
TITLES = Branch(("named", 3, "named"), ("called", 2, "called"))


def _whom(others: bool, own: str, pronoun: str) -> Branch:
    return Branch(
        ("name", 40 if others else 0, lex.GIVEN),
        ("pronoun", 20 if pronoun else 0, pronoun),
        ("the", 30, "the"),
        ("article", 12, "a an"),
        ("kin", 12 if own else 0, own),
    )


WHOM = {
    (others, own, pronoun): _whom(others, own, pronoun)
    for others in (False, True)
    for own in POSSESSIVES
    for pronoun in ("", "him", "her", "me", "you")
    if pronoun != "her" or own != "her"
}


def character(c: Chooser, scene: Scene, excluding: tuple[str, ...] = ()) -> Character:
    """One of the scene's characters, by name."""
    name = c.word(scene.cast, excluding=excluding).text
    scene.named = (*scene.named, name)
    return scene.characters[name]


def person(c: Chooser, scene: Scene) -> None:
    """Someone who is not the subject: `Anne`, `him`, `the old weaver`, `his brother John`."""
    center = scene.center
    excluding = (center.given,) if center else ()
    other = next((who for who in scene.characters.values() if center and who.sex != center.sex), None)
    pronoun = {"my": "you", "our": "you", "your": "me"}.get(scene.possessive, other.pronouns.object if other else "")
    if pronoun == scene.possessive:
        pronoun = ""
    match c.branch(WHOM[len(scene.characters) > len(excluding), scene.possessive, pronoun]):
        case "name":
            character(c, scene, excluding)
        case "pronoun":
            c.say(pronoun)
        case "the":
            c.say("the")
            definite(c, scene, PERSON, (center.occupation,) if center and center.occupation else ())
        case "article":
            indefinite(c, scene, PERSON)
        case _:
            c.say(scene.possessive)
            kin(c, scene)


def kin(c: Chooser, scene: Scene) -> Character | None:
    """`brother John` in "his brother John"; a relative with a name becomes a character."""
    owner = scene.center if scene.possessive in ("his", "her") else None
    word = c.word(lex.KIN, familiar=tuple(owner.kin) if owner else ())
    if owner is None or word.text in owner.kin:
        return owner.kin[word.text] if owner else None
    if len(scene.characters) > 3 or c.branch(NAMED) == "no":
        return None
    taken = tuple(name for name, who in scene.characters.items() if who.sex == word.kind)
    relative = Character(c.word(lex.NAMES[word.kind], excluding=taken))
    owner.kin[word.text] = relative
    scene.introduce(relative)
    scene.turn_to(owner)
    return relative


# --- places and other trailing parts -------------------------------------------------------------------------------

WHERE = Branch(
    ("at", 6, "at"), ("near", 4, "near"), ("by", 3, "by"), ("behind", 2, "behind"), ("beside", 2, "beside"),
    ("outside", 1, "outside"), ("in", 14, "in"),
)  # fmt: skip
INSIDE = {own: Branch(("town", 3, lex.TOWNS), ("room", 7, f"the a an {own}")) for own in POSSESSIVES}
WHITHER = Branch(
    ("to", 14, "to"), ("into", 6, "into"), ("towards", 4, "towards"), ("past", 3, "past"), ("from", 3, "from"),
    ("home", 4, "home"), ("away", 3, "away"), ("nowhere", 4, OTHERWISE),
)  # fmt: skip
GOAL = {own: Branch(("town", 2, lex.TOWNS), ("site", 7, f"the a an {own}")) for own in POSSESSIVES}
TAILS = {  # what may follow each kind of verb: one neither notices bravely nor drops a box for six weeks
    sort: Branch(
        ("nothing", nothing, OTHERWISE), ("manner", manner, lex.MANNER), ("where", place, WHERE),
        ("with", company, "with"),
        ("for", lasting, "for"), ("till", lasting, "till"), ("all", lasting, "all"), ("every", lasting, "every"),
    )
    for sort, nothing, manner, place, company, lasting in (
        ("act", 66, 12, 22, 0, 0), ("state", 90, 0, 10, 0, 0), ("motion", 75, 14, 0, 11, 0),
        ("activity", 40, 14, 22, 8, 5),
        ("posture", 66, 10, 0, 10, 4),
    )
}  # fmt: skip
SALE = Branch(("nothing", 3, OTHERWISE), ("for", 2, "for"))
BY = Branch(("nobody", 3, OTHERWISE), ("by", 2, "by"))


def where(c: Chooser, scene: Scene) -> None:
    """`at the mill`, `in Ashford`."""
    preposition = c.branch(WHERE)
    c.say(preposition)
    if preposition != "in":
        site(c, scene)
    elif c.branch(INSIDE[scene.possessive]) == "town":
        town(c, scene)
    else:
        site(c, scene, ROOM)


def whither(c: Chooser, scene: Scene) -> None:
    """`to the mill`, `home`, or nothing."""
    match c.branch(WHITHER):
        case "nowhere":
            pass
        case "home" | "away" as adverb:
            c.say(adverb)
        case "into":
            c.say("into")
            site(c, scene, ROOM)
        case preposition:
            c.say(preposition)
            if c.branch(GOAL[scene.possessive]) == "town":
                town(c, scene)
            else:
                site(c, scene)


def tail(c: Chooser, scene: Scene, sort: str) -> None:
    """What may follow at the end of a clause."""
    match c.branch(TAILS[sort]):
        case "manner":
            c.word(lex.MANNER[scene.topic])
        case "where":
            where(c, scene)
        case "with":
            c.say("with")
            person(c, scene)
        case "for":
            c.say("for")
            c.word(lex.NUMBERS)
            c.word(lex.UNITS)
        case "till":
            c.say("till")
            c.word(lex.HOURS)
        case "all" | "every" as each:
            c.say(each)
            c.word(lex.SPAN)
