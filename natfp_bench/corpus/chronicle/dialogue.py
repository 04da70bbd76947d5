"""Dialogue: what is said, always in the present tense, and who says it."""

from __future__ import annotations

from . import lexicon as lex
from .choices import OTHERWISE, Branch, Chooser, plain
from .clauses import predicate, subordinate, verb_phrase
from .lexicon import SPEECH
from .objects import constructions
from .phrases import THING, character, definite, kin
from .scene import FIRST_PERSON, PRESENT, Scene

COMMANDS = {
    "handle": 6, "give": 6, "tend": 3, "move": 4, "stay": 3, "social": 4, "fix": 3, "consume": 2, "care": 2,
    "persuade": 3,
}  # fmt: skip
COMMAND = constructions("base", COMMANDS)
MODAL = plain({"will": 3, "can": 3, "must": 1, "should": 1})
VOCATIVE = {
    named: Branch(("none", 12, OTHERWISE), ("name", 3 if named else 0, lex.GIVEN), ("sir", 1, "sir madam friend"))
    for named in (False, True)
}
ADDRESSES = plain({"sir": 3, "friend": 2, "madam": 1})
EXCLAMATIONS = plain(dict(lex.zipf(["no", "yes", "well", "alas", "oh", "indeed", "listen", "nonsense"])))
EXCLAIMED = Branch(("no", 6, OTHERWISE), ("yes", 1, EXCLAMATIONS))
UTTERANCES = Branch(
    ("i", 24, "I"),
    ("we", 9, "we"),
    ("you", 10, "you"),
    ("the", 9, "the"),
    ("my", 7, "my"),
    ("will", 8, MODAL),
    ("where", 5, "where"),
    ("who", 4, "who"),
    ("why", 4, "why"),
    ("have", 3, "have"),
    ("not", 5, "do"),
    ("let", 4, "let"),
    ("never", 2, "never"),
    ("command", 12, COMMAND),
)
THE = Branch(("thing", 3, OTHERWISE), ("person", 2, lex.PEOPLE.one))
MARKS = Branch(("said", 4, ","), ("cried", 1, "!"))
ARE = Branch(("one", 3, "is"), ("many", 1, "are"))
ENOUGH = Branch(("no", 8, OTHERWISE), ("because", 1, "because"))
WHOSE = Branch(("name", 3, lex.GIVEN), ("the", 3, "the"), ("my", 4, "my"))
VERB_OF_MARK = {",": "speak", "?": "ask", "!": "cry"}


def dialogue(c: Chooser, scene: Scene) -> None:
    """`"Will you come home?" asked Anne`."""
    narration = scene.tense, scene.center, scene.possessive, scene.it
    scene.tense, scene.center, scene.possessive = PRESENT, None, "my"
    c.say("“")
    c.begin()
    scene.named = ()
    vocative(c, scene)
    mark = utterance(c, scene)
    c.say(mark, "”")
    scene.tense, scene.center, scene.possessive, scene.it = narration
    one = scene.tense[0]
    c.word(SPEECH[VERB_OF_MARK[mark]].forms[one.form][scene.topic])
    speaker(c, scene)


def vocative(c: Chooser, scene: Scene) -> None:
    """`Anne,` or nothing."""
    if c.branch(EXCLAIMED) == "yes":
        c.word(EXCLAMATIONS)
        c.say(",")
    match c.branch(VOCATIVE[len(scene.characters) > 1]):
        case "name":
            character(c, scene)
            c.say(",")
        case "sir":
            c.word(ADDRESSES)
            c.say(",")


def utterance(c: Chooser, scene: Scene) -> str:
    """What is said, without its closing mark; returns the mark."""
    kind = c.branch(UTTERANCES)
    match kind:
        case "i":
            c.say("I")
            predicate(c, scene, FIRST_PERSON, spoken=True)
        case "we" | "you":
            c.say(kind)
            scene.possessive = "our" if kind == "we" else "your"
            predicate(c, scene, PRESENT[1], spoken=True)
        case "the":
            c.say("the")
            if c.branch(THE) == "person":
                c.word(lex.PEOPLE.one[scene.topic], familiar=scene.recall("person"))
                predicate(c, scene, PRESENT[0], spoken=True)
            else:
                word = definite(c, scene, THING)
                c.say(PRESENT[word.plural].be)
                c.word(lex.STATES[scene.topic])
        case "my":
            c.say("my")
            c.word(lex.KIN)
            predicate(c, scene, PRESENT[0], spoken=True)
        case "will":
            c.word(MODAL)
            ask_you(c, scene, "base")
            return "?"
        case "have":
            c.say("have")
            ask_you(c, scene, "done")
            return "?"
        case "where":
            c.say("where")
            if c.branch(ARE) == "one":
                c.say("is")
                match c.branch(WHOSE):
                    case "name":
                        character(c, scene)
                    case "the":
                        c.say("the")
                        definite(c, scene, THING)
                    case _:
                        c.say("my")
                        c.word(lex.THINGS.one[scene.topic], familiar=scene.recall("thing"))
            else:
                c.say("are", "you", "going")
            return "?"
        case "who":
            c.say("who", "has")
            verb_phrase(c, scene, "done", full=False)
            return "?"
        case "why":
            c.say("why", "do")
            ask_you(c, scene, "base")
            return "?"
        case "not":
            c.say("do", "not")
            scene.possessive = "your"
            verb_phrase(c, scene, "base", full=False)
        case "let":
            c.say("let", "us")
            scene.possessive = "our"
            verb_phrase(c, scene, "base", full=False)
        case "never":
            c.say("never", "have", "I")
            verb_phrase(c, scene, "done", full=False)
        case _:
            verb_phrase(c, scene, "base", name=c.branch(COMMAND))
    if kind in ("i", "we", "the", "my") and c.branch(ENOUGH) != "no":
        reason(c, scene)
    return "," if c.branch(MARKS) == "said" else "!"


def ask_you(c: Chooser, scene: Scene, form: str) -> None:
    """`you mend the box`."""
    c.say("you")
    scene.possessive = "your"
    verb_phrase(c, scene, form, full=False)


def reason(c: Chooser, scene: Scene) -> None:
    """`because the weaver is ill`."""
    c.say("because")
    subordinate(c, scene)


SPEAKERS = {
    (others, he): Branch(
        ("name", 10 if others else 0, lex.GIVEN),
        ("pronoun", 5 if he else 0, he),
        ("the", 5, "the"),
        ("kin", 2 if he else 0, own),
    )
    for others in (False, True)
    for he, own in (("", ""), ("he", "his"), ("she", "her"))
}


def speaker(c: Chooser, scene: Scene) -> None:
    """Who said it: anybody who was not named in the speech."""
    named = tuple(name for name in scene.characters if name in scene.named)
    center = scene.center if scene.center and scene.center.given not in named else None
    he = center.pronouns.subject if center else ""
    match c.branch(SPEAKERS[len(scene.characters) > len(named), he]):
        case "name":
            scene.turn_to(character(c, scene, named))
        case "pronoun":
            c.say(he)
        case "the":
            c.say("the")
            absent = tuple(who.occupation for who in scene.characters.values() if who.occupation and who.given in named)
            word = c.word(lex.PEOPLE.one[scene.topic], familiar=scene.recall("person"), excluding=absent)
            known = scene.known_as(word.text)
            if known is None:
                scene.center, scene.possessive = None, ""
            else:
                scene.turn_to(known)
        case _:
            assert center is not None  # noqa: S101
            scene.turn_to(center)
            c.say(scene.possessive)
            relative = kin(c, scene)
            if relative is None:
                scene.center, scene.possessive = None, ""
            else:
                scene.turn_to(relative)
