"""English inflection for the lexicon: regular rules, and lists of irregular words."""

from __future__ import annotations

VOWELS = "aeiou"

_IRREGULAR_PLURALS = (
    "child:children ox:oxen mouse:mice goose:geese foot:feet tooth:teeth sheep:sheep deer:deer chamois:chamois "
    "trout:trout salmon:salmon loaf:loaves leaf:leaves sheaf:sheaves calf:calves wolf:wolves knife:knives wife:wives "
    "shelf:shelves thief:thieves scarf:scarves half:halves hoof:hooves life:lives potato:potatoes "
    "tomato:tomatoes hero:heroes echo:echoes cargo:cargoes wharf:wharves penny:pence midwife:midwives "
    "housewife:housewives cod:cod staff:staves swine:swine volcano:volcanoes schoolchild:schoolchildren"
)
_STRONG_VERBS = (  # base:past/participle; the participle is left out if it is the same
    "be:was/been bear:bore/borne beat:beat/beaten become:became/become begin:began/begun bend:bent bind:bound "
    "bite:bit/bitten bleed:bled blow:blew/blown break:broke/broken breed:bred bring:brought build:built "
    "buy:bought catch:caught choose:chose/chosen cling:clung come:came/come creep:crept cut:cut deal:dealt "
    "dig:dug draw:drew/drawn dream:dreamt drink:drank/drunk drive:drove/driven eat:ate/eaten fall:fell/fallen "
    "feed:fed feel:felt fight:fought find:found flee:fled fling:flung fly:flew/flown forget:forgot/forgotten "
    "forbid:forbade/forbidden forgive:forgave/forgiven freeze:froze/frozen get:got give:gave/given go:went/gone "
    "grind:ground grow:grew/grown hang:hung hear:heard hide:hid/hidden hold:held keep:kept kneel:knelt "
    "know:knew/known lay:laid lead:led leap:leapt learn:learnt leave:left lend:lent lie:lay/lain light:lit "
    "lose:lost make:made mean:meant meet:met mow:mowed/mown pay:paid put:put read:read ride:rode/ridden "
    "ring:rang/rung rise:rose/risen run:ran/run say:said see:saw/seen seek:sought sell:sold send:sent set:set "
    "sew:sewed/sewn shake:shook/shaken shear:sheared/shorn shine:shone shoot:shot show:showed/shown "
    "shrink:shrank/shrunk shut:shut sing:sang/sung sink:sank/sunk sit:sat sleep:slept slide:slid sow:sowed/sown "
    "speak:spoke/spoken spend:spent spin:spun split:split spread:spread spring:sprang/sprung stand:stood "
    "steal:stole/stolen stick:stuck stride:strode/stridden strike:struck strive:strove/striven "
    "swear:swore/sworn sweep:swept swell:swelled/swollen swim:swam/swum swing:swung take:took/taken "
    "teach:taught tear:tore/torn tell:told think:thought throw:threw/thrown tread:trod/trodden "
    "understand:understood wake:woke/woken wear:wore/worn weave:wove/woven weep:wept win:won wind:wound "
    "write:wrote/written foresee:foresaw/foreseen mislay:mislaid repay:repaid overhear:overheard "
    "withdraw:withdrew/withdrawn undertake:undertook/undertaken rebuild:rebuilt outrun:outran/outrun "
    "spell:spelt"
)
_DOUBLING_VERBS = (
    "admit permit forbid refer prefer regret begin forget commit transfer confer compel equip travel quarrel "
    "fulfil marvel signal counsel level shovel kidnap worship unwrap label"
)

_PLURALS = dict(pair.split(":") for pair in _IRREGULAR_PLURALS.split())

_STRONG = {base: tuple(forms.split("/")) for base, forms in (pair.split(":") for pair in _STRONG_VERBS.split())}

_DOUBLING = frozenset(_DOUBLING_VERBS.split())
_SOUNDS_LIKE_YOU = ("uni", "use", "usu", "ewe", "eu", "one", "once")
_SILENT_H = ("hour", "honest", "honour", "heir")


def plural(noun: str) -> str:
    """Plural of a noun."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith("man"):
        return noun[:-2] + "en"
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in VOWELS:
        return noun[:-1] + "ies"
    return noun + "s"


def third_person(verb: str) -> str:
    """Present singular of a verb: it goes."""
    return "goes" if verb == "go" else plural(verb) if verb not in _PLURALS else verb + "s"


def past(verb: str) -> str:
    """Past tense of a verb."""
    return _STRONG[verb][0] if verb in _STRONG else _suffixed(verb, "ed")


def participle(verb: str) -> str:
    """Past participle of a verb."""
    return _STRONG[verb][-1] if verb in _STRONG else _suffixed(verb, "ed")


def gerund(verb: str) -> str:
    """Present participle of a verb."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb != "be":
        return verb[:-1] + "ing"
    return _suffixed(verb, "ing") if not verb.endswith(("ee", "y")) else verb + "ing"


def comparative(adjective: str) -> str:
    """Comparative of a short adjective."""
    return {"good": "better", "bad": "worse"}.get(adjective) or _suffixed(adjective, "er")


def superlative(adjective: str) -> str:
    """Superlative of a short adjective."""
    return {"good": "best", "bad": "worst"}.get(adjective) or _suffixed(adjective, "est")


def takes_an(word: str) -> bool:
    """Whether the indefinite article before the word is `an`."""
    if word.startswith(_SILENT_H):
        return True
    return word[0] in VOWELS and not word.startswith(_SOUNDS_LIKE_YOU)


def ordinal(number: int) -> str:
    """Write 3 as `3rd`."""
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _suffixed(stem: str, suffix: str) -> str:
    if stem.endswith("e"):
        return stem + suffix[1:] if suffix[0] == "e" else stem[:-1] + suffix
    if stem.endswith("y") and stem[-2] not in VOWELS:
        return stem[:-1] + "i" + suffix
    return stem + stem[-1] + suffix if _doubles(stem) else stem + suffix


def _doubles(stem: str) -> bool:
    """Whether the last consonant doubles, as in stop, stopping; it does not in look, fix and open."""
    if stem in _DOUBLING:
        return True
    if len(stem) < 3 or stem[-1] in "aeiouwxy" or stem[-2] not in VOWELS:
        return False
    groups = sum(1 for a, b in zip(" " + stem, stem, strict=False) if b in VOWELS + "y" and a not in VOWELS + "y")
    before = stem[-3]
    return groups == 1 and (before not in VOWELS or (stem[-3:-1] == "ui" and before == "u" and stem[-4:-3] == "q"))
