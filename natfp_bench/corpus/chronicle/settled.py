"""Predicates of beasts, things, places, the weather and events; they are simpler than those of people."""

from __future__ import annotations

from . import lexicon as lex
from .choices import OTHERWISE, Branch, Chooser
from .lexicon import VERBS
from .phrases import BY, person, site, tail, where
from .scene import PAST, PRESENT, Agreement, Scene


def _of(name: str, form: str) -> lex.WordClass:
    return VERBS[name].forms[form]


SETTLED = {
    (kind, agreement): Branch(("be", be, agreement.be), ("verb", 100 - be, _of(verb, agreement.form)))
    for kind, verb, be in (
        ("animal", "roam", 20), ("thing", "rest", 60), ("site", "rest", 65), ("weather", "glow", 25),
        ("event", "happen", 45),
        ("abstract", "happen", 60), ("body", "ache", 30),
    )
    for agreement in (*PAST, *PRESENT)
}  # fmt: skip
VERB_OF = {
    "animal": "roam", "thing": "rest", "site": "rest", "weather": "glow", "event": "happen",
    "abstract": "happen", "body": "ache",
}  # fmt: skip
ATTRIBUTE = {
    "animal": lex.BEASTLY.plain, "thing": lex.STATES, "site": lex.LOCAL.plain, "weather": lex.WEATHERLY.plain,
    "event": lex.JUDGEMENTS, "abstract": lex.JUDGEMENTS, "body": lex.BODILY,
}  # fmt: skip
HANDLED = VERBS["handle"].forms["done"]
ONGOING = {
    kind: Branch(("is", 2, ATTRIBUTE[kind]), ("does", 1, _of(VERB_OF[kind], "ing")))
    for kind in ("animal", "weather", "body")
}
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
        elif kind in ONGOING and c.branch(ONGOING[kind]) == "does":
            c.word(_of(VERB_OF[kind], "ing")[scene.topic])
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
