"""Reading a text as words: their places, and their types.

The types show where a fingerprint is: in function words, in content words, or in names. A list and the spelling decide
the type of a word; nothing is parsed. The list is English, so function words of other languages count as content.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

WORD_TYPES = ("function", "content", "punctuation", "number", "name", "end")
"""Types of words; only the end-of-text token has the type `end`."""

FUNCTION_WORDS = frozenset(
    """
    a an the this that these those each every either neither both all some any no none such another other
    much many more most few fewer less least several enough half own same
    i me my mine myself we us our ours ourselves you your yours yourself yourselves thou thee thy thine
    he him his himself she her hers herself it its itself they them their theirs themselves oneself
    who whom whose which what whoever whomever whichever whatever
    somebody someone something anybody anyone anything nobody nothing everybody everyone everything
    about above across after against along amid among amongst around as at before behind below beneath beside besides
    between beyond by despite down during except for from in inside into like near of off on onto out outside
    over per since than through throughout till to toward towards under underneath unlike until unto up upon via
    with within without
    and or but nor so yet if unless because although though while whereas whether lest
    once when whenever where wherever why how however therefore thus hence
    be am is are was were been being have has had having do does did doing done
    will would shall should can could may might must ought cannot
    not too very just only even also again ever never then there here now still already almost quite rather perhaps
    i'm i've i'd i'll we're we've we'd we'll you're you've you'd you'll he's he'd he'll she's she'd she'll
    it's it'd it'll they're they've they'd they'll that's that'd that'll who's who'd who'll what's what'll
    there's there'd there'll here's where's when's why's how's let's
    isn't aren't wasn't weren't haven't hasn't hadn't don't doesn't didn't won't wouldn't shan't shouldn't
    can't couldn't mightn't mustn't needn't oughtn't ain't
    """.split()  # noqa: SIM905  a list of words
)
"""English words of the closed classes: determiners, pronouns, prepositions, conjunctions, auxiliaries, particles."""

TITLES = frozenset("mr mrs ms dr st prof capt col gen rev".split())  # noqa: SIM905  a list of words
"""Abbreviations whose full stop does not end a sentence, because a name follows."""

SENTENCE_ENDS, PAUSES, OPENING_QUOTES, STRAIGHT_QUOTES = ".!?…", ",;:", "“‘«„", "\"'"

UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Han characters and kana, as ranges of a regular expression. They are written without spaces, so each is a word."""


@cache
def _pattern() -> re.Pattern[str]:
    # `\w` has no combining marks, such as vowels of Indic scripts; without them words would break into pieces. The two
    # joiners occur inside Persian and Indic words.
    marks = "".join(c for c in map(chr, range(0x300, 0x10000)) if unicodedata.category(c)[0] == "M") + "\u200c\u200d"
    run = rf"[^\W_{UNSPACED}]+(?:[{marks}]+[^\W_{UNSPACED}]*)*"
    return re.compile(
        "|".join(
            [
                rf"\d+(?:[.,]\d+)*(?:{run})?",  # 1,000.50 and 3rd
                rf"{run}(?:['’]{run})*",  # don't
                rf"[{UNSPACED}][{marks}]*",
                r"\.+|-+|[!?]+|_+",  # runs of marks
                r"[^\w\s]",
            ]
        )
    )


def words(text: str) -> list[str]:
    """Words, numbers and punctuation marks of a text, in order; only whitespace is left out.

    A word is a run of letters, digits and combining marks, with apostrophes inside it ("don't"); hyphens separate
    words. A number begins with a digit ("1,000.50", "3rd"). Each mark is alone, except runs of dots, of dashes, of
    underscores, and of exclamation and question marks. Each Han or kana character is a word; other scripts without
    spaces (Thai, Lao, Khmer) give phrases instead of words.
    """
    return _pattern().findall(text)


def word_types(text: str) -> list[tuple[int, int, str]]:
    """Place and type of each of a text's `words`, as (start, end, type): text[start:end] is the word.

    Types are the first five of WORD_TYPES. function: one of FUNCTION_WORDS, in upper or lower case; number: begins with
    a digit (number words are content words); punctuation; name: any other capitalised word that does not begin a
    sentence; content: the rest.

    Names are a guess. A sentence is assumed to begin with the text, with each line, and after a full stop (not that of
    "Mr."), `!`, `?`, an ellipsis, or a quotation mark that opens after a comma, semicolon or colon; a name in such a
    place counts as content. "Will" and "May" are always auxiliaries, and all German nouns are names.
    """
    found = []
    begins, previous, at = True, "", 0
    for match in _pattern().finditer(text):
        word, (start, end) = match[0], match.span()
        first = word[0]
        if text.find("\n", at, start) >= 0:
            begins = True  # verse: otherwise the first word of every line would be a name
        if first.isdigit():
            kind, begins = "number", False
        elif first.isalnum():
            if word.lower().replace("’", "'") in FUNCTION_WORDS:
                kind = "function"
            else:
                kind = "name" if first.isupper() and not begins else "content"
            begins = False
        else:
            kind = "punctuation"
            if first in SENTENCE_ENDS:
                begins = previous.lower() not in TITLES
            elif first in PAUSES:
                begins = False
            elif _opens_quotation(text, start) and previous[:1] in PAUSES:
                begins = True
        found.append((start, end, kind))
        previous, at = word, end
    return found


def _opens_quotation(text: str, at: int) -> bool:
    # A straight quotation mark opens if it follows a space; in `," Tom said` it closes.
    straight = text[at] in STRAIGHT_QUOTES and (at == 0 or text[at - 1].isspace())
    return straight or text[at] in OPENING_QUOTES


def token_types(pieces: Sequence[str]) -> list[str]:
    """Type of each token of a text, one of WORD_TYPES. pieces: the strings that the tokens decode to, in order.

    The joined pieces are the text; a piece may begin with a space, or have parts of one or several words. A token gets
    the type of the word that has most of its characters without spaces; in a tie, the earlier word decides. Whitespace
    belongs to the word after it, like the leading space of byte-level tokens, and at the end of a text to the last
    word; a text of only whitespace is punctuation. The empty piece is the end-of-text token: `end`.

    If the bytes of a character are in several tokens, each decodes to a replacement character. These count as
    punctuation, because in English most of them are parts of quotation marks and dashes.
    """
    text = "".join(pieces)
    type_at = bytearray([WORD_TYPES.index("punctuation")]) * len(text)
    filled = 0
    for _, end, kind in word_types(text):
        type_at[filled:end] = bytes([WORD_TYPES.index(kind)]) * (end - filled)
        filled = end
    if 0 < filled < len(text):
        type_at[filled:] = type_at[filled - 1 : filled] * (len(text) - filled)

    types, at = [], 0
    for piece in pieces:
        held = type_at[at : at + len(piece)]
        at += len(piece)
        if not piece:
            types.append("end")
        elif held.count(held[0]) == len(held):  # nearly always
            types.append(WORD_TYPES[held[0]])
        else:
            solid = bytes(kind for kind, character in zip(held, piece, strict=True) if not character.isspace()) or held
            types.append(WORD_TYPES[max(dict.fromkeys(solid), key=solid.count)])
    return types
