"""The embedded corpus: texts and derivations correspond one to one, and its probabilities are exact."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from fractions import Fraction
from itertools import islice, pairwise

import pytest
from grammar_checks import Checker, derivations
from hypothesis import given, settings
from hypothesis import strategies as st

from natfp_bench.corpus import chronicle
from natfp_bench.corpus.chronicle import (
    clauses,
    dialogue,
    grammar,
    lexicon,
    morphology,
    objects,
    openings,
    phrases,
    scene,
    settled,
    subjects,
    words,
)
from natfp_bench.corpus.chronicle.choices import END, OTHERWISE, Branch, Chooser, Table, Word, random_words
from natfp_bench.corpus.chronicle.interpreters import Reader, Writer
from natfp_bench.plan.settings import TOPICS

DIGEST = "27c1ccd0c994e6eb97a102315ecb16a7e6d27068a2d4cfacd6a1ffe1bb5735fb"


@pytest.fixture(scope="module")
def documents() -> list[chronicle.Story]:
    return [chronicle.document(0, index) for index in range(1000)]


# --- the whole corpus ----------------------------------------------------------------------------------------------


def test_same_bytes_everywhere(documents):
    text = "\n".join(document.text for document in documents[:200])
    assert hashlib.sha256(text.encode()).hexdigest() == DIGEST


def test_reader_and_writer_agree_on_the_code_length(documents):
    for document in documents[:500]:
        assert chronicle.bits(document.text) == pytest.approx(document.bits, abs=1e-9)


def test_access_is_random(documents):
    assert chronicle.document(0, 997) == documents[997]
    assert chronicle.document(1, 0) != documents[0]
    assert len({document.text for document in documents}) == len(documents)


def test_documents_are_one_plain_paragraph_each(documents):
    lengths = [len(document.text) for document in documents]
    assert 400 < sum(lengths) / len(lengths) < 650
    assert all(150 < length < 1400 for length in lengths)
    assert all(
        document.text.isascii() and "\n" not in document.text and "  " not in document.text for document in documents
    )


def test_the_next_token_identifies_every_choice(documents):
    checked = 0
    for index in range(300):
        checker = Checker(random_words("chronicle", chronicle.VERSION, 0, index))
        grammar.document(checker, chronicle.TOPICS)
        checker.settle(END)
        assert checker.text() == documents[index].text
        checked += checker.checked
    assert checked > 30_000


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), index=st.integers(0, 2**40), topic=st.sampled_from(chronicle.TOPICS))
def test_any_document_reads_back(seed, index, topic):
    text, bits = chronicle.document(seed, index, topics=[topic])
    assert chronicle.bits(text, topics=[topic]) == pytest.approx(bits, abs=1e-9)
    # Among all topics, a document costs only the choice of its topic in addition.
    assert chronicle.bits(text) >= bits - 1e-9


# --- texts that are no documents -----------------------------------------------------------------------------------


def test_foreign_text_is_refused_with_its_position():
    with pytest.raises(ValueError, match=r"^position 0: "):
        chronicle.bits("It was the best of times, it was the worst of times.")
    with pytest.raises(ValueError, match=r"^position 0: "):
        chronicle.bits("")


def test_altered_documents_are_refused(documents):
    for text, _ in documents[:40]:
        pieces = text.split(" ")
        middle = len(pieces) // 2
        position = len(" ".join(pieces[:middle])) + 1
        with pytest.raises(ValueError, match=rf"^position {position}: "):
            chronicle.bits(" ".join([*pieces[:middle], "zyzzyva", *pieces[middle + 1 :]]))
        for altered in (
            text[:-1],
            text[: len(text) // 2],
            text + " ",
            text + "\n",
            text + " The end.",
            text.replace(" ", "  ", 1),
            text.lower(),
            text[0].lower() + text[1:],
            text.replace(". ", "! ", 1),
            "é" + text,
        ):
            with pytest.raises(ValueError, match=r"^position \d+: "):
                chronicle.bits(altered)


def test_no_text_exhausts_the_stack(documents):
    start = documents[0].text.split(". ")[0]
    for loop in ("began to ", "knew that she ", "and went home "):
        with pytest.raises(ValueError, match=r"^position \d+: "):
            chronicle.bits(f"{start}. She {loop * 5000}.")


def test_unknown_topics_are_refused():
    with pytest.raises(ValueError, match=r"unknown topic 'vogage' \(did you mean 'voyage'\?\)"):
        chronicle.document(0, 0, topics=["vogage"])
    with pytest.raises(ValueError, match="one or more"):
        chronicle.bits("", topics=[])
    with pytest.raises(ValueError, match="each once"):
        chronicle.document(0, 0, topics=["mill", "mill"])


# --- language ------------------------------------------------------------------------------------------------------


def test_lexicon_is_large_and_covers_every_word_written(documents):
    types = chronicle.word_types()
    assert len(types) >= 3000
    written = {word.lower() for document in documents for word in re.findall(r"\b[A-Za-z]+\b", document.text)}
    assert written <= types
    assert len(written) > 2500


def test_words_follow_zipfs_law(documents):
    counts = Counter(word.lower() for document in documents for word in re.findall(r"[A-Za-z]+", document.text))
    ranked = sorted(counts.values(), reverse=True)
    ranks = [20 * 2**step for step in range(7)]  # 20 to 1280
    x = [math.log(rank) for rank in ranks]
    y = [math.log(ranked[rank - 1]) for rank in ranks]
    x_mean, y_mean = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True)) / sum((a - x_mean) ** 2 for a in x)
    assert -1.35 < slope < -0.7


def test_topics_shift_the_words():
    def share(topic: str, line: str) -> float:
        text = " ".join(chronicle.document(5, index, topics=[topic]).text for index in range(60)).lower()
        own = set(line.split())
        return sum(word in own for word in re.findall(r"[a-z]+", text)) / len(text.split())

    for topic in chronicle.TOPICS:
        line = words.THINGS[topic] + " " + words.SITES[topic]
        other = chronicle.TOPICS[chronicle.TOPICS.index(topic) - 1]
        assert share(topic, line) > 3 * share(other, line)


def test_articles_and_numbers_agree(documents):
    text = " ".join(document.text for document in documents)
    for article, word in re.findall(r"\b([Aa]n?) ([a-z]+)", text):
        assert (article.lower() == "an") == morphology.takes_an(word), (article, word)
    assert not re.search(r"\b(He|She|It) (were|are|have|do)\b", text)
    many = set(lexicon.PEOPLE.many.texts)
    plurals = [
        (noun, verb)
        for noun, verb in re.findall(
            r"\b(?:two|three|four|five|six|several|many|some) ([a-z]+) (was|is|were|are|has|have)\b", text
        )
    ]
    assert len(plurals) > 10
    assert all(verb in ("were", "are", "have") for noun, verb in plurals if noun in many)


def test_narration_keeps_one_tense(documents):
    for document in documents:
        told = re.sub(r'"[^"]*"', "", document.text).replace("This is the story", "")
        verbs = set(re.findall(r"\b[a-z]+", told))
        assert not (verbs & {"was", "were", "did", "had"} and verbs & {"is", "are", "does", "has"}), document.text


def test_dates_advance():
    for index in range(400):
        text = chronicle.document(9, index).text
        dates = re.findall(r"[Oo]n the (\d+)\w\w of ([A-Z][a-z]+)", text)
        days = [sum(scene.MONTH_LENGTHS[: lexicon.MONTHS.index(month)]) + int(day) for day, month in dates]
        assert all(0 < (later - earlier) % 365 < 120 for earlier, later in pairwise(days))


@pytest.mark.parametrize(
    ("noun", "plural"),
    [("box", "boxes"), ("lady", "ladies"), ("day", "days"), ("sheep", "sheep"), ("fisherman", "fishermen")],
)
def test_plurals(noun, plural):
    assert morphology.plural(noun) == plural


@pytest.mark.parametrize(
    ("verb", "forms"),
    [
        ("carry", "carries carried carrying carried"),
        ("stop", "stops stopped stopping stopped"),
        ("wait", "waits waited waiting waited"),
        ("open", "opens opened opening opened"),
        ("lie", "lies lay lying lain"),
        ("unwrap", "unwraps unwrapped unwrapping unwrapped"),
        ("begin", "begins began beginning begun"),
        ("agree", "agrees agreed agreeing agreed"),
        ("watch", "watches watched watching watched"),
    ],
)
def test_verbs(verb, forms):
    inflections = (morphology.third_person, morphology.past, morphology.gerund, morphology.participle)
    assert " ".join(inflect(verb) for inflect in inflections) == forms


# --- the structure that makes reading unambiguous ------------------------------------------------------------------


def _structures(thing: object) -> list[Branch | Table]:
    if isinstance(thing, Branch | Table):
        return [thing]
    if isinstance(thing, dict):
        return [found for value in thing.values() for found in _structures(value)]
    return []


def test_no_two_options_of_a_branch_begin_alike():
    modules = (lexicon, phrases, subjects, objects, settled, clauses, dialogue, openings, grammar)
    found = [structure for module in modules for value in vars(module).values() for structure in _structures(value)]
    assert len(found) > 200
    for structure in found:
        assert structure.index is not None  # building it raises an error if two options, or two words, begin alike


def test_words_of_every_topic_are_the_same_and_distinct():
    for name, thing in vars(lexicon).items():
        for words_of in (thing.any, thing.one, thing.many) if isinstance(thing, lexicon.Nouns) else ():
            for topic in chronicle.TOPICS:
                assert set(words_of[topic].index) == words_of.texts, name
    for verbs in lexicon.VERBS.values():
        for words_of in verbs.forms.values():
            for topic in chronicle.TOPICS:
                assert set(words_of[topic].index) == words_of.texts


def test_a_proper_name_is_never_a_common_word():
    common = {text for _, texts in lexicon.word_classes() for text in texts if text not in lexicon.PROPER}
    common |= lexicon.FUNCTION_WORDS - {"i"}
    assert not {name.lower() for name in lexicon.PROPER} & common


def test_a_branch_refuses_ambiguity():
    with pytest.raises(ValueError, match="'the' begins both 'a' and 'b'"):
        _ = Branch(("a", 1, "the"), ("b", 1, "some the")).index
    with pytest.raises(ValueError, match="more than one option"):
        Branch(("a", 1, OTHERWISE), ("b", 1, OTHERWISE))
    with pytest.raises(ValueError, match="twice"):
        _ = Table([(Word("a", "a"), 1), (Word("a", "b"), 2)]).index


# --- a small grammar, walked exactly -------------------------------------------------------------------------------

BEASTS = Table([(Word("cat", "cat"), 5), (Word("dog", "dog"), 3), (Word("owl", "owl"), 2)])
NAMES = Table([(Word("Anne", "Anne"), 4), (Word("John", "John"), 3), (Word("Mary", "Mary"), 1)])
WHO = Branch(("name", 5, NAMES), ("beast", 3, "the"))
MORE = Branch(("stop", 2, "."), ("and", 1, "and"), ("comma", 1, OTHERWISE))


def small(c: Chooser) -> None:
    """Every operation once: branches, an "otherwise", familiar and excluded words, an end that depends on length."""
    c.begin()
    if c.branch(WHO) == "name":
        first = c.word(NAMES).text
        c.say("saw")
        c.word(NAMES, excluding=[first])
    else:
        c.say("the")
        first = c.word(BEASTS).text
        c.say("saw", "the")
        c.word(BEASTS, familiar=[first, "owl"], excluding=["cat"])
    while c.length < 9:
        match c.branch(MORE):
            case "and":
                c.say("and", "the")
                c.word(BEASTS)
            case "comma":
                c.say(",", "so")
            case _:
                break
    c.say(".")


def test_small_grammar_is_a_distribution_over_distinct_texts():
    walked = list(derivations(small))
    assert len(walked) > 100
    assert sum(probability for _, probability in walked) == Fraction(1)
    assert len({text for text, _ in walked}) == len(walked)


def test_reader_agrees_with_the_exact_walk():
    for text, probability in derivations(small):
        reader = Reader(text, frozenset(NAMES.texts))
        small(reader)
        reader.finish()
        assert reader.bits == pytest.approx(-math.log2(probability), abs=1e-9)


def test_writer_samples_the_exact_distribution():
    exact = {text: float(probability) for text, probability in derivations(small)}
    entropy = -sum(p * math.log2(p) for p in exact.values())
    variance = sum(p * (math.log2(p) + entropy) ** 2 for p in exact.values())
    n = 20_000
    total, counts = 0.0, Counter[str]()
    for index in range(n):
        writer = Writer(random_words("small", index))
        small(writer)
        text = writer.text()
        assert writer.bits == pytest.approx(-math.log2(exact[text]), abs=1e-9)
        counts[text] += 1
        total += writer.bits
    assert abs(total / n - entropy) < 4 * math.sqrt(variance / n)
    for text, p in exact.items():
        if p * n > 50:
            assert abs(counts[text] - p * n) < 5 * math.sqrt(p * (1 - p) * n), text


def test_random_words_are_endless_and_begin_alike():
    assert list(islice(random_words("a", 1), 3000))[:512] == list(islice(random_words("a", 1), 512))
    assert len(set(islice(random_words("a", 1), 3000))) == 3000


def test_settings_know_the_topics() -> None:
    assert tuple(chronicle.TOPICS) == TOPICS
