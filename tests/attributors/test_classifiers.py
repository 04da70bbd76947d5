"""The fast classifiers, compared with results by hand, by enumeration, and of scikit-learn."""

import importlib
from collections import Counter
from itertools import product

import numpy as np
import pytest
from fast_baselines import NAMES, build
from planted_words import WORDS, planted
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline

from natfp_bench.attributors import registry
from natfp_bench.attributors.text_classifier import FOLDS, LogLinear, folds, stratified_sample
from natfp_bench.base.errors import AttributorError

TEXT_READERS = [name for name in NAMES if name != "majority"]


def module(name, part=""):
    """The module of a bundled baseline, or of a file beside it."""
    attributor = build(name)
    return importlib.import_module(type(getattr(attributor, "vectoriser", attributor)).__module__ + part)


def log_loss(proba, y):
    return -np.log(proba[np.arange(len(y)), y]).mean()


# The contract


@pytest.mark.parametrize("name", TEXT_READERS)
def test_asked_before_fit_it_says_so(name):
    with pytest.raises((NotFittedError, AttributeError)):
        build(name).predict_proba(["a text"])


@pytest.mark.parametrize("name", TEXT_READERS)
def test_a_second_fit_forgets_the_first(name):
    first, second = planted(60, 1), planted(48, 2, classes=2)
    attributor = build(name).fit(*first)
    again = attributor.fit(*second).predict_proba(first[0])
    np.testing.assert_array_equal(attributor.classes_, ["class 0", "class 1"])
    np.testing.assert_array_equal(again, build(name).fit(*second).predict_proba(first[0]))


@pytest.mark.parametrize("name", TEXT_READERS)
@pytest.mark.parametrize("groups", [list(range(12)), [0] * 6 + [1] * 6, [0] * 11 + [1], [0] * 12])
def test_a_dozen_texts_are_enough_to_answer(name, groups):
    texts, labels = planted(12, 1, classes=2)
    for names in (labels, sorted(labels)):  # if labels are sorted and there are two groups, each group has one class
        proba = build(name).fit(texts, names, groups=groups).predict_proba([*texts, "", "zzz"])
        np.testing.assert_allclose(proba.sum(axis=1), 1)
        assert np.isfinite(proba).all()


# Weights of scores


def test_log_linear_finds_the_temperature():
    draw = np.random.default_rng(1)
    logits = draw.normal(size=(20_000, 4)) * 2
    y = (logits + draw.gumbel(size=logits.shape)).argmax(axis=1)
    pool = LogLinear().fit(5 * logits[:, :, None], y, np.full(4, 0.25))
    assert pool.weights_ == pytest.approx([0.2], rel=0.03)


def test_log_linear_adds_up_independent_evidence_and_ignores_noise():
    draw = np.random.default_rng(2)
    y = draw.integers(0, 3, 20_000)
    seen = np.eye(3)[y][:, :, None] + draw.normal(size=(20_000, 3, 2))
    noise = draw.normal(size=(20_000, 3, 1))
    weights = LogLinear().fit(np.concatenate([seen, noise], axis=2), y, np.full(3, 1 / 3)).weights_
    # log N(x; 1, 1) - log N(x; 0, 1) = x - 1/2: the weight of a class's own measurement is 1.
    np.testing.assert_allclose(weights, [1, 1, 0], atol=0.05)
    assert (weights >= 0).all()


def test_log_linear_believes_scores_against_the_truth_in_nothing():
    y = np.arange(300) % 3
    pool = LogLinear().fit(-np.eye(3)[y][:, :, None], y, np.array([0.2, 0.3, 0.5]))
    np.testing.assert_allclose(pool.predict_proba(np.eye(3)[:, :, None]), [[0.2, 0.3, 0.5]] * 3)


def test_folds_hold_whole_groups_out_and_keep_every_class():
    y, groups = np.arange(200) % 3, (np.arange(200) // 5).tolist()
    found = list(folds(y, groups, seed=1))
    assert len(found) == FOLDS
    for fold in found:
        assert not {groups[i] for i in np.flatnonzero(fold.fit)} & {groups[i] for i in np.flatnonzero(fold.held)}
        np.testing.assert_array_equal(fold.fit, ~fold.held)
    assert sum(fold.held for fold in found).tolist() == [1] * 200
    assert not list(folds(np.array([0, 0, 1, 1]), [0, 0, 1, 1], seed=1))  # a class would be lost
    assert not list(folds(y, [0] * 200, seed=1))


def test_a_stratified_sample_has_its_share_of_every_class():
    y = np.array([0] * 600 + [1] * 300 + [2] * 3)
    chosen = stratified_sample(y, 90, "tests")
    assert len(set(chosen.tolist())) == 90
    assert (np.diff(chosen) > 0).all()
    assert np.abs(np.bincount(y[chosen], minlength=3) - [60, 30, 1]).max() <= 1
    assert np.unique(y[stratified_sample(y, 3, "tests")]).tolist() == [0, 1, 2]
    assert stratified_sample(y, 5000, "tests").tolist() == list(range(903))
    # Classes alternate, so every second text would be of the same class.
    turns = np.arange(1000) % 2
    assert abs(int(turns[stratified_sample(turns, 500, "tests")].sum()) - 250) <= 1


# ngram_lm


def reference(rows, order, discount, kinds):
    """Textbook interpolated Kneser-Ney, n-gram by n-gram: a function (context, unit) -> probability."""
    counts = [Counter() for _ in range(order + 1)]  # by length; "<" begins a text, and nothing precedes it
    for row in rows:
        padded = ["<", *row, 0]
        for at in range(1, len(padded)):
            for n in range(1, order + 1):
                counts[n][tuple(padded[max(0, at - n + 1) : at + 1])] += 1

    def count(gram, n, highest):
        if highest or gram[0] == "<":
            return counts[n][gram]
        return sum(longer[1:] == gram for longer in counts[n + 1] if len(longer) == len(gram) + 1)

    def probability(context, unit, n, highest=True):
        if n == 0:
            return 1 / kinds
        held = tuple(context[len(context) - n + 1 :]) if n <= len(context) else tuple(context)
        lower = probability(context, unit, n - 1, highest=False)
        mine = {gram: count(gram, n, highest) for gram in counts[n] if gram[:-1] == held}
        if not (total := sum(mine.values())):
            return lower
        return max(mine.get((*held, unit), 0) - discount, 0) / total + discount * len(mine) / total * lower

    return probability


def at_each_unit(kneser_ney, inventory, models, row):
    """Probability of each unit of a text, by order as the highest: (orders, units, classes + 1)."""
    units = kneser_ney.as_units([np.array(row, dtype=np.int64)])
    below = np.full((len(units.unit), models[0][0].share.shape[1]), 1 / inventory.kinds, dtype=np.float32)
    found = []
    for (highest, lower), grams in zip(models, inventory.number(units), strict=True):
        found.append(highest.apply(grams, below))
        below = lower.apply(grams, below)
    return np.array(found)


CORPUS = [[1, 2, 1, 2, 3], [2, 2, 1], [1, 2, 2, 2, 1], [3], [], [1, 2]]


def test_a_bigram_model_by_hand(monkeypatch):
    kneser_ney = module("ngram_lm", ".kneser_ney")
    monkeypatch.setattr(kneser_ney, "OWN", np.float32(1))
    rows = [np.array([1, 2]), np.array([1])]
    inventory = kneser_ney.Inventory(kneser_ney.as_units(rows), 3, 2)
    models = inventory.models(np.array([0, 0]), 1, np.ones(2, dtype=bool))
    # Only the beginning precedes 1, only 1 precedes 2, and 1 or 2 precedes the end: the unigram counts are (1, 1, 2) of
    # 4. Each loses 3/4 and gets a third of the 9/4 back.
    one, two, end = 1 / 4, 1 / 4, 2 / 4
    known = [
        (2 - 0.75) / 2 + 0.75 / 2 * one,  # begin: two texts, one kind of unit
        (1 - 0.75) / 2 + 0.75 * 2 / 2 * two,  # 1: followed by 2 and by end
        (1 - 0.75) / 1 + 0.75 * 1 / 1 * end,  # 2: followed by the end
    ]
    np.testing.assert_allclose(at_each_unit(kneser_ney, inventory, models, [1, 2])[1, :, 0], known, rtol=1e-6)


def test_every_order_is_textbook_kneser_ney(monkeypatch):
    kneser_ney = module("ngram_lm", ".kneser_ney")
    monkeypatch.setattr(kneser_ney, "OWN", np.float32(1))
    y, kinds = np.array([0, 1, 0, 1, 0, 1]), 5
    inventory = kneser_ney.Inventory(kneser_ney.as_units([np.array(row, np.int64) for row in CORPUS]), kinds, 4)
    models = inventory.models(y, 2, np.ones(6, dtype=bool))
    classes = [[row for row, c in zip(CORPUS, y, strict=True) if c == 0], CORPUS[1::2], CORPUS]  # the last one pooled
    for row in ([1, 2, 2, 1], [3, 3], [4, 1, 2], []):
        found = at_each_unit(kneser_ney, inventory, models, row)
        for c, n in product(range(3), range(1, 5)):
            p = reference(classes[c], n, 0.75, kinds)
            padded = ["<", *row, 0]
            known = [p(padded[:at], padded[at], n) for at in range(1, len(padded))]
            np.testing.assert_allclose(found[n - 1, :, c], known, rtol=1e-5, err_msg=f"{row} {c} {n}")


def test_probabilities_of_the_next_unit_sum_to_one():
    kneser_ney = module("ngram_lm", ".kneser_ney")
    y, kinds = np.array([0, 1, 0, 1, 0, 1]), 5
    inventory = kneser_ney.Inventory(kneser_ney.as_units([np.array(row, np.int64) for row in CORPUS]), kinds, 4)
    models = inventory.models(y, 2, y * 0 == 0)
    for context in ([], [1], [1, 2], [2, 2, 1], [4], [4, 4, 1]):
        total = sum(
            at_each_unit(kneser_ney, inventory, models, [*context, u])[:, len(context)] for u in range(1, kinds)
        )
        total = total + at_each_unit(kneser_ney, inventory, models, context)[:, len(context)]  # the end
        np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_likelihoods_add_up_whatever_the_batch(monkeypatch):
    kneser_ney = module("ngram_lm", ".kneser_ney")
    units = kneser_ney.as_units([np.array(row, np.int64) for row in CORPUS])
    inventory = kneser_ney.Inventory(units, 5, 3)
    models = inventory.models(np.arange(6) % 2, 2, np.ones(6, dtype=bool))
    whole = inventory.log_likelihood(models, inventory.grams, units.text)
    known = [np.log(at_each_unit(kneser_ney, inventory, models, row)[:, :, :2]).sum(axis=1).T for row in CORPUS]
    np.testing.assert_allclose(whole, known, rtol=1e-5)
    monkeypatch.setattr(kneser_ney, "CHUNK", 1)  # every text a chunk of its own
    np.testing.assert_array_equal(inventory.log_likelihood(models, inventory.grams, units.text), whole)


def test_ngram_lm_comes_near_the_bayes_rule_on_markov_sources():
    # Three sources, each a Markov chain, write texts of five letters. All such texts can be listed, so the accuracy of
    # any rule is a sum over them.
    letters, length, draw = "abcd", 6, np.random.default_rng(3)
    chains = draw.dirichlet(np.full(4, 1.5), size=(3, 4))
    listed = np.array(list(product(range(4), repeat=length)))
    likely = np.full((len(listed), 3), 1 / 4)
    for at in range(1, length):
        likely *= chains[:, listed[:, at - 1], listed[:, at]].T
    np.testing.assert_allclose(likely.sum(axis=0), 1)
    texts = ["".join(letters[i] for i in row) for row in listed]
    y = np.arange(1500) % 3
    train = [texts[draw.choice(len(texts), p=likely[:, c])] for c in y]

    proba = build("ngram_lm").fit(train, [str(c) for c in y]).predict_proba(texts)
    posterior = likely / likely.sum(axis=1, keepdims=True)
    bayes = likely.max(axis=1).sum() / 3
    assert bayes > 0.6
    assert likely[np.arange(len(texts)), proba.argmax(axis=1)].sum() / 3 > bayes - 0.01
    gap = (likely * (np.log(posterior) - np.log(proba))).sum() / 3  # Kullback-Leibler divergence, in nats per text
    assert gap < 0.02


# stylometry


def test_features_by_hand():
    found = module("stylometry", ".features").features("The cat saw the the Dog. It ran 10 miles!")
    assert found["characters"] == 41
    assert found["words"] == 10
    assert found["word length: mean"] == 3
    assert found["word length: longest"] == 5
    assert found["sentence ends"] == 2
    assert found["words a sentence"] == 5
    assert found["type-token ratio"] == pytest.approx(8 / 10)
    assert found["words used once"] == pytest.approx(7 / 10)
    assert found["repetition: most frequent word"] == pytest.approx(3 / 10)
    assert found["repetition: word after itself"] == pytest.approx(1 / 10)
    assert found["capitals"] == pytest.approx(3 / 41)
    assert found["digits"] == pytest.approx(2 / 41)
    assert found["whitespace"] == pytest.approx(9 / 41)
    assert found["mark !"] == found["mark ."] == pytest.approx(1 / 41)
    assert found["letter t"] == pytest.approx(5 / 41)
    assert found["word: the"] == pytest.approx(3 / 10)
    assert found["type: number"] == pytest.approx(1 / 12)
    assert found["types: number, content"] == pytest.approx(1 / 12)
    assert found["begins with a capital"] == found["ends a sentence"] == 1
    assert "word: cat" not in found


def test_stylometry_reads_style_alone():
    draw = np.random.default_rng(4)
    y = np.arange(300) % 2
    texts = [" ".join(draw.choice(WORDS, 12)) + (" of it, and so" if c else " of it; and so") for c in y]
    attributor = build("stylometry").fit(texts, [str(c) for c in y])
    assert (attributor.predict_proba(texts[:50]).argmax(axis=1) == y[:50]).all()
    assert {"mark ,", "word: of", "letter a"} <= set(attributor.feature_names_)


# compression


def test_a_text_is_shorter_behind_a_dictionary_that_holds_it():
    compression = module("compression")
    texts = [" ".join(np.random.default_rng(i).choice(WORDS, 20)).encode() for i in range(6)]
    known = compression.dictionaries(texts, np.array([0, 0, 0, 1, 1, 1]), 2, np.ones(6, dtype=bool))
    saved = compression.saved(texts, known)[:, :, 0]
    np.testing.assert_array_equal(saved.argmax(axis=1), [0, 0, 0, 1, 1, 1])
    assert (saved.max(axis=1) > -12).all()  # a reference into the dictionary costs bytes, not the text's hundred


def test_dictionaries_are_as_many_for_every_class():
    compression = module("compression")
    data = [b"x" * 10_000] * 20 + [b"y" * 10_000] * 8
    known = compression.dictionaries(data, np.array([0] * 20 + [1] * 8), 2, np.ones(28, dtype=bool))
    assert [[len(d) for d in members] for members in known] == [[compression.WINDOW] * 2] * 2


# char_ngram


def test_ngrams_are_those_of_brute_force():
    texts = ["to be, or\tnot", "", "日本 to", "aaaa", "\n", "x"]
    text, bucket, count = module("char_ngram").ngrams(texts)
    for i, whole in enumerate(texts):
        pieces = Counter(whole[a:b] for a in range(len(whole)) for b in range(a + 1, min(a + 5, len(whole)) + 1))
        known = {piece: n for piece, n in pieces.items() if not any(c <= " " for c in piece[1:-1])}
        assert sorted(count[text == i]) == sorted(known.values())
    assert len(set(bucket[text == 0]) & set(bucket[text == 2])) == len({"t", "o", "to", " ", " t"} - {" t"})


# unigram


def test_unigram_matches_a_hand_tuned_pipeline():
    train, labels = planted(600, 1, strength=1.7)
    test, truth = planted(900, 2, strength=1.7)
    groups = np.arange(600) // 3
    grid = {"logisticregression__C": [0.1, 0.3, 1, 3, 10]}
    pipeline = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(tol=1e-3, max_iter=1000))
    search = GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=GroupKFold(4)).fit(train, labels, groups=groups)
    y = np.searchsorted(search.classes_, truth)
    ours = build("unigram").fit(train, labels, groups=groups).predict_proba(test)
    theirs = search.predict_proba(test)
    # Every word of this language is a token. The pipeline gets a pattern for words; the tokenizer learns them.
    assert (ours.argmax(axis=1) == y).mean() > (theirs.argmax(axis=1) == y).mean() - 0.01
    assert log_loss(ours, y) < log_loss(theirs, y) + 0.02


# ensemble


def test_ensemble_is_as_good_as_its_best_member():
    train, labels = planted(450, 1, strength=1.7)
    test, truth = planted(900, 2, strength=1.7)
    y = np.unique(truth, return_inverse=True)[1]
    losses = {
        name: log_loss(build(name).fit(train, labels, groups=np.arange(450) // 3).predict_proba(test), y)
        for name in [*module("ensemble").MEMBERS, "ensemble"]
    }
    together = losses.pop("ensemble")
    assert together < min(losses.values()) + 0.03
    assert min(losses.values()) < 0.9 * np.log(3)


def test_ensemble_refuses_a_member_of_another_version(monkeypatch):
    ensemble = module("ensemble")
    assert {name: registry.find(name)[0].card.version for name in ensemble.MEMBERS} == ensemble.MEMBERS
    monkeypatch.setitem(ensemble.MEMBERS, "ngram_lm", "0")
    with pytest.raises(AttributorError, match="ngram_lm has version 1, not 0"):
        ensemble.build(0)
