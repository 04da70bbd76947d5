"""Fixed texts: what is installed says what a run with training says, and nothing of it is trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small_fixed_texts import TASKS, run_of, small, write

from natfp_bench.attributors import registry
from natfp_bench.base import resources
from natfp_bench.base.errors import UserError
from natfp_bench.pipeline import bundled_texts as fixed_texts
from natfp_bench.pipeline.run import run_plan
from natfp_bench.pipeline.store import Store, entries
from natfp_bench.plan import task_files as spec
from natfp_bench.report import leaderboard_tables
from natfp_bench.results import export
from natfp_bench.results.leaderboard import leaderboards

FILES = ("texts.parquet", "heldout.parquet", "likelihoods.parquet", "manifest.json")

LARGEST = 15_000_000
"""Bytes that the fixed texts may take."""


@pytest.fixture(scope="module")
def trained(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder of fixed texts, and the results of the runs with training that it was made from, by task."""
    folder = tmp_path_factory.mktemp("fixed")
    write(bench, folder)
    options = {"store": Store(bench.store), "engine": bench.engine, "output": bench.output, "device": "cpu"}
    asked = registry.find("naive_bayes")
    return folder, {task: run_plan(run_of(bench, task).plan, asked, **options)[0] for task in TASKS}


@pytest.fixture
def shipped(trained: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the folder, in the place of the one that ships."""
    folder = tmp_path / "fixed"
    shutil.copytree(trained[0], folder)
    monkeypatch.setattr(resources, "fixed_texts", lambda: folder)
    with small():
        yield folder


def figures(score: Any) -> dict[str, float]:
    return {name: found.value for name, found in score.metrics.items()}


def test_a_run_on_fixed_texts_says_what_the_run_with_training_said(
    bench: Any, trained: tuple[Path, dict[str, Any]], shipped: Path, tmp_path: Path
) -> None:
    for task, expected in trained[1].items():
        events: list[Any] = []
        found, folder = run_plan(
            fixed_texts.make_fixed_plan(task),
            registry.find("naive_bayes"),
            store=Store(tmp_path / "store"),
            engine=bench.engine,
            output=tmp_path / "results",
            device="cpu",
            watch=events.append,
        )
        assert {event.job.stage for event in events} == {"attribute"}
        levels = [score for score in expected.scores if score.target == "level"]
        for score, other in zip(found.scores, levels, strict=True):
            # Log-likelihoods are kept as float32, and the ceiling has a part in `extraction`.
            assert score.extraction == (other.extraction and pytest.approx(other.extraction, abs=1e-3))
            assert figures(score) == pytest.approx(figures(other), abs=1e-3)
            if score.attributor.access == "text":
                assert score.model_copy(update={"extraction": other.extraction}) == other
        assert [of.heldout_bits_per_byte for of in found.variants] == [
            of.heldout_bits_per_byte for of in expected.variants
        ]
        assert (found.study.gaps, found.study.curves, found.study.failed) == (expected.study.gaps, (), {})
        of_both = [(one.samples.mean_tokens, one.samples.ended) for one in (found, expected)]
        assert of_both[0] == of_both[1]
        assert found.fixed_texts == fixed_texts.read_manifest(shipped).tasks[task].digest
        assert found.protocol_digest != expected.protocol_digest
        assert not found.failures
        assert pq.read_table(folder / "predictions.parquet").num_rows > 0
    assert not Store(tmp_path / "store").verify()
    (standing,) = leaderboards(sorted((tmp_path / "results").rglob("result.json"))).standings
    assert standing.setting.fixed_texts
    first, *_ = leaderboard_tables.standing_tables(standing)
    assert "fixed texts, which rank attributors, not factors" in first.title
    assert leaderboard_tables.setting_title(standing.setting) == "fixed texts, smoke, chronicle, 60 texts per variant"


def test_a_result_on_fixed_texts_is_exported_from_them(bench: Any, shipped: Path, tmp_path: Path) -> None:
    plan, asked = fixed_texts.make_fixed_plan("seed_id"), registry.find("majority")
    options = {"store": Store(tmp_path / "store"), "engine": bench.engine, "output": tmp_path, "device": "cpu"}
    _, folder = run_plan(plan, asked, **options)
    found = export.gather(folder / "result.json", Store(tmp_path / "another"))
    sources = {of.name: of.source for of in fixed_texts.read_manifest(shipped).tasks["seed_id"].variants}
    known = {(row["source"], row["row"]): row for row in pq.read_table(shipped / "texts.parquet").to_pylist()}
    assert len(found.texts) == 4 * 60
    for row in found.texts.to_pylist():
        own = known[sources[row["variant"]], row["row"]]
        assert (row["text"], row["prompt"]) == (own["text"], own["prompt"])
    data = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**data, "fixed_texts": "0" * 64}))
    said = r"the fixed texts of seed_id have changed since this result\n  natfp-bench run --task seed_id --fixed-texts"
    with pytest.raises(UserError, match=said):
        export.gather(folder / "result.json", Store(tmp_path / "another"))


def test_texts_that_tasks_share_are_stored_once(trained: tuple[Path, dict[str, Any]]) -> None:
    manifest = fixed_texts.read_manifest(trained[0])
    sources = [variant.source for task in manifest.tasks.values() for variant in task.variants]
    table = pq.read_table(trained[0] / "texts.parquet")
    assert len(set(sources)) < len(sources)
    assert sorted(set(sources)) == sorted(set(table["source"].to_pylist()))
    assert len(table) == 60 * len(set(sources))


def test_writing_again_gives_the_same_bytes(bench: Any, trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    write(bench, tmp_path)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (trained[0] / name).read_bytes()


def test_another_task_has_no_fixed_texts(shipped: Path) -> None:
    with pytest.raises(UserError, match=r"task 'init_seed_id' has no fixed texts\n  with fixed texts: .*seed_id"):
        fixed_texts.make_fixed_plan("init_seed_id")
    with pytest.raises(UserError, match=r"unknown task 'sed_id'\n  did you mean: seed_id"):
        fixed_texts.make_fixed_plan("sed_id")


def test_a_recipe_that_has_changed_since_is_refused(shipped: Path) -> None:
    fixed_texts.read_manifest.cache_clear()
    data = json.loads((shipped / "manifest.json").read_text())
    data["tasks"]["lr_id"]["asked"] = "0"
    (shipped / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match=r"the fixed texts of lr_id .* has changed since"):
        fixed_texts.make_fixed_plan("lr_id")


@pytest.mark.parametrize("name", FILES)
def test_damage_is_named(shipped: Path, name: str) -> None:
    (shipped / name).write_bytes(b"{}")
    with pytest.raises(UserError, match=rf"{name}: (changed since it was written|damaged)"):
        fixed_texts.make_fixed_plan("lr_id")


def test_missing_texts_are_named(shipped: Path) -> None:
    shutil.rmtree(shipped)
    with pytest.raises(UserError, match=r"no fixed texts in .*\n  natfp-bench run without --fixed-texts trains"):
        fixed_texts.make_fixed_plan("lr_id")


@pytest.mark.parametrize(
    "option", ["--preset=smoke", "--set=optimizer.lr=1", "--corpus=chronicle", "--seed=1", "--limit=100", "--limit=0"]
)
def test_what_would_change_the_texts_is_refused(natfp: Any, option: str) -> None:
    code, _, err = natfp("run", "--fixed-texts", "--task", "seed_id", option)
    assert code == 2
    assert f"{option.split('=')[0]} cannot be combined with --fixed-texts" in err


def test_installed_entries_are_found_again(shipped: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    plan = fixed_texts.make_fixed_plan("seed_id")
    assert fixed_texts.install(plan, store) == fixed_texts.install(plan, store)
    assert {entry.kind for entry in entries(store.root)} == {"corpus", "model", "sample", "score"}


# What ships.


def test_fixed_texts_are_of_the_recipes_as_they_are() -> None:
    """A task may have no fixed texts; classifiers are then not ranked on it."""
    tasks = fixed_texts.read_manifest(resources.fixed_texts()).tasks
    assert set(tasks) <= set(spec.trained_tasks())
    assert len(tasks) >= 26
    for task in tasks:
        assert fixed_texts.make_fixed_plan(task).fixed_texts, task


def test_what_ships_is_small_and_whole() -> None:
    folder = resources.fixed_texts()
    assert sum((folder / name).stat().st_size for name in fixed_texts.read_manifest(folder).files) <= LARGEST
    manifest = fixed_texts.read_manifest(folder)
    table = pq.read_table(folder / "texts.parquet", columns=["source"])
    sources = {variant.source for task in manifest.tasks.values() for variant in task.variants}
    assert set(table["source"].to_pylist()) == sources
    assert len(table) == fixed_texts.TEXTS * len(sources)
