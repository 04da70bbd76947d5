"""From which ancestor does the writer of some texts descend? A whole run with strangers, and what can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import BRIEF, gathered

from natfp_bench import api
from natfp_bench.attributors import registry
from natfp_bench.attributors.attribute import attribute
from natfp_bench.cli.descent import conclusion
from natfp_bench.results.identification import Descent, Pair
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.verification import descent_p, support

Call = Callable[..., tuple[int, str, str]]

FEW = BRIEF | {"replicates": "2", "analysis.strangers": "3", "analysis.permutations": "9"}


@pytest.fixture(scope="module")
def made(bench: Any) -> Any:
    """Evidence, result and folder of a run of base_id with three strangers."""
    return gathered(bench, "base_id", overrides=FEW, baselines="naive_bayes")


@pytest.fixture
def ask(natfp: Call, bench: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Ask from whom the writer of texts descends; returns what the command line does."""
    monkeypatch.setattr(api, "local_engine", lambda _: bench.engine)

    def call(result: Path, texts: list[str], *arguments: object) -> tuple[int, str, str]:
        file = tmp_path / "given.jsonl"
        file.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
        return natfp("identify", file, "--result", result, "--store", bench.store, "--descent", *arguments)

    return call


def written(evidence: Any, of: Any, number: int) -> list[str]:
    """The first test texts of a model, as a fit to all descendants has never read them."""
    table = evidence.sample_table(of)
    test = table["prompt"].to_numpy() % evidence.plan.split.test_every == evidence.plan.split.test_every - 1
    asked = [text for text, is_test in zip(table["text"].to_pylist(), test, strict=True) if is_test and text.strip()]
    return asked[:number]


@pytest.mark.slow
def test_texts_are_compared_with_those_of_strangers(ask: Any, made: Any) -> None:
    evidence, result, folder = made
    texts = written(evidence, evidence.kept[1], 8)
    code, out, err = ask(folder, texts, "--json")
    assert code == 0, err
    found = Descent.model_validate_json(out)
    assert (found.run, found.strangers, found.smallest_p) == (result.run.id, 3, 0.25)
    assert {one.ancestor for one in found.pairs} == {"base0", "base1", "base2", "base3"}
    assert [one.support for one in found.pairs] == sorted((one.support for one in found.pairs), reverse=True)
    assert all(one.p in (0.25, 0.5, 0.75, 1.0) for one in found.pairs)
    assert all(one.p_adjusted >= one.p for one in found.pairs)
    assert found.recognised is None
    assert any("3 strangers are too few" in note for note in found.notes)


@pytest.mark.slow
def test_the_same_as_by_hand(ask: Any, made: Any) -> None:
    """A fit to all descendants, asked about the texts of strangers and about the given ones."""
    evidence, _, folder = made
    texts = written(evidence, evidence.unrelated[0], 8)
    found = Descent.model_validate_json(ask(folder, texts, "--json")[1])
    [baseline] = registry.find("naive_bayes")
    train, labels, groups = list[str](), list[str](), list[int]()
    for of in evidence.kept:
        every = evidence.sample_table(of)["text"].to_pylist()
        learnt = [row for row in range(len(every)) if row % 4 != 3]
        train, groups = [*train, *(every[row] for row in learnt)], [*groups, *learnt]
        labels += [of.variant.level] * len(learnt)
    build = partial(registry.build, baseline)

    def mean(those: list[str]) -> Any:
        return support(attribute(build, 0, train, labels, groups, those).proba).mean(axis=0)

    strangers = np.stack([mean(written(evidence, of, len(texts))) for of in evidence.unrelated])
    own = mean(texts)
    p, adjusted = descent_p(own[None], strangers)
    by_name = {one.ancestor: one for one in found.pairs}
    for at, name in enumerate(sorted(by_name)):
        assert by_name[name].support == pytest.approx(own[at])
        assert (by_name[name].p, by_name[name].p_adjusted) == pytest.approx((p[0, at], adjusted[0, at]))


@pytest.mark.slow
def test_what_is_printed(ask: Any, made: Any) -> None:
    evidence, _, folder = made
    texts = written(evidence, evidence.unrelated[0], 25) * 3 + ["a much longer text than any other " * 30]
    fewest = min(len(written(evidence, of, 25)) for of in evidence.unrelated)
    code, out, err = ask(folder, texts)
    assert code == 0, err
    said = " ".join(out.split())
    assert "a descendant of which ancestor? by naive_bayes" in said
    assert f"strangers have {fewest} texts each, so the first {fewest} of {len(texts)} texts are judged" in said
    assert "the same recipe, and the same kind of descent" in said
    assert f"{fewest} texts together, if one model wrote them all: it may descend from none of these" in said
    assert "with 3 strangers no p-value can reach 0.05" in said


@pytest.mark.slow
def test_what_cannot_be_asked(ask: Any, made: Any, bench: Any) -> None:
    texts = ["some text of a few words"]
    _, plain = bench.run("base_id", overrides=BRIEF | {"replicates": "2"}, baselines="naive_bayes")
    code, _, err = ask(plain, texts)
    assert (code, "has no strangers to compare with" in err) == (2, True)
    assert "--set analysis.strangers=19" in err
    _, other = bench.run("null_id", overrides=BRIEF, baselines="naive_bayes")
    code, _, err = ask(other, texts)
    assert (code, "the levels of null_id are no ancestors" in err) == (2, True)


def pair(ancestor: str, adjusted: float) -> Pair:
    return Pair(ancestor=ancestor, support=0.5, p=adjusted, p_adjusted=adjusted)


def share(value: float) -> Interval:
    return Interval(value=value, low=None, high=None, method="none", units="replicates", n_units=2)


def test_the_answer_in_words() -> None:
    who = {"name": "unigram", "version": "1", "digest": None, "access": "text", "floor": False}
    base: dict[str, Any] = {
        "schema": 1,
        "run": "r",
        "task": "base_id",
        "preset": "smoke",
        "attributor": who,
        "notes": (),
    }
    base |= {"texts": 40, "judged": 40, "strangers": 19, "smallest_p": 0.05}
    base |= {"recognised": share(0.4), "false_alarms": share(0.02)}
    shown = Descent.model_validate({**base, "pairs": (pair("base2", 0.05), pair("base0", 0.4))})
    said, power = conclusion(shown)
    assert said == "40 texts together, if one model wrote them all: it descends from base2 (adjusted p = 0.050)"
    assert "recognises a share of 0.40" in power
    assert "names a wrong ancestor for 0.02" in power
    none = Descent.model_validate({**base, "pairs": (pair("base2", 0.1), pair("base0", 0.4))})
    assert none.shown is None
    assert "may descend from none of these: base2 has the most support, but adjusted p = 0.100" in conclusion(none)[0]
