"""The neural bundled baselines, small enough to fit within seconds, and `neural_text`, which they share."""

import math
import shutil
import sys
from pathlib import Path

import numpy as np
import planted_words
import pytest
import torch
from sklearn.exceptions import NotFittedError

from natfp_bench.attributors import neural_text, registry
from natfp_bench.attributors import planted as planted_habits
from natfp_bench.attributors.attribute import attribute
from natfp_bench.attributors.contract import CHECKS
from natfp_bench.attributors.kit import build_bundled
from natfp_bench.base.errors import AttributorError
from natfp_bench.pipeline import contract_suite as conformance
from natfp_bench.pipeline.local_engine import LocalEngine

NAMES = ["transformer", "surrogate_lm", "mixture_lm"]
TINY = {
    "transformer": {"vocabulary": 300, "width": 32, "layers": 1, "epochs": 8},
    "surrogate_lm": {"vocabulary": 300, "width": 32, "layers": 1, "read": 0, "tuning": 3},
}
ODD = ["", " ", "a", "\n\n", "🙂", "👩‍👩‍👧 日本語 العربية", "\x00\x1b", "\ud800", "<pad>"]
ODD += ["x" * 100_000, "word " * 20_000]


def planted(n, seed, *, classes=3, strength=6.0):
    return planted_words.planted(n, seed, classes=classes, strength=strength)


def build(name, seed=0):
    made = registry.build(registry.find(name)[0], seed)
    if name == "mixture_lm":
        made.neural = build("surrogate_lm", seed)
        return made
    return type(made)(seed, **TINY[name])


def losses(found, truth):
    return -np.log(found.proba[np.arange(len(truth)), [found.classes.index(label) for label in truth]])


@pytest.fixture(scope="module")
def fitted():
    """Each tiny attributor, fitted once, for the tests that only predict."""
    train, labels = planted(300, 1)
    return {name: build(name).fit(train, labels) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_tells_planted_texts_and_knows_how_sure_it_is(name, fitted):
    test, truth = planted(300, 2)
    proba = fitted[name].predict_proba(test)
    y = [f"class {i}" for i in range(3)]
    assert fitted[name].classes_.tolist() == y
    right = proba[np.arange(300), [y.index(label) for label in truth]]
    # At chance, 0.42 would be three standard errors too high.
    assert np.mean(fitted[name].classes_[proba.argmax(1)] == truth) > 0.5
    assert -np.log(right).mean() < math.log(3) - 0.05


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_answered_alike_alone_and_in_any_batch(name, fitted):
    test = planted(40, 2)[0] + ODD
    whole = fitted[name].predict_proba(test)
    assert whole.dtype == np.float64
    np.testing.assert_allclose(whole.sum(axis=1), 1)
    assert np.ptp(whole[:, 0]) > 0.01
    alone = np.vstack([fitted[name].predict_proba([text]) for text in test])
    np.testing.assert_allclose(alone, whole, atol=1e-5)
    np.testing.assert_allclose(fitted[name].predict_proba(test[::-1])[::-1], whole, atol=1e-5)
    assert fitted[name].predict_proba([]).shape == (0, 3)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_answer_whatever_the_global_generator(name):
    train, labels = planted(90, 1)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build(name, 7).fit(train, labels)
    before = first.predict_proba(train)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    # A second fit of the same object forgets the first, on other texts and classes.
    again = build(name, 7).fit(*planted(60, 5, classes=2)).fit(train, labels)
    np.testing.assert_array_equal(again.predict_proba(train), before)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "mixture_lm" else name for name in NAMES]
)
def test_odd_texts_in_training_and_the_harness(name):
    train, labels = planted(60, 1)
    found = attribute(
        lambda seed: build(name, seed), 0, train + ODD, labels + ["class 0"] * len(ODD), range(60 + len(ODD)), ODD
    )
    assert found.proba.shape == (len(ODD), 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [2, 3, 12])
def test_few_texts_and_a_single_group(name, n):
    texts, labels = (["aa b", "b cc", "aa c", "cc"] * 3)[:n], ["x", "y", "y"] * 4
    for groups in (None, [0] * n):
        model = build(name).fit(texts, labels[:n], groups)
        np.testing.assert_allclose(model.predict_proba(texts).sum(axis=1), 1)
    # A single group cannot be held out, so scores cannot be checked and are not used.
    np.testing.assert_allclose(model.predict_proba(["zz"]), [[labels[:n].count(c) / n for c in "xy"]])


@pytest.mark.parametrize("name", [*NAMES, "encoder_finetune"])
def test_not_fitted(name):
    with pytest.raises(NotFittedError, match="call fit first"):
        registry.build(registry.find(name)[0], 0).predict_proba(["a"])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_humble_on_shuffled_labels(name):
    train, labels = planted(600, 1)
    test, truth = planted(600, 2)
    np.random.default_rng(3).shuffle(labels)
    np.random.default_rng(4).shuffle(truth)
    found = attribute(lambda seed: build(name, seed), 0, train, labels, [i // 3 for i in range(600)], test)
    accuracy = np.mean(np.array(found.classes)[found.proba.argmax(axis=1)] == truth)
    assert abs(accuracy - 1 / 3) < 4 * np.sqrt(2 / 9 / 600)
    assert losses(found, truth).mean() < np.log(3) + 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_bundled_sizes_tell_planted_texts(name):
    train, labels = planted(900, 1, strength=3.0)
    test, truth = planted(300, 2, strength=3.0)
    found = attribute(lambda seed: registry.build(registry.find(name)[0], seed), 0, train, labels, range(900), test)
    assert np.mean(np.array(found.classes)[found.proba.argmax(axis=1)] == truth) > 0.7
    assert losses(found, truth).mean() < 0.75


def test_a_mixture_is_as_good_as_its_better_member():
    train, labels = planted(300, 1, strength=3.0)
    test, truth = planted(600, 2, strength=3.0)
    groups = [i // 3 for i in range(300)]
    mixed = build("mixture_lm").fit(train, labels, groups)
    y = [mixed.classes_.tolist().index(label) for label in truth]
    members = [build("surrogate_lm").fit(train, labels, groups), build_bundled("ngram_lm", "1", 0)]
    members[1].fit(train, labels, groups)
    together, *alone = [-np.log(one.predict_proba(test)[np.arange(600), y]).mean() for one in [mixed, *members]]
    assert together < min(alone) + 0.03
    assert min(alone) < 0.9 * np.log(3)
    assert (mixed.weights_ >= 0).all()
    assert mixed.log_likelihood(test[:2]).shape == (2, 3, 2)


def test_a_mixture_refuses_a_member_of_another_version(monkeypatch):
    mixture = sys.modules[type(build("mixture_lm")).__module__]
    for name, version in (mixture.NGRAMS, mixture.NEURAL):
        assert registry.find(name)[0].card.version == version
    monkeypatch.setattr(mixture, "NEURAL", ("surrogate_lm", "0"))
    with pytest.raises(AttributorError, match="surrogate_lm has version 1, not 0"):
        mixture.build(0)


def test_groups_are_held_out_whole_and_no_class_is_lost():
    groups = np.repeat(np.arange(200), 3)
    y = np.arange(600) % 3
    held = neural_text.held_out(y, groups.tolist(), "test")
    assert held.sum() == 150
    assert not set(groups[held]) & set(groups[~held])
    assert (neural_text.held_out(y, groups.tolist(), "other") != held).any()
    # Class 3 is a single group, so it always stays in training.
    for name in range(20):
        held = neural_text.held_out(np.where(groups == 7, 3, y), groups.tolist(), name)
        assert not held[groups == 7].any()
        assert held.any()


@pytest.mark.parametrize("name", NAMES)
def test_groups_reach_the_split(name, monkeypatch):
    seen = []
    monkeypatch.setattr(type(build(name)), "learn", lambda self, texts, y, held: seen.append((texts, held)))
    monkeypatch.setattr(type(build(name)), "score", lambda self, texts: np.zeros((len(texts), 2)))
    texts, groups = [f"word{i // 4}" for i in range(160)], [i // 4 for i in range(160)]
    build(name).fit(texts, [str(i % 2) for i in range(160)], groups=groups)
    ((texts, held),) = seen
    words = {text for text, out in zip(texts, held, strict=True) if out}
    assert held.sum() == 40
    assert not words & {text for text, out in zip(texts, held, strict=True) if not out}


def test_temperature_is_found_and_noise_is_not_believed():
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, 3000)
    logits = draw.normal(size=(3000, 3)) + 1.5 * np.eye(3)[y]  # the log-likelihood is 1.5 times the score
    loss, temperature = neural_text.calibrate(6.0 * logits, y, np.full(3, 1 / 3))
    assert temperature == pytest.approx(6.0 / 1.5, rel=0.1)
    known = neural_text.posterior(1.5 * logits, 1.0, np.full(3, 1 / 3))[np.arange(3000), y]
    assert loss == pytest.approx(-np.log(known).sum(), rel=1e-3)
    loss, temperature = neural_text.calibrate(draw.normal(size=(300, 3)), y[:300], np.full(3, 1 / 3))
    assert (loss, temperature) == (pytest.approx(300 * np.log(3)), math.inf)


def test_training_keeps_the_best_weights_and_stops():
    model = torch.nn.Linear(1, 1, bias=False)
    model.load_state_dict({"weight": torch.tensor([[0.0]])})
    taken = []

    def step(i):
        taken.append(i)
        model.load_state_dict({"weight": model.weight + 1.0})

    neural_text.train_model(model, step, lambda: abs(model.weight.item() - 4.0), 100, every=2, patience=2)
    assert model.weight.item() == 4.0
    assert len(taken) == 8  # looks after 6 and 8 were worse


def test_an_epoch_has_every_row_once():
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    batches = neural_text.batches(lengths.tolist(), 16, "test")
    for _ in range(2):
        epoch = [next(batches) for _ in range(63)]
        assert sorted(np.concatenate(epoch).tolist()) == list(range(1000))
        assert {len(batch) for batch in epoch} <= {8, 16}
        assert np.mean([np.ptp(lengths[batch]) for batch in epoch]) < 20


def tiny_bert(folder, texts):
    """Save a BERT of 30,000 weights with its tokenizer."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=70, **names).save_pretrained(folder)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        # Five classes of another task: the classifier on top must be replaced.
        config = BertConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=70, num_labels=5, **sizes)
        BertForSequenceClassification(config).save_pretrained(folder)


@pytest.fixture
def encoder_folder(tmp_path):
    """Copy the baseline's folder, as its README.md says."""
    (bundled,) = registry.find("encoder_finetune")
    folder = tmp_path / "tiny_bert"
    shutil.copytree(bundled.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
    card = folder / "card.yaml"
    card.write_text(card.read_text().replace("name: encoder_finetune", "name: tiny_bert"))
    return folder


def test_an_encoder_in_a_copied_folder_is_fine_tuned(encoder_folder, capfd):
    train, labels = planted(300, 1)
    test, truth = planted(300, 2)
    without = registry.read(encoder_folder)
    tiny_bert(encoder_folder / "model", train)
    baseline = registry.read(encoder_folder)
    assert baseline.digest != without.digest  # the weights are part of the attributor's identity
    kind = type(registry.build(baseline, 0))
    make = lambda seed: kind(seed, batch=16, epochs=12, rate=3e-3)  # noqa: E731
    capfd.readouterr()
    found = attribute(make, 3, train, labels, range(300), test)
    assert capfd.readouterr() == ("", "")
    assert np.mean(np.array(found.classes)[found.proba.argmax(axis=1)] == truth) > 0.5
    assert losses(found, truth).mean() < math.log(3) - 0.05

    state = torch.get_rng_state()
    first, again = make(3).fit(train, labels), make(3).fit(train, labels)
    assert torch.equal(torch.get_rng_state(), state)
    asked = test[:20] + ODD
    whole = first.predict_proba(asked)
    np.testing.assert_array_equal(again.predict_proba(asked), whole)
    np.testing.assert_allclose(np.vstack([first.predict_proba([text]) for text in asked]), whole, atol=1e-5)
    np.testing.assert_allclose(make(3).fit(["a", "b"], ["x", "y"], [0, 0]).predict_proba(["c"]), [[0.5, 0.5]])


@pytest.mark.slow
def test_encoder_finetune_conforms(encoder_folder):
    # The model has random weights, so it needs more and larger steps than a pretrained one.
    tiny_bert(encoder_folder / "model", list(planted_habits.planted(360, "train")[0]))
    code = encoder_folder / "baseline.py"
    whole = code.read_text().replace("EncoderFinetune(seed)", "EncoderFinetune(seed, batch=16, epochs=12, rate=3e-3)")
    code.write_text(whole)
    engine = LocalEngine(1)
    try:
        report = conformance.check_all(registry.read(encoder_folder), engine)
    finally:
        engine.close()
    assert report.failed == ()
    assert {finding.check for finding in report.findings} == {one.name for one in CHECKS}


def test_a_missing_encoder_is_named_and_how_to_give_one():
    train, labels = planted(60, 1)
    with pytest.raises(AttributorError, match=r"'microsoft/deberta-v3-base' cannot be loaded .*folder 'model'"):
        attribute(
            lambda seed: registry.build(registry.find("encoder_finetune")[0], seed), 0, train, labels, range(60), train
        )


def test_weights_that_could_run_code_are_refused(encoder_folder):
    train, labels = planted(60, 1)
    model: Path = encoder_folder / "model"
    tiny_bert(model, train)
    from safetensors.torch import load_file

    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    attributor = registry.build(registry.read(encoder_folder), 0)
    with pytest.raises(AttributorError, match=r"no file named model\.safetensors"):
        attributor.fit(train, labels)
