"""The checks of attributors: sound ones pass, and a broken one fails the check of the rule that it breaks."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from written_baselines import FATAL, write

from natfp_bench.attributors import contract as checks
from natfp_bench.attributors import planted, registry
from natfp_bench.attributors.contract import CHECKS, Subject
from natfp_bench.cli import main as cli
from natfp_bench.pipeline import contract_suite as conformance
from natfp_bench.pipeline.local_engine import LocalEngine

NAMES = [one.name for one in CHECKS]
ELSEWHERE = ("encoder_finetune",)  # needs weights: test_neural_baselines.py puts some into its folder


class Sound:
    """Words and marks, multinomial naive Bayes; draws a little noise from its seed."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, texts: Any, labels: Any) -> Any:
        self.model = make_pipeline(CountVectorizer(token_pattern=r"\w+|[^\w\s]+"), MultinomialNB())
        self.model.fit(texts, labels)
        self.classes_ = self.model.classes_
        self.share = 0.9 + 0.05 * np.random.default_rng(self.seed).random()
        return self

    def predict_proba(self, texts: Any) -> Any:
        return self.share * self.model.predict_proba(texts) + (1 - self.share) / len(self.classes_)


def failing(make: Callable[[int], Any], **options: Any) -> dict[str, str]:
    """Make the checks in turn, here and now; returns what was seen by those that failed."""
    seen: dict[str, str] = {}
    for one in CHECKS:
        finding = conformance.check(Subject(make, **options), one)
        assert (finding.mend is None) == finding.ok
        if not finding.ok:
            seen[finding.check] = finding.seen
            if one.needed:
                break
    return seen


def test_sound_attributors_pass_every_check() -> None:
    assert failing(Sound) == {}


def test_a_plain_pipeline_passes_and_leaves_the_global_generators_alone() -> None:
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    words = CountVectorizer(token_pattern=r"\w+|[^\w\s]+")
    made = lambda seed: make_pipeline(words.__class__(**words.get_params()), LogisticRegression(random_state=seed))  # noqa: E731
    assert failing(made) == {}
    assert np.random.random() == expected


# One broken rule each. The check that fails is named beside it, with a part of what it sees.


class AnswersUnfitted(Sound):
    def predict_proba(self, texts: Any) -> Any:
        if not hasattr(self, "model"):
            return np.full((len(texts), 3), 1 / 3)
        return super().predict_proba(texts)


class ReturnsNothing(Sound):
    def fit(self, texts: Any, labels: Any) -> Any:
        super().fit(texts, labels)


class GlobalLuck(Sound):
    def fit(self, texts: Any, labels: Any) -> Any:
        super().fit(texts, labels)
        self.share = 0.9 + 0.05 * np.random.random()
        return self


class Remembers(Sound):
    """Learns from what it was ever fitted on."""

    def fit(self, texts: Any, labels: Any) -> Any:
        self.seen = [*getattr(self, "seen", []), *zip(texts, labels, strict=True)]
        return super().fit(*zip(*[pair for pair in self.seen if pair[1] in set(labels)], strict=True))


class KeepsClasses(Sound):
    """Its list of classes only grows."""

    def fit(self, texts: Any, labels: Any) -> Any:
        super().fit(texts, labels)
        self.known = self.classes_ = np.union1d(getattr(self, "known", []), self.classes_)
        return self


class Generator(Sound):
    """Its generator starts in build, so that a second fit goes on where the first one ended."""

    def __init__(self, seed: int = 0) -> None:
        self.draw = np.random.default_rng(seed)

    def fit(self, texts: Any, labels: Any) -> Any:
        self.seed = int(self.draw.integers(1 << 30))
        return super().fit(texts, labels)


class Shared(Sound):
    """Keeps its model in the class."""

    def fit(self, texts: Any, labels: Any) -> Any:
        super().fit(texts, labels)
        Shared.model, Shared.share, Shared.classes_ = self.__dict__.pop("model"), self.share, self.classes_
        return self


class Clueless(Sound):
    """Looks at the length of a text, and no further."""

    def fit(self, texts: Any, labels: Any) -> Any:
        return super().fit([str(len(text) % 7) for text in texts], labels)

    def predict_proba(self, texts: Any) -> Any:
        return super().predict_proba([str(len(text) % 7) for text in texts])


class Peeks(Sound):
    """Reads the labels of the test where it can: in the frames of its callers."""

    def predict_proba(self, texts: Any) -> Any:
        frame = sys._getframe()
        while frame := frame.f_back:
            if "lots" in frame.f_locals:
                truth = dict(zip(frame.f_locals["test"], frame.f_locals["lots"][1], strict=True))
                return np.array([self.classes_ == truth[text] for text in texts], dtype=float)
        return super().predict_proba(texts)


class NormalisesBatch(Sound):
    """Makes the classes equally frequent in whatever it is asked at once."""

    def predict_proba(self, texts: Any) -> Any:
        proba = super().predict_proba(texts)
        proba /= proba.mean(axis=0)
        return proba / proba.sum(axis=1, keepdims=True)


class PadsToLongest(Sound):
    """Its answer for a text depends on how far the text was padded."""

    def predict_proba(self, texts: Any) -> Any:
        longest = max(1, *map(len, texts))
        weight = np.array([[0.99 + 0.01 * len(text) / longest] for text in texts])
        return weight * super().predict_proba(texts) + (1 - weight) / len(self.classes_)


class NeedsWords(Sound):
    def predict_proba(self, texts: Any) -> Any:
        if not all(text.split() for text in texts):
            raise ValueError("no words")
        return super().predict_proba(texts)


class NeedsShortTexts(Sound):
    def fit(self, texts: Any, labels: Any) -> Any:
        if max(map(len, texts)) > 10_000:
            raise ValueError("too long")
        return super().fit(texts, labels)


BROKEN = [
    (AnswersUnfitted, "build", "an unfitted AnswersUnfitted answers"),
    (ReturnsNothing, "contract", "fit returned a NoneType"),
    (GlobalLuck, "seed", "two fits with one seed give probabilities up to 0.0"),
    (Remembers, "refit", "a first and a second fit give probabilities up to"),
    (KeepsClasses, "refit", "fitted again, it has the classes"),
    (Generator, "refit", "a first and a second fit give probabilities up to"),
    (Clueless, "learns", "chance 0.33: p ="),
    (Peeks, "chance", "accuracy 1.00 of 300 texts"),
    (NormalisesBatch, "batches", "a text's probabilities are up to"),
    (PadsToLongest, "batches", "a text's probabilities are up to 0.00"),
    (NeedsWords, "odd_texts", "asked for an empty text: raised ValueError: no words"),
    (NeedsShortTexts, "odd_texts", "fitted on odd texts among others: raised ValueError: too long"),
]


@pytest.mark.parametrize(("broken", "name", "seen"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_rule_fails_its_own_check_alone(broken: type, name: str, seen: str) -> None:
    found = failing(broken)
    assert list(found) == [name]
    assert seen in found[name]


def test_state_that_objects_share_is_found() -> None:
    found = failing(Shared)
    # Whichever check comes first meets a class that an earlier one has fitted.
    assert "an unfitted object answers after another one was fitted" in found["refit"]
    single = Sound()
    assert "same object twice" in failing(lambda seed: single)["build"]


def test_answers_that_are_no_probabilities_are_the_contracts_fault() -> None:
    class Doubled(Sound):
        def predict_proba(self, texts: Any) -> Any:
            return 2 * super().predict_proba(texts)

    assert "probabilities are in [0, 1]" in failing(Doubled)["contract"]


def test_a_floor_need_not_learn_and_limits_are_looked_at() -> None:
    assert failing(Clueless, floor=True) == {}
    limits = registry.Limits(seconds=1e-6, memory_mb=1)
    assert list(found := failing(Sound, limits=limits)) == ["run"]
    assert "s of 1e-06" in found["run"]
    assert "MB of 1" in found["run"]


def test_every_check_is_broken_by_someone() -> None:
    assert {name for _, name, _ in BROKEN} | {"run"} == set(NAMES)


# As jobs, and from the command line.


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    made = LocalEngine(1)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("act", "seen"),
    [
        ("time.sleep(120)", r"stopped after [23]\.\d s: its card allows 2 s"),
        ("self.held = bytearray(b'x') * 2**31; time.sleep(120)", r"stopped at \d+ MB: its card allows \d+ MB"),
        ("os._exit(9)", r"the worker died \(exit code 9\), 3 times"),
    ],
)
def test_what_hangs_eats_memory_or_dies_is_stopped_and_named(
    engine: LocalEngine, tmp_path: Path, act: str, seen: str
) -> None:
    seconds = 2 if act == "time.sleep(120)" else 60
    folder = write(tmp_path, FATAL.format(act=act), card=f"limits: {{seconds: {seconds}, memory_mb: 2000}}\n")
    report = conformance.check_all(registry.read(folder), engine)
    assert [finding.check for finding in report.failed] == ["run"]
    assert re.fullmatch(seen, report.failed[0].seen)
    assert "`limits` in card.yaml" in str(report.failed[0].mend)
    assert list(report.unrun) == NAMES[2:]


@pytest.mark.parametrize("name", ["majority", "naive_bayes"])
def test_bundled_baselines_conform(engine: LocalEngine, name: str) -> None:
    conforms(engine, name)


REST = [path.name for path in sorted(registry.resources.baselines().iterdir()) if path.name not in ELSEWHERE]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in REST if name not in ("majority", "naive_bayes")])
def test_all_bundled_baselines_conform(engine: LocalEngine, name: str) -> None:
    conforms(engine, name)


def conforms(engine: LocalEngine, name: str) -> None:
    report = conformance.check_all(registry.find(name)[0], engine)
    assert report.failed == ()
    assert [finding.check for finding in report.findings] == NAMES


def natfp(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["natfp-bench", "baseline", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


LAZY = "def build(seed):\n    import no_such_module_xyz\n"


@pytest.mark.parametrize(
    ("code", "card", "said"),
    [
        ("def build(): pass", "", "fails the check build: mine: build(seed=...) cannot be called: "),
        (
            LAZY,
            "requires: ['no-such>=2']\n",
            "needs the module 'no_such_module_xyz', which is missing: pip install 'no-such>=2'",
        ),
        ("import no_such_module_xyz", "", "install it, and list it under 'requires' in card.yaml"),
    ],
)
def test_a_baseline_that_cannot_be_built_fails_its_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str, card: str, said: str
) -> None:
    folder = write(tmp_path, code, card=card)
    assert natfp("check", str(folder), monkeypatch=monkeypatch) == 1
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.err.count("error:") == 1
    assert "not run" in printed.out


def test_faults_of_the_folder_are_the_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(folder: Path | str) -> str:
        assert natfp("check", str(folder), monkeypatch=monkeypatch) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("error:") == 1
        return printed.err

    (tmp_path / "empty").mkdir()
    assert "holds no baseline.py and no card.yaml" in said(tmp_path / "empty")
    assert "no folder" in said(tmp_path / "nowhere")
    assert "did you mean: unigram" in said("unigrm")
    assert "'unigram,majority' names 2 baselines" in said("unigram,majority")
    code = FATAL.format(act="pass")
    assert "card.yaml:7: unknown key 'flor' (did you mean 'floor'?)" in said(
        write(tmp_path / "a", code, card="flor: true\n")
    )
    assert "no plain name" in said(write(tmp_path / "b", code, name="Mine"))
    assert "is reserved" in said(write(tmp_path / "c", code, name="ceiling"))


PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "natfp-extras"
version = "1.0"

[project.entry-points."natfp_bench.baselines"]
marks = "natfp_extras.marks"
"""

MARKS = """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from natfp_extras.parts import MARKS
    def build(seed):
        return make_pipeline(CountVectorizer(token_pattern=MARKS), LogisticRegression(random_state=seed))
"""


@pytest.fixture
def extras(tmp_path: Path) -> Path:
    """Install a package of somebody else's that offers a baseline; returns where it lies."""
    source = tmp_path / "source"
    write(source / "natfp_extras", MARKS, name="marks")
    (source / "natfp_extras" / "__init__.py").touch()
    (source / "natfp_extras" / "parts.py").write_text("MARKS = r'[^\\w\\s]+|th\\w+|every'\n")
    (source / "pyproject.toml").write_text(PROJECT)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(tmp_path / "site"), str(source)], check=True, capture_output=True)
    return tmp_path / "site"


def test_a_baseline_of_an_installed_package_is_checked_by_name_and_by_path(
    extras: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(extras))
    assert registry.find("marks")[0].folder == extras / "natfp_extras" / "marks"
    for given in ("marks", str(extras / "natfp_extras" / "marks")):
        assert natfp("check", given, monkeypatch=monkeypatch) == 0
        assert f"marks, version 1: {len(CHECKS)} checks, 0 failed" in capsys.readouterr().out


def test_a_report_for_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write(tmp_path, "def build(seed): return 3")
    assert natfp("check", str(folder), "--json", monkeypatch=monkeypatch) == 1
    report = conformance.ContractReport.model_validate_json(capsys.readouterr().out)
    assert report.digest == registry.read(folder).digest
    assert "without fit and predict_proba" in report.failed[0].seen


def test_planted_texts_are_what_they_say() -> None:
    texts, labels = planted.planted(60, "train")
    assert planted.planted(60, "train") == (texts, labels)
    assert set(texts).isdisjoint(planted.planted(60, "test")[0])
    assert [labels.count(label) for label in planted.HABITS] == [20, 20, 20]
    assert max(map(len, texts)) < 2 * planted.CHARACTERS
    told = sum(
        any(f" {word} " in text for word in planted.HABITS[label].values())
        for text, label in zip(texts, labels, strict=True)
    )
    assert 20 < told < 60
    lengths = [len(text) for text in planted.ODD.values()]
    assert lengths.count(100_000) == 2
    assert min(lengths) == 0
    assert json.loads(json.dumps(list(planted.ODD.values()))) == list(planted.ODD.values())
    assert checks.TOLERANCE == 1e-5
