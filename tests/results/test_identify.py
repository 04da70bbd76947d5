"""Whose texts are these? A whole run, then texts by its models, by nobody, and everything that can be wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import small_fixed_texts
from bench import BRIEF

from natfp_bench import api
from natfp_bench.base import resources
from natfp_bench.base.errors import UserError
from natfp_bench.cli import identify as identify_cli
from natfp_bench.pipeline import bundled_texts as fixed_texts
from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.evidence import Evidence
from natfp_bench.pipeline.run import Run, run_plan
from natfp_bench.pipeline.schedule import Schedule
from natfp_bench.pipeline.stages.left_out import HeldOut, LeftOut
from natfp_bench.pipeline.store import Store
from natfp_bench.results import identify
from natfp_bench.results.identification import Identification

Call = Callable[..., tuple[int, str, str]]

KNOWN, FRESH = 300, 60
"""Texts of each variant that the result knows, and more of the same models that it does not."""

CODE = Path(identify.__file__).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Made:
    """A result, its folder, and fresh texts by its models: of each variant, by name."""

    result: Any
    folder: Path
    fresh: dict[str, list[str]]
    include: Path


@pytest.fixture(scope="module")
def made(bench: Any, rate_tasks: Path) -> Made:
    """Three models with different learning rates: easy to identify, and without replicates."""
    overrides = {**BRIEF, "replicates": "1", "sampling.texts": str(KNOWN + FRESH)}
    options = {"include": [rate_tasks], "overrides": overrides}
    result, folder = bench.run("rate", limit=KNOWN, baselines="majority,naive_bayes,unigram", **options)
    plan = bench.plan("rate", **options)
    schedule = Schedule(Store(bench.store), bench.engine, "cpu", lambda _: None)
    whole: Evidence = Run(plan, (), schedule).gather()
    fresh = {of.variant.name: whole.sample_table(of)["text"].to_pylist()[KNOWN:] for of in whole.kept}
    texts = {name: [text for text in of if text.strip()] for name, of in fresh.items()}
    return Made(result, folder, texts, rate_tasks)


@pytest.fixture
def ask(natfp: Call, bench: Any, made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Ask whose some texts are; returns what the command line does."""
    monkeypatch.setattr(api, "local_engine", lambda _: bench.engine)

    def call(*arguments: object, texts: list[str] | None = None) -> tuple[int, str, str]:
        if texts is not None:
            rows = [json.dumps({"text": text}) for text in texts]
            (tmp_path / "given.jsonl").write_text("\n".join(rows), encoding="utf-8")
            arguments = ("given.jsonl", *arguments)
        where = ("--result", made.folder, "--store", bench.store, "--include-path", made.include)
        return natfp("identify", *where, *arguments)

    return call


def asked(ask: Any, *arguments: object, texts: list[str]) -> Identification:
    code, out, err = ask("--json", *arguments, texts=texts)
    assert code == 0, err
    return Identification.model_validate_json(out)


def test_fresh_texts_are_identified(ask: Any, made: Made) -> None:
    right, of = 0, 0
    for name, texts in made.fresh.items():
        found = asked(ask, texts=texts[:15])
        assert found.classes == tuple(sorted(made.fresh))
        assert found.pooled is not None
        assert found.pooled.most_likely == name
        assert found.pooled.p > 0.01
        assert sum(found.pooled.posterior) == pytest.approx(1)
        right += sum(text.most_likely == name for text in found.texts)
        of += len(found.texts)
    assert right / of > 1 / 3 + 4 * np.sqrt(2 / 9 / of)
    assert 1 / 3 < found.held_out[0].accuracy < found.held_out[1].accuracy
    assert {(one.left_out, one.size) for one in found.power} == {
        (name, size) for name in made.fresh for size in (1, 15)
    }
    assert all(0 <= one.detected <= 1 and 0 <= one.false_alarms < 0.3 for one in found.power)


def test_texts_of_another_kind_are_none_of_these(ask: Any, made: Made) -> None:
    length = max(map(len, made.fresh["middle/r0"]))
    code = [CODE[start : start + length] for start in range(2000, 2000 + 12 * length, length)]
    found = asked(ask, texts=code)
    assert found.pooled is not None
    assert found.pooled.p < 0.01
    out = ask(texts=code)[1]
    assert "perhaps none of these wrote it" in out
    assert "if one of these wrote it, most likely" in out


def test_what_is_shown(ask: Any, made: Made) -> None:
    texts = [*made.fresh["low/r0"][:22], "\x1b[31mred", "a much longer text than any other " * 100, "same", "same"]
    _, out, err = ask("--baseline", "unigram", texts=texts)
    for part in (
        "by unigram",
        "given.jsonl:20",
        "The first 20 of 26 are shown",
        "would an unknown source be noticed?",
        "AUROC (1)",
        "if one of these wrote it, most likely low/r0 (posterior ",
        "shorter or longer than any held-out text",
        "note: 1 of 26 texts are repetitions",
    ):
        assert part in out
    assert "given.jsonl:21" not in out
    assert "\x1b" not in out + err
    single = ask(texts=["He sold\x1b[31m a boat."])[1]
    assert "the text: if one of these wrote it" in single
    assert "\x1b" not in single


def test_names_of_files_are_spelt_out(ask: Any, tmp_path: Path) -> None:
    hostile = tmp_path / "a\x1b[31m.txt"
    hostile.write_text("He sold a boat in the harbour.")
    code, out, err = ask(hostile.name)
    assert code == 0
    assert "\x1b" not in out + err
    assert r"a\x1b[31m.txt" in out
    hostile.write_text("")
    code, out, err = ask(hostile.name)
    assert code == 2
    assert "\x1b" not in out + err
    assert r"a\x1b[31m.txt: the file is empty" in err


def test_a_second_time_nothing_is_left_out_again(ask: Any, made: Made) -> None:
    texts = made.fresh["high/r0"][:3]
    first = ask("--json", texts=texts)
    again = ask("--json", texts=texts)
    assert first[1] == again[1]
    assert again[2].startswith("study, 1 job "), "only the answer itself is made again"
    # Of other sizes, only what is noticed is measured anew.
    other = ask("--json", texts=texts[:2])
    assert other[2].startswith("study, 4 jobs "), "one for each source, and the answer"


def test_the_best_baseline_is_chosen_on_the_texts_that_calibrate(ask: Any, made: Made, bench: Any) -> None:
    source = identify.open_source(made.folder, "instance", bench.store, include=[made.include])
    best = identify.choose(source)
    bits = {s.attributor.name: s.metrics["bits"].value for s in made.result.scores if s.attributor.access == "text"}
    assert best.name in ("naive_bayes", "unigram")
    assert bits[best.name] > max(bits.values()) - 0.1


def test_a_baseline_that_is_not_in_the_result(ask: Any, made: Made, tmp_path: Path, natfp: Call) -> None:
    assert natfp("baseline", "new", "my_words")[0] == 0
    found = asked(ask, "--baseline", "./my_words", texts=made.fresh["low/r0"][:5])
    assert found.attributor.name == "my_words"


def test_a_failing_baseline_is_told(ask: Any, tmp_path: Path, natfp: Call) -> None:
    assert natfp("baseline", "new", "broken")[0] == 0
    (tmp_path / "broken" / "baseline.py").write_text("def build(seed):\n    raise ValueError('no luck')\n")
    code, _, err = ask("--baseline", "./broken", texts=["a text"])
    assert code == 1
    assert "no luck" in err


def test_levels_and_instances(bench: Any, rate_run: Any, rate_tasks: Path) -> None:
    """Of a task with replicates: nine variants are told as such, or by their level."""
    from natfp_bench.attributors import registry
    from natfp_bench.results.unlabelled_texts import GivenText

    given = [GivenText("a.txt", None, "He sold a boat.")]
    (baseline,) = registry.find("naive_bayes")
    for target, classes in (("level", 3), ("instance", 9)):
        source = identify.open_source(rate_run[1], target, bench.store, include=[rate_tasks])
        assert identify.choose(source).name in ("naive_bayes", "unigram")
        found = identify.identify(source, baseline, given, bench.engine, lambda _: None)
        assert len(found.classes) == len(found.texts[0].posterior) == classes
        assert len(found.power) == classes
        assert any("levels are known only from" in note for note in found.notes) is (target == "level")
        # Of each class, one text of each of the few prompts is compared: too few for a small p-value.
        assert any("too few held-out texts" in note for note in found.notes)
        tests = HeldOut.of(LeftOut(**source.labelled(baseline), left_out=None), source.store)
        assert len(np.unique(tests.label)) == classes


def test_two_classes_have_no_power_to_measure(bench: Any, made: Made, tmp_path: Path, ask: Any) -> None:
    """As where a third variant diverged."""
    text = json.loads((made.folder / "result.json").read_text())
    text["variants"][2]["status"] = "diverged"
    (tmp_path / "result.json").write_text(json.dumps(text))
    code, out, _ = ask("--baseline", "unigram", "--result", tmp_path, texts=made.fresh["low/r0"][:4])
    assert code == 0
    assert "it takes three classes or more" in out
    text["variants"][1]["status"] = "diverged"
    (tmp_path / "result.json").write_text(json.dumps(text))
    code, _, err = ask("--result", tmp_path, texts=["a"])
    assert code == 2
    assert "fewer than two instances" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--result", "nowhere"], ["no results at 'nowhere'"]),
        (["--result", "."], ["no result in ."]),
        (["--target", "modle"], ["unknown target 'modle'", "instance"]),
        (["--baseline", "unigrm"], ["unknown baseline 'unigrm'", "did you mean: unigram"]),
        (["--baseline", "fast"], ["--baseline fast names", "name one"]),
        (["--store", "nowhere"], ["no store at nowhere", "natfp-bench run --task rate --preset smoke"]),
        (["--text-column", "body"], ["no column 'body' (columns: text)"]),
        (["none.txt"], ["no file 'none.txt'"]),
    ],
)
def test_wrong_input_gets_one_message(ask: Any, tmp_path: Path, arguments: list[str], said: list[str]) -> None:
    code, out, err = ask(*arguments, texts=["a text"])
    assert code == 2
    assert out == ""
    assert "Traceback" not in err
    for part in said:
        assert part in err
    assert [path.name for path in tmp_path.iterdir()] == ["given.jsonl"]


def test_several_results_are_one_too_many(ask: Any, made: Made, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "both" / name).mkdir(parents=True)
        shutil.copy(made.folder / "result.json", tmp_path / "both" / name)
    code, _, err = ask("--result", "both", texts=["a text"])
    assert code == 2
    assert "both holds 2 results" in err
    assert "both/b/result.json" in err


def test_predictions_that_are_gone(ask: Any, made: Made, tmp_path: Path) -> None:
    shutil.copy(made.folder / "result.json", tmp_path)
    code, _, err = ask("--result", tmp_path, texts=["a text"])
    assert code == 2
    assert "predictions.parquet: missing or damaged" in err
    assert "--baseline NAME" in err
    table = pq.read_table(made.folder / "predictions.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "predictions.parquet")
    assert "answers for 3 classes by" in ask("--result", tmp_path, texts=["a text"])[2]


def test_texts_that_are_gone_name_the_command_that_makes_them(
    bench: Any, made: Made, tmp_path: Path, natfp: Call
) -> None:
    store = tmp_path / "store"
    shutil.copytree(bench.store, store, ignore=shutil.ignore_patterns("model", "corpus"))
    shutil.rmtree(store / "sample")
    (tmp_path / "a.txt").write_text("a text")
    where = ("--result", made.folder, "--store", store, "--include-path", made.include)
    code, _, err = natfp("identify", *where, "a.txt")
    assert code == 2
    assert "the texts of low/r0, middle/r0, high/r0 are not in the store" in err
    assert "natfp-bench run --task rate --preset smoke --set" in err
    assert f"--limit {KNOWN}   makes them again" in err
    assert f"not in the store {store}" in err


def test_a_task_that_has_changed_is_told(made: Made, bench: Any, tmp_path: Path) -> None:
    (tmp_path / "rate.yaml").write_text((made.include / "rate.yaml").read_text().replace("x0.25", "x0.5"))
    with pytest.raises(UserError, match="the task rate"):
        identify.open_source(made.folder, "instance", bench.store, include=[tmp_path])


@pytest.mark.slow
def test_a_result_on_fixed_texts(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are put into any store; nothing is trained, and no store need be there."""
    from natfp_bench.attributors import registry
    from natfp_bench.results.unlabelled_texts import GivenText

    monkeypatch.setattr(fixed_texts, "PRESET", "smoke")
    monkeypatch.setattr(fixed_texts, "TEXTS", 60)
    monkeypatch.setattr(resources, "fixed_texts", lambda: tmp_path / "fixed")
    small_fixed_texts.write(bench, tmp_path / "fixed", ["seed_id"])
    (baseline,) = registry.find("naive_bayes")
    options = {"store": Store(tmp_path / "one"), "engine": bench.engine, "output": tmp_path / "out", "device": "cpu"}
    result, folder = run_plan(fixed_texts.make_fixed_plan("seed_id"), [baseline], **options)
    source = identify.open_source(folder, "instance", tmp_path / "another")
    found = identify.identify(source, baseline, [GivenText("a.txt", None, "a")], bench.engine, lambda _: None)
    assert len(found.classes) == len(result.variants)
    changed = result.model_copy(update={"fixed_texts": "0" * 64})
    (tmp_path / "result.json").write_text(changed.to_json())
    assert results.read(tmp_path / "result.json") == changed
    with pytest.raises(UserError, match="the task seed_id"):
        identify.open_source(tmp_path / "result.json", "instance", tmp_path / "another")


def test_prints_p_values() -> None:
    assert [identify_cli.p_value(p) for p in (1.0, 0.05, 0.0123, 0.00012)] == ["1.000", "0.050", "0.012", "0.0001"]
