"""Curves over the number of training texts: equal to the ordinary run at its own number, and resumed after any kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench import BRIEF, Bench, scores
from patience import PATIENCE

from natfp_bench.attributors import registry
from natfp_bench.base.errors import UserError
from natfp_bench.pipeline import curve_result
from natfp_bench.pipeline.curve import curve_overview, run_curve
from natfp_bench.pipeline.curve_result import CurveResult
from natfp_bench.pipeline.stages.curve import CurvePrediction
from natfp_bench.pipeline.store import Store
from natfp_bench.pipeline.variants import longer, resolve
from natfp_bench.plan.curve import CurvePlan
from natfp_bench.plan.split import is_test

TWO = "naive_bayes,unigram"

Natfp = Callable[..., tuple[int, str, str]]


def curve_of(
    bench: Bench, task: str, texts: Sequence[int], *, baselines: str = TWO, store: Path | None = None, **options: Any
) -> tuple[CurveResult, Path]:
    """Run a curve on the shared corpus; `bench.events` are those of this run."""
    bench.events = []
    watch = options.pop("watch", bench.events.append)
    return run_curve(
        CurvePlan(plan=bench.plan(task, **options), texts=tuple(texts)),
        registry.find(baselines),
        store=Store(store or bench.store),
        engine=bench.engine,
        output=bench.output,
        device="cpu",
        watch=watch,
    )


@pytest.fixture(scope="module")
def seed_curve(bench: Bench, seed_run: Any) -> tuple[CurveResult, Path, list[str]]:
    """A curve of `seed_id` beyond its own 150 training texts, its folder, and the jobs that it started."""
    result, folder = curve_of(bench, "seed_id", [20, 40, 80, 150, 300])
    return result, folder, bench.started()


def test_at_its_own_number_a_curve_is_the_ordinary_run(seed_curve: Any, seed_run: Any) -> None:
    result, ordinary = seed_curve[0], seed_run[0]
    assert (result.protocol_digest, result.own_texts) == (ordinary.protocol_digest, 150)
    known = scores(ordinary)
    for curve in result.curves:
        (point,) = [one for one in curve.points if one.texts == 150]
        score = known[curve.attributor.name]
        assert point.n_train == score.n_train == 600
        assert point.metrics == {name: score.metrics[name] for name in point.metrics}
        assert point.extraction == score.extraction
    assert result.ceiling is not None
    assert result.ceiling.metrics["bits"] == known["ceiling"].metrics["bits"]
    assert result.n_test == known["ceiling"].n_test


def test_what_the_ordinary_run_made_is_not_made_again(seed_curve: Any, seed_run: Any) -> None:
    started = seed_curve[2]
    # 400 rows in blocks of 100, of which the ordinary run has two; five fits of two attributors.
    assert sorted(name for name in started if name.startswith("sample")) == [
        f"sample {of.name} {block}/4" for of in seed_run[0].variants for block in (3, 4)
    ]
    assert sum(name.startswith("attribute by") for name in started) == 10
    assert len(started) == 18


def test_longer_curves_add_what_they_lack_and_nothing_else(bench: Bench, seed_curve: Any) -> None:
    result, _ = curve_of(bench, "seed_id", [20, 80, 450])
    started = bench.started()
    assert sorted(name for name in started if name.startswith("attribute")) == [
        f"attribute by {name}, 450 texts" for name in ("naive_bayes", "unigram")
    ]
    assert len(started) == 2 + 4 * 2, "two blocks of each model"
    before = {one.attributor.name: one.points for one in seed_curve[0].curves}
    for curve in result.curves:
        assert curve.points[:2] == (before[curve.attributor.name][0], before[curve.attributor.name][2])


def test_a_curve_says_what_is_needed(seed_curve: Any) -> None:
    result, folder, _ = seed_curve
    assert result.units == "tenths of the rows"
    for curve in result.curves:
        assert all(len(point.bits_without) == 10 for point in curve.points)
        assert curve.law is not None
        assert curve.law.prediction is not None
        assert curve.law.prediction.at == 300
        assert curve.half is not None
        assert curve.half.height == pytest.approx(result.ceiling.metrics["bits"].value / 2)
    assert curve_result.read(folder / "curve.json").stable_json() == result.stable_json()
    assert curve_result.find([folder, folder / "curve.json", folder / "other"]) == [folder / "curve.json"]


@pytest.mark.slow
def test_training_rows_are_never_test_prompts(bench: Bench) -> None:
    overrides = {**BRIEF, "sampling.prompt_characters": "20", "sampling.max_tokens": "12"}
    result, _ = curve_of(bench, "seed_id", [10, 150], baselines="naive_bayes", overrides=overrides)
    plan = bench.plan("seed_id", overrides=overrides)
    of = resolve(plan)[0]
    curve = CurvePlan(plan=plan, texts=(10, 150))
    store = Store(bench.store)
    stages = longer(of, plan, curve.rows(150))
    shown = CurvePrediction(
        baseline=registry.find("naive_bayes")[0],
        seed=0,
        labels=(of.variant.level,),
        samples=(of.samples,),
        texts=plan.texts,
        split=plan.split,
        cut=None,
        known=(True,),
        further=(stages,),
        learnt=150,
    )
    part = shown.training_texts(store, "a", stages)
    assert len(part.texts) == 150
    assert not is_test(part.prompts, plan.split.test_every).any()
    assert not part.test.any()
    assert len(np.unique(part.prompts)) < 150, "prompts are used in turn"
    assert result.units == "tenths of the prompts"
    with pytest.raises(UserError, match="all there are"):
        CurvePrediction(**{**vars(shown), "learnt": 10_000}).training_texts(store, "a", stages)


def test_on_held_out_replicates_a_curve_is_the_ordinary_run_too(bench: Bench, rate_tasks: Path, rate_run: Any) -> None:
    ordinary = rate_run[0]
    result, _ = curve_of(bench, "rate", [25, 75], baselines="naive_bayes", include=[rate_tasks], overrides=BRIEF)
    assert (result.split, result.units, result.own_texts) == ("unseen_replicate", "replicates", 75)
    (score,) = [
        one
        for one in ordinary.scores
        if (one.attributor.name, one.target, one.split) == ("naive_bayes", "level", "unseen_replicate")
    ]
    (curve,) = result.curves
    assert curve.points[-1].metrics == {name: score.metrics[name] for name in curve.points[-1].metrics}
    assert curve.points[-1].n_train == score.n_train
    assert all(len(point.bits_without) == 3 for point in curve.points)
    assert result.ceiling is not None
    assert (result.ceiling.attributor.name, result.ceiling.split) == ("ceiling", "seen_replicate")
    assert len(result.ceiling.bits_without) == 3


def test_a_reference_given_by_its_folder_is_the_same_protocol(bench: Bench, seed_run: Any, seed_curve: Any) -> None:
    name = bench.plan("seed_id").analysis.reference
    folder = Path(registry.__file__).parents[2] / "baselines" / name
    result, _ = curve_of(bench, "seed_id", [20, 40], overrides={"analysis.reference": str(folder)})
    assert result.protocol_digest == seed_run[0].protocol_digest


def test_a_fit_that_fails_is_named_and_the_others_stay(bench: Bench, seed_run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "shy"
    folder.mkdir()
    majority = Path(registry.__file__).parents[2] / "baselines/majority"
    card = (majority / "card.yaml").read_text(encoding="utf-8").replace("majority", "shy")
    (folder / "card.yaml").write_text(card, encoding="utf-8")
    (folder / "README.md").write_text("# shy\n")
    code = (majority / "baseline.py").read_text(encoding="utf-8")
    (folder / "baseline.py").write_text(
        f"{code}\n\ninner = build\n\n\ndef build(seed):\n    made = inner(seed)\n    fit = made.fit\n\n"
        "    def shy(texts, labels):\n        if len(texts) > 100:\n            raise ValueError('too many')\n"
        "        fit(texts, labels)\n        return made\n\n    made.fit = shy\n    return made\n",
        encoding="utf-8",
    )
    result, _ = curve_of(bench, "seed_id", [20, 40], baselines=f"naive_bayes,{folder}")
    statuses = {one.attributor.name: [point.status for point in one.points] for one in result.curves}
    assert statuses == {"naive_bayes": ["ok", "ok"], "shy": ["ok", "failed"]}
    (failure,) = result.failures
    assert failure.startswith("shy failed with 40 texts: ")
    assert "too many" in failure


@pytest.mark.slow
def test_a_torn_curve_goes_on(bench: Bench, seed_run: Any, seed_curve: Any, tmp_path: Path) -> None:
    shutil.copytree(bench.store, tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "prediction")

    class TornError(Exception):
        pass

    seen: list[Any] = []

    def tear(event: Any) -> None:
        seen.append(event)
        if sum(one.kind == "end" and one.job.stage == "attribute" for one in seen) == 4:
            raise TornError

    with pytest.raises(TornError):
        curve_of(bench, "seed_id", [20, 40, 80, 150, 300], store=tmp_path / "store", watch=tear)
    again, _ = curve_of(bench, "seed_id", [20, 40, 80, 150, 300], store=tmp_path / "store")
    assert 0 < len(bench.started()) < 10
    assert again.stable_json() == seed_curve[0].stable_json()


@pytest.mark.slow
def test_a_killed_curve_goes_on(bench: Bench, seed_curve: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "natfp_bench", "curve", "--task", "seed_id", "-p", "smoke", "--attributors", TWO]
    command += ["--texts", "20,40,80,150,300", "--corpus", f"text:{bench.corpus}", "--workers", "1", "--device", "cpu"]
    command += ["--store", str(tmp_path / "store"), "-o", str(tmp_path / "results")]
    for kind in ("corpus", "model"):  # trainings that are killed have tests of their own, and take long
        shutil.copytree(bench.store / kind, tmp_path / "store" / kind)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    options: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "env": environment}
    for kind, number in (("sample", 9), ("prediction", 3)):
        process = subprocess.Popen(command, start_new_session=True, **options)
        deadline = time.monotonic() + PATIENCE
        while len(list((tmp_path / "store" / kind).glob("*/*"))) < number:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert not list((tmp_path / "results").rglob("curve.json"))
    assert subprocess.run(command, **options, check=False).returncode == 0
    (path,) = (tmp_path / "results").rglob("curve.json")
    assert curve_result.read(path).stable_json() == seed_curve[0].stable_json()
    assert Store(tmp_path / "store").verify() == []


def test_an_overview_counts_what_the_store_lacks(bench: Bench, seed_curve: Any, tmp_path: Path) -> None:
    curve, two = CurvePlan(plan=bench.plan("seed_id"), texts=(20, 3000)), registry.find(TWO)
    found = curve_overview(curve, two, bench.store)
    assert (found.rows, found.fits, found.attributors) == (4000, 4, ("naive_bayes", "unigram"))
    assert found.texts_to_sample <= 4 * (4000 - 400)
    empty = curve_overview(curve, two, tmp_path / "empty")
    assert empty.texts_to_sample == 4 * 4000
    assert empty.disk_bytes - empty.plan.disk_bytes == 4 * (4000 - 200) * 32 * 12
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--texts", "20,x"], "--texts 20,x: 'x' is no number of texts"),
        (["--texts", "40,20"], "each number must be larger"),
        (["--texts", "3,20"], "3 training texts per model are too few"),
        (["--texts", "20,9000000"], "1,000 are allowed"),
        (["--texts", "20,40", "--attributors", "naive_byes"], "naive_bayes"),
        (["--texts", "20,40", "--device", "gpu"], "gpu"),
        (["--texts", "20,40", "--set", "seeds.init=3"], "seed_id varies 'seeds.init'"),
        (["--texts", "20,40", "--workers", "0"], "1 worker or more"),
    ],
)
def test_bad_curves_are_named(natfp: Natfp, options: list[str], said: str) -> None:
    code, out, err = natfp("curve", "--task", "seed_id", "-p", "smoke", "--dry-run", *options)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


def test_the_command_prints_its_answer_and_shows_it_again(
    bench: Bench, seed_curve: Any, natfp: Natfp, tmp_path: Path
) -> None:
    command = ["curve", "--task", "seed_id", "-p", "smoke", "--attributors", TWO, "--corpus", f"text:{bench.corpus}"]
    command += ["--texts", "20,40,80,150,300", "--store", bench.store, "--device", "cpu", "--workers", "1"]
    code, out, err = natfp(*command, "--dry-run")
    assert code == 0, err
    assert "fits: 10, the largest to 300 texts per model" in out
    assert "to sample: 0 texts that the store lacks" in out
    code, out, err = natfp(*command, "-o", tmp_path / "out")
    assert code == 0, err
    first = next(line for line in out.splitlines() if line)
    assert "half of the ceiling's bits" in first
    (path,) = (tmp_path / "out").rglob("curve.json")
    for place in (path, path.parent, tmp_path / "out"):
        code, shown, _ = natfp("show", place)
        assert code == 0
        assert first in shown
    assert natfp("validate", path)[1].endswith("ok (curve of seed_id at smoke)\n")
    code, out, _ = natfp("report", tmp_path / "out", "--figures", tmp_path / "figures")
    assert code == 0
    assert sorted(one.suffix for one in (tmp_path / "figures").glob("curves-seed_id-smoke-*")) == [
        *(".pdf", ".pdf", ".svg", ".svg"),
    ]
    code, out, err = natfp("report", tmp_path / "out", "-o", tmp_path / "site")
    assert (code, out) == (2, "")
    assert "only curves were found, and a site needs a result" in err


def test_damaged_curves_are_refused(natfp: Natfp, seed_curve: Any, tmp_path: Path) -> None:
    text = (seed_curve[1] / "curve.json").read_text()
    (tmp_path / "curve.json").write_text(text.replace('"schema": 1', '"schema": 2'))
    code, _, err = natfp("show", tmp_path / "curve.json")
    assert code == 2
    assert "newer" in err
    (tmp_path / "curve.json").write_text(text.replace('"n_test"', '"n_tests"'))
    assert natfp("show", tmp_path / "curve.json")[0] == 2
    (tmp_path / "curve.json").write_text(text[:100])
    assert "not JSON" in natfp("show", tmp_path / "curve.json")[2]


def test_the_site_has_a_page_of_a_curve(bench: Bench, seed_curve: Any, seed_run: Any) -> None:
    from natfp_bench.report import site

    of = site.read([seed_run[1] / "result.json"], bench.store, [seed_curve[1] / "curve.json"])
    pages = list(site.pages(of, ["index-*", "curves-*"]))
    files = site.render(pages, "natfp-bench report").files
    (path,) = [name for name in files if name.startswith("curves/")]
    assert f'href="{path}"' in files["index.html"]
    assert files[path].count('class="figure"') == 2
    assert "half of the ceiling" in files[path]
    assert 'href="../tasks/seed_id-smoke-' in files[path]
