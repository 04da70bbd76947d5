"""Clauses: a subject, and a predicate that agrees with it. This part of the grammar is recursive."""

from __future__ import annotations

from . import lexicon as lex
from .choices import OTHERWISE, Branch, Chooser, Table, Word
from .objects import ALL_VERBS, CLAUSAL, FORMS, SIMPLE, constructions, food, history, matter, mood, perceived
from .phrases import ANIMAL, DOOR, FIXTURE, SALE, WHERE, person, site, tail, thing, where, whither
from .scene import FIRST_PERSON, PAST, PRESENT, Agreement, Scene
from .settled import settled
from .subjects import GrammaticalSubject, subject

CONSTRUCTIONS = {
    (form, full): constructions(form, {**SIMPLE, **CLAUSAL} if full else SIMPLE)
    for form in FORMS
    for full in (True, False)
}


def verb_phrase(c: Chooser, scene: Scene, form: str, full: bool = True, name: str = "") -> None:
    """A full verb with its objects, of any construction or of the one named.

    full: with trailing parts; false inside a relative clause, because they would belong to the clause around it.
    """
    name = name or c.branch(CONSTRUCTIONS[form, full and not scene.depth])
    c.word(ALL_VERBS[name].forms[form][scene.topic])
    match name:
        case "handle":
            thing(c, scene)
            if full:
                history(c, scene)
        case "give":
            thing(c, scene)
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
            if perceived(c, scene, full):
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
            food(c, scene)
        case "care":
            matter(c, scene)
        case "become":
            mood(c, scene)
        case "think" | "speak":
            c.say("that")
            subordinate(c, scene)
        case "wish":
            c.say("to")
            verb_phrase(c, scene, "base", name=c.branch(CONSTRUCTIONS["base", False]))
        case "persuade":
            person(c, scene)
            c.say("to")
            verb_phrase(c, scene, "base", name=c.branch(CONSTRUCTIONS["base", False]))
    if full and name in TAIL_OF:
        tail(c, scene, TAIL_OF[name])


TAIL_OF = {
    "handle": "act", "give": "act", "tend": "act", "trade": "act", "fix": "act", "unlock": "act",
    "social": "act", "perceive": "state",
    "move": "motion", "place": "motion", "stay": "posture", "work": "activity", "consume": "activity",
}  # fmt: skip


MODALS = {
    form: Table((Word(modal, modal), weight) for modal, weight in lex.zipf(line.split()))
    for form, line in (
        ("past", "could would might should must"),
        ("present", "will must cannot can should might shall"),
    )
}
NOT = Branch(("yes", 2, OTHERWISE), ("not", 1, "not"))
PROGRESSIVE = constructions(
    "ing",
    {name: SIMPLE[name] for name in ["handle", "give", "tend", "move", "stay", "work", "social", "fix", "consume"]},
)
PERFECT = {within: CONSTRUCTIONS["done", not within] for within in (False, True)}
BEING = Branch(
    ("degree", 12, "very too rather quite"), ("mood", 34, lex.MOODS), ("than", 6, lex.COMPARATIVES), ("as", 4, "as"),
    ("where", 14, WHERE), ("doing", 24, PROGRESSIVE), ("not", 6, "not"),
)  # fmt: skip
HAVING = {
    within: Branch(("done", 10, PERFECT[within]), ("number", 2, lex.NUMBERS), ("article", 3, "a an"), ("not", 2, "not"))
    for within in (False, True)
}
SPOKEN = {"think": 8, "wish": 9, "care": 7, "perceive": 3}
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
    """What a person does, is, has, must do or does not do; spoken: only verbs that people use in speech."""
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
            mood(c, scene)


def _having(c: Chooser, scene: Scene, full: bool) -> None:
    match c.branch(HAVING[scene.depth > 0]):
        case "done":
            verb_phrase(c, scene, "done", full)
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
    """`fine horse`, `black pigs`: always with an adjective, so that the article does not depend on the noun."""
    c.word(adjectives[scene.topic])
    kind = c.branch(OWNED[number])
    nouns = lex.ANIMALS if kind == "animal" else lex.THINGS
    word = c.word((nouns.one if number == "one" else nouns.many)[scene.topic])
    if kind == "thing":
        scene.it = word
    if number == "one":
        scene.remember(kind, word.text)


WHO = Branch(("no", 13, OTHERWISE), ("who", 1, "who"))


def clause(c: Chooser, scene: Scene, brief: bool = False) -> GrammaticalSubject:
    """A subject and its predicate; returns the subject, about which the sentence may go on.

    A brief clause says what happened, not what was, must be or was not, so it can follow "before".
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


def subordinate(c: Chooser, scene: Scene, brief: bool = False) -> GrammaticalSubject:
    """A clause inside another; it contains no further clause."""
    scene.depth += 1
    who = clause(c, scene, brief)
    scene.depth -= 1
    return who


def further(c: Chooser, scene: Scene, who: GrammaticalSubject) -> None:
    """What else the subject did: `and went home`."""
    if who.kind == "person":
        predicate(c, scene, who.agreement)
    else:
        settled(c, scene, who.kind, who.agreement)
