"""Clauses: a subject, and a predicate that agrees with it."""

from __future__ import annotations

from typing import NamedTuple

from . import lexicon as lex
from .choices import OTHERWISE, Branch, Chooser, Table, Word
from .lexicon import SPEECH, VERBS
from .phrases import (
    ANIMAL,
    BY,
    EVENT,
    DOOR,
    FIXTURE,
    PERSON,
    POSSESSIVES,
    RECIPIENT,
    SALE,
    TITLED,
    TITLES,
    WHERE,
    indefinite,
    kin,
    person,
    several,
    site,
    character,
    tail,
    thing,
    where,
    whither,
)
from .scene import FIRST_PERSON, PAST, PRESENT, Agreement, Character, Scene

# --- subjects ------------------------------------------------------------------------------------------------------

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


class Subject(NamedTuple):
    """What a predicate must know of its subject."""

    kind: str  # person, animal, thing, site, weather, event, abstract
    agreement: Agreement


def subject(c: Chooser, scene: Scene) -> Subject:
    """Who or what a clause is about; from here on "his" or "her" is theirs."""
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
            indefinite(c, scene, PERSON)
            if len(scene.characters) < 4 and c.branch(TITLED) == "yes":
                c.say(c.branch(TITLES))
                scene.introduce(Character(c.word(lex.GIVEN, excluding=tuple(scene.characters))))
            else:
                _strangers(scene, one)
        case "own":
            return _own_subject(c, scene)
        case _:
            c.word(lex.NUMBERS)
            several(c, scene, PERSON)
            return _strangers(scene, many)
    return Subject("person", one)


def _strangers(scene: Scene, agreement: Agreement) -> Subject:
    """Nobody whom "he" or "she" could mean from now on."""
    scene.center = None
    scene.possessive = "their" if agreement.plural else ""
    return Subject("person", agreement)


def _noun_subject(c: Chooser, scene: Scene) -> Subject:
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
    return Subject(kind, agreement)


def _own_subject(c: Chooser, scene: Scene) -> Subject:
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
    return Subject(kind, one)


# --- predicates ----------------------------------------------------------------------------------------------------

FORMS = ("base", "s", "past", "ing", "done")
SIMPLE = {  # constructions that take no clause, and their weights
    "handle": 16, "give": 6, "tend": 5, "trade": 3, "move": 15, "stay": 6, "work": 8, "perceive": 9, "social": 8, "place": 5,
    "fix": 4, "consume": 4, "care": 5, "become": 4, "unlock": 2,
}  # fmt: skip
CLAUSAL = {"think": 8, "wish": 6, "speak": 3, "persuade": 4}
ALL_VERBS = {**VERBS, **SPEECH}


def constructions(form: str, weights: dict[str, int]) -> Branch:
    return Branch(*((name, weight, ALL_VERBS[name].forms[form]) for name, weight in weights.items()))


CONSTRUCTIONS = {
    (form, full): constructions(form, {**SIMPLE, **CLAUSAL} if full else SIMPLE) for form in FORMS for full in (True, False)
}
SEEN = Branch(("thing", 3, OTHERWISE), ("person", 2, lex.GIVEN))
THAT_THING = Branch(("no", 8, OTHERWISE), ("that", 1, "that"))


def verb_phrase(c: Chooser, scene: Scene, form: str, full: bool = True, name: str = "") -> None:
    """A full verb of any construction, or of the one named, with what it takes."""
    name = name or c.branch(CONSTRUCTIONS[form, full and not scene.depth])
    c.word(ALL_VERBS[name].forms[form][scene.topic])
    match name:
        case "handle":
            thing(c, scene)
            if full:
                _history(c, scene)
        case "give":
            thing(c, scene)
            if c.branch(RECIPIENT) == "to":
                c.say("to")
                person(c, scene)
        case "tend":
            thing(c, scene, ANIMAL)
        case "trade":
            thing(c, scene)
            if c.branch(SALE) == "for":
                c.say("for")
                c.word(lex.NUMBERS)
                c.word(lex.COINS)
                return
        case "move":
            whither(c, scene)
        case "stay":
            where(c, scene)
        case "perceive":
            if _perceived(c, scene, full):
                return
        case "social":
            person(c, scene)
        case "place":
            site(c, scene)
        case "fix":
            thing(c, scene, FIXTURE)
        case "unlock":
            thing(c, scene, DOOR)
        case "consume":
            _food(c, scene)
        case "care":
            _matter(c, scene)
        case "become":
            _mood(c, scene)
        case "think" | "speak":
            c.say("that")
            subordinate(c, scene)
        case "wish":
            c.say("to")
            verb_phrase(c, scene, "base")
        case "persuade":
            person(c, scene)
            c.say("to")
            verb_phrase(c, scene, "base")
    if full and name in TAIL_OF:
        tail(c, scene, TAIL_OF[name])


TAIL_OF = {
    "handle": "act", "give": "act", "tend": "act", "trade": "act", "fix": "act", "unlock": "act", "social": "act", "perceive": "state",
    "move": "motion", "place": "motion", "stay": "posture", "work": "activity", "consume": "activity",
}  # fmt: skip


def _others(scene: Scene) -> tuple[str, ...] | None:
    """Return the name to exclude where somebody else is meant; None if there is nobody else."""
    center = (scene.center.given,) if scene.center else ()
    return center if len(scene.characters) > len(center) else None


def _history(c: Chooser, scene: Scene) -> None:
    """`that Anne had mended`: what once befell the thing."""
    others = _others(scene)
    if others is not None and c.branch(THAT_THING) == "that":
        c.say("that")
        character(c, scene, others)
        c.say(scene.tense[0].have)
        c.word(VERBS["handle"].forms["done"][scene.topic])


PERCEIVED = Branch(
    ("animal", 3, lex.ANIMALS.any), ("thing", 4, lex.THINGS.any), ("person", 4, lex.PEOPLE.any), ("site", 3, lex.SITES.any),
    ("weather", 1, lex.WEATHER),
)  # fmt: skip
PERCEIVED_FORM = {
    others: Branch(("the", 6, "the"), ("number", 1, lex.NUMBERS), ("name", 5 if others else 0, lex.GIVEN))
    for others in (False, True)
}
DOINGS = constructions("ing", {name: SIMPLE[name] for name in ("move", "stay", "work")})
DOING = Branch(("nothing", 1, OTHERWISE), ("something", 1, DOINGS))


def _perceived(c: Chooser, scene: Scene, full: bool) -> bool:
    """Whatever can be seen: `the fox`, `six gulls`, `Anne coming home`; true if it ends the clause."""
    topic = scene.topic
    others = _others(scene)
    match c.branch(PERCEIVED_FORM[others is not None]):
        case "name":
            character(c, scene, others or ())
            if full and c.branch(DOING) == "something":
                _doing(c, scene)
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


def _doing(c: Chooser, scene: Scene) -> None:
    """`walking home`, `waiting at the gate`."""
    name = c.branch(DOINGS)
    c.word(VERBS[name].forms["ing"][scene.topic])
    if name == "move":
        whither(c, scene)
    elif name == "stay":
        where(c, scene)


FOOD = {
    own: Branch(
        ("the", 4, "the"), ("some", 3, "some"), ("own", 3 if own else 0, own), ("much", 1, "much"),
    )
    for own in POSSESSIVES
}  # fmt: skip


def _food(c: Chooser, scene: Scene) -> None:
    """`some bread`."""
    c.say(scene.possessive if (word := c.branch(FOOD[scene.possessive])) == "own" else word)
    c.word(lex.FOODS[scene.topic])


MATTER = Branch(("the", 9, "the"), ("article", 2, "a an"), ("bare", 2, lex.FEELINGS))
MATTERS = Branch(("described", 4, lex.NOTABLE.plain), ("abstract", 9, lex.ABSTRACTS), ("event", 6, lex.EVENTS.any))
DESCRIBED_MATTERS = Branch(("abstract", 3, lex.ABSTRACTS), ("event", 4, lex.EVENTS.any))


def _matter(c: Chooser, scene: Scene) -> None:
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


DEGREE = Branch(("plain", 7, OTHERWISE), ("very", 2, "very"), ("too", 1, "too"), ("rather", 1, "rather"), ("quite", 1, "quite"))


def _mood(c: Chooser, scene: Scene) -> None:
    """`very tired`."""
    if (degree := c.branch(DEGREE)) != "plain":
        c.say(degree)
    c.word(lex.MOODS[scene.topic])


MODALS = {
    form: Table((Word(modal, modal), weight) for modal, weight in lex.zipf(line.split()))
    for form, line in (("past", "could would might should must"), ("present", "will must cannot can should might shall"))
}
NOT = Branch(("yes", 2, OTHERWISE), ("not", 1, "not"))
PROGRESSIVE = constructions(
    "ing", {name: SIMPLE[name] for name in "handle give tend move stay work social fix consume".split()}
)
PERFECT = constructions("done", SIMPLE)
BEING = Branch(
    ("degree", 12, "very too rather quite"), ("mood", 34, lex.MOODS), ("than", 6, lex.COMPARATIVES), ("as", 4, "as"),
    ("where", 14, WHERE), ("doing", 24, PROGRESSIVE), ("not", 6, "not"),
)  # fmt: skip
HAVING = Branch(("done", 10, PERFECT), ("number", 2, lex.NUMBERS), ("article", 3, "a an"), ("not", 2, "not"))
SPOKEN = {"think": 8, "wish": 9, "care": 7, "perceive": 3, "become": 3}
DO = {"past": "did", "s": "does", "base": "do"}


def _finite(agreement: Agreement, spoken: bool) -> Branch:
    verbs = constructions(agreement.form, SPOKEN) if spoken else OTHERWISE
    return Branch(
        ("verb", 30 if spoken else 62, verbs),
        ("be", 22 if spoken else 13, agreement.be),
        ("have", 14 if spoken else 10, agreement.have),
        ("modal", 28 if spoken else 7, MODALS["past" if agreement.form == "past" else "present"]),
        ("not", 6 if spoken else 3, DO[agreement.form]),
        ("often", 0 if spoken else 5, lex.OFTEN),
    )


FINITE = {
    (agreement, spoken): _finite(agreement, spoken)
    for agreement in (*PAST, *PRESENT, FIRST_PERSON)
    for spoken in (False, True)
}
SPOKEN_VERBS = {form: constructions(form, SPOKEN) for form in ("base", "s")}


def predicate(c: Chooser, scene: Scene, agreement: Agreement, full: bool = True, spoken: bool = False) -> None:
    """What a person does, is, has, must or does not do; in speech one hardly says "I carry a box"."""
    match c.branch(FINITE[agreement, spoken]):
        case "verb":
            name = c.branch(SPOKEN_VERBS[agreement.form]) if spoken else ""
            verb_phrase(c, scene, agreement.form, full, name)
        case "be":
            c.say(agreement.be)
            _being(c, scene, full)
        case "have":
            c.say(agreement.have)
            _having(c, scene, full)
        case "modal":
            modal = c.word(MODALS["past" if agreement.form == "past" else "present"]).text
            if not modal.startswith("can") and c.branch(NOT) == "not":
                c.say("not")
            verb_phrase(c, scene, "base", full)
        case "not":
            c.say(DO[agreement.form], "not")
            name = c.branch(SPOKEN_VERBS["base"]) if spoken else ""
            verb_phrase(c, scene, "base", full, name)
        case _:
            c.word(lex.OFTEN[scene.topic])
            verb_phrase(c, scene, agreement.form, full)


def _being(c: Chooser, scene: Scene, full: bool) -> None:
    match c.branch(BEING):
        case "mood":
            c.word(lex.MOODS[scene.topic])
        case "degree":
            c.say(c.branch(DEGREES))
            c.word(lex.MOODS[scene.topic])
        case "than":
            c.word(lex.COMPARATIVES[scene.topic])
            c.say("than")
            person(c, scene)
        case "as":
            c.say("as")
            c.word(lex.TRAITS.plain[scene.topic])
            c.say("as")
            person(c, scene)
        case "where":
            where(c, scene)
        case "doing":
            verb_phrase(c, scene, "ing", full, c.branch(PROGRESSIVE))
        case _:
            c.say("not")
            _mood(c, scene)


def _having(c: Chooser, scene: Scene, full: bool) -> None:
    match c.branch(HAVING):
        case "done":
            verb_phrase(c, scene, "done", full, c.branch(PERFECT))
        case "not":
            c.say("not")
            verb_phrase(c, scene, "done", full=False)
        case "number":
            c.word(lex.NUMBERS)
            _possession(c, scene, lex.POSSESSED.plain, "many")
        case _:
            article = c.branch(ARTICLE)
            c.say(article)
            _possession(c, scene, lex.POSSESSED.after[article], "one")


ARTICLE = Branch(("a", 9, "a"), ("an", 1, "an"))
DEGREES = Branch(("very", 2, "very"), ("too", 1, "too"), ("rather", 1, "rather"), ("quite", 1, "quite"))
OWNED = {
    "one": Branch(("animal", 2, lex.ANIMALS.one), ("thing", 3, lex.THINGS.one)),
    "many": Branch(("animal", 2, lex.ANIMALS.many), ("thing", 3, lex.THINGS.many)),
}


def _possession(c: Chooser, scene: Scene, adjectives: lex.WordClass, number: str) -> None:
    """`fine horse`, `black pigs`: an adjective always, which spares us to ask for the noun's article."""
    c.word(adjectives[scene.topic])
    kind = c.branch(OWNED[number])
    nouns = lex.ANIMALS if kind == "animal" else lex.THINGS
    word = c.word((nouns.one if number == "one" else nouns.many)[scene.topic])
    if kind == "thing":
        scene.it = word
    if number == "one":
        scene.remember(kind, word.text)


# --- what is no person does other things ---------------------------------------------------------------------------


def _of(name: str, form: str) -> lex.WordClass:
    return VERBS[name].forms[form]


SETTLED = {
    (kind, agreement): Branch(("be", be, agreement.be), ("verb", 100 - be, _of(verb, agreement.form)))
    for kind, verb, be in (
        ("animal", "roam", 20), ("thing", "rest", 60), ("site", "rest", 65), ("weather", "glow", 25), ("event", "happen", 45),
        ("abstract", "happen", 60), ("body", "ache", 30),
    )
    for agreement in (*PAST, *PRESENT)
}  # fmt: skip
VERB_OF = {
    "animal": "roam", "thing": "rest", "site": "rest", "weather": "glow", "event": "happen", "abstract": "happen", "body": "ache",
}  # fmt: skip
ATTRIBUTE = {
    "animal": lex.BEASTLY.plain, "thing": lex.STATES, "site": lex.LOCAL.plain, "weather": lex.WEATHERLY.plain,
    "event": lex.JUDGEMENTS, "abstract": lex.JUDGEMENTS, "body": lex.STATES,
}  # fmt: skip
HANDLED = VERBS["handle"].forms["done"]
THING_BEING = Branch(("state", 5, lex.STATES), ("handled", 5, HANDLED))
OVER = Branch(("nothing", 1, OTHERWISE), ("over", 1, "over"))


def settled(c: Chooser, scene: Scene, kind: str, agreement: Agreement, brief: bool = False) -> None:
    """What a beast, a thing, a place, the weather or an event does or is."""
    if not brief and c.branch(SETTLED[kind, agreement]) == "be":
        c.say(agreement.be)
        if kind == "thing" and c.branch(THING_BEING) == "handled":
            c.word(HANDLED[scene.topic])
            if c.branch(BY) == "by":
                c.say("by")
                person(c, scene)
        else:
            c.word(ATTRIBUTE[kind][scene.topic])
        return
    c.word(_of(VERB_OF[kind], agreement.form)[scene.topic])
    if kind in ("thing", "site"):
        where(c, scene)
    elif kind == "weather":
        if c.branch(OVER) == "over":
            c.say("over")
            site(c, scene)
    elif kind == "animal":
        tail(c, scene, "posture")


# --- clauses -------------------------------------------------------------------------------------------------------

WHO = Branch(("no", 13, OTHERWISE), ("who", 1, "who"))


def clause(c: Chooser, scene: Scene, brief: bool = False) -> Subject:
    """A subject and its predicate; what follows may be said of the same subject.

    A brief clause tells what happened, not what was, must be or was not: it can follow "before".
    """
    who = subject(c, scene)
    if who.kind != "person":
        settled(c, scene, who.kind, who.agreement, brief)
        return who
    if scene.center is None and not brief and c.branch(WHO) == "who":
        c.say("who")
        verb_phrase(c, scene, who.agreement.form, full=False)
    if brief:
        verb_phrase(c, scene, who.agreement.form)
    else:
        predicate(c, scene, who.agreement)
    return who


def subordinate(c: Chooser, scene: Scene, brief: bool = False) -> Subject:
    """A clause within a sentence, which holds no other."""
    scene.depth += 1
    who = clause(c, scene, brief)
    scene.depth -= 1
    return who


def further(c: Chooser, scene: Scene, who: Subject) -> None:
    """What else the subject did: `and went home`."""
    if who.kind == "person":
        predicate(c, scene, who.agreement)
    else:
        settled(c, scene, who.kind, who.agreement)
