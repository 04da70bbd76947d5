"""Export: the texts of a result for other tools are those that its attributors had, split as they were."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from exported_texts import asked, with_hostile, written
from fresh_python import loaded_by, python

from natfp_bench.attributors import registry
from natfp_bench.base.errors import UserError
from natfp_bench.corpus.labelled_texts import TextsSpec
from natfp_bench.corpus.plan_from_texts import plan_from_texts
from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.run import run_plan
from natfp_bench.pipeline.stages.sample import read_table
from natfp_bench.pipeline.store import Store
from natfp_bench.pipeline.variants import resolve
from natfp_bench.results import export
from natfp_bench.results import origin as result_texts
from natfp_bench.results.export import Exported


def sampled(bench: Any) -> dict[str, list[str]]:
    """Texts of each variant's sample set, found by planning the run again."""
    plan, store = bench.plan("seed_id"), Store(bench.store)
    found = {}
    for of in resolve(plan):
        found[of.name] = read_table(store, of.samples, plan.texts)["text"].to_pylist()
    return found


def test_texts_are_those_of_the_run_and_split_as_it_split_them(bench: Any, exported: Exported) -> None:
    result, table, written = exported.result, exported.texts, sampled(bench)
    assert Counter(table["variant"].to_pylist()) == {of.name: result.samples.per_variant for of in result.variants}
    for of in result.variants:
        mine = table.filter(pa.array([name == of.name for name in table["variant"].to_pylist()]))
        assert mine["text"].to_pylist() == written[of.name]
        assert set(mine["label"].to_pylist()) == {of.level}
    tested = {(p["variant"], p["row"]) for p in exported.predictions.table.to_pylist()}
    split = {(row["variant"], row["row"]): row["split"] for row in table.to_pylist()}
    assert {at for at, name in split.items() if name == "test"} == tested
    prompts: dict[str, set[int]] = {"train": set(), "test": set()}
    for row in table.to_pylist():
        prompts[row["split"]].add(row["prompt"])
    assert not prompts["train"] & prompts["test"]


def test_replicates_stand_beside_the_texts(held_out: Exported) -> None:
    rows = held_out.texts.to_pylist()
    assert {row["variant"] for row in rows} == {f"{row['label']}/r{row['replicate']}" for row in rows}
    counts = Counter((row["split"], row["replicate"]) for row in rows)
    assert {split: len({n for (of, _), n in counts.items() if of == split}) for split in ("train", "test")} == {
        "train": 1,
        "test": 1,
    }


def test_where_tokenizers_differ_texts_are_cut_as_attributors_saw_them(exported: Exported) -> None:
    (of, *_), table = exported.result.variants, pa.table({"text": ["né" * 9, ""], "row": [0, 1], "prompt": [0, 1]})
    part = export._part(of, table, {1}, 8)
    assert part["text"].to_pylist() == ["nénén", ""]
    assert part["split"].to_pylist() == ["train", "test"]


def test_csv_reads_back_whatever_the_texts(exported: Exported, tmp_path: Path) -> None:
    for number, what in enumerate((exported, with_hostile(exported))):
        folder = export.make_folder(tmp_path / str(number))
        export.write_csv(what, folder)
        with (folder / "texts.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        numbers = ("replicate", "prompt", "row")
        assert [{**row, **{name: int(row[name]) for name in numbers}} for row in rows] == what.texts.to_pylist()
        assert exported.result.protocol_digest in (folder / "README.md").read_text()


LOAD = """
import json, sys
import datasets
found = datasets.load_dataset(sys.argv[1])
rows = {name: part.to_list() for name, part in found.items()}
print(json.dumps({"rows": rows, "features": {name: str(of) for name, of in found["train"].features.items()}}))
"""


def test_a_data_set_loads_offline(exported: Exported, tmp_path: Path) -> None:
    what = with_hostile(exported)
    folder = export.make_folder(tmp_path / "set")
    export.write_dataset(what, folder)
    found = json.loads(python("-c", LOAD, folder, folder=tmp_path, HF_HOME=str(tmp_path / "hf")))
    expected: dict[str, list[Any]] = {"train": [], "test": []}
    for row in what.texts.to_pylist():
        expected[row.pop("split")].append(row)
    assert found["rows"] == expected
    assert list(found["features"]) == [name for name in export.TEXTS.names if name != "split"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(card.split("---\n")[1])
    assert header["configs"][0]["config_name"] == "default"
    assert "license" not in header
    for told in (what.result.task.digest, what.result.samples.digest, what.result.corpus.digest):
        assert told in card


def test_texts_that_exist_already_are_exported_with_their_labels(bench: Any, tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    words = {"2020-01-01": ["sea", "salt", "boat"], "a b|<c>": ["hill", "stone", "goat"]}
    rows = [{"label": of, "text": " ".join(draw.choice(own, 9))} for of, own in words.items() for _ in range(80)]
    (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
    plan = plan_from_texts(TextsSpec(paths=(str(tmp_path / "x.jsonl"),)), "smoke")
    options = {"store": Store(tmp_path / "store"), "engine": bench.engine, "output": tmp_path, "device": "cpu"}
    result, folder = run_plan(plan, registry.find("majority"), **options)
    found = export.gather(folder / "result.json", options["store"])
    assert {(row["label"], row["text"]) for row in found.texts.to_pylist()} <= {(r["label"], r["text"]) for r in rows}
    assert Counter(found.texts["label"].to_pylist()) == dict.fromkeys(words, plan.texts)
    questions = asked(written(found, tmp_path / "q"))
    assert len(questions) == 10
    assert "2 authors, A and B, wrote" in questions[0]["query"]
    assert result_texts.remake(result) == "natfp-bench texts FILES"


def changed(path: Path, **changes: Any) -> Path:
    """Change the fields of a result."""
    path.write_text(results.read(path).model_copy(update=changes).to_json(), encoding="utf-8")
    return path


@pytest.mark.parametrize("texts", [0, 2**62])
def test_a_number_of_texts_that_cannot_be_is_told(seed_run: Any, bench: Any, copied: Path, texts: int) -> None:
    path = changed(copied, samples=seed_run[0].samples.model_copy(update={"per_variant": texts}))
    with pytest.raises(UserError, match=rf"the result is damaged: {texts} texts per variant"):
        export.gather(path, Store(bench.store))


def test_texts_that_are_gone_name_the_command_that_makes_them(seed_run: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        export.gather(seed_run[1] / "result.json", Store(tmp_path / "empty"))
    first, second = str(caught.value).splitlines()
    names = ", ".join(of.name for of in seed_run[0].variants)
    assert first == f"the texts of {names} are not in the store {tmp_path / 'empty'}"
    assert second.startswith("  natfp-bench run --task seed_id --preset smoke --set 'corpus.name=\"text:")
    assert second.endswith("makes them again; --store names another store")


def test_the_command_is_the_one_that_was_given_or_one_that_does_the_same(seed_run: Any) -> None:
    result = seed_run[0]
    given = result.model_copy(update={"run": result.run.model_copy(update={"command": ("natfp-bench", "run", "a b")})})
    assert result_texts.remake(given) == "natfp-bench run 'a b'"
    fewer = result.samples.model_copy(update={"per_variant": 40})
    other = result.model_copy(update={"overrides": {"optimizer.lr": 0.5}, "seed": 3, "samples": fewer})
    assert result_texts.remake(other) == (
        "natfp-bench run --task seed_id --preset smoke --set optimizer.lr=0.5 --seed 3 --limit 40"
    )
    assert result_texts.remake(other.model_copy(update={"fixed_texts": "0" * 64})) == (
        "natfp-bench run --task seed_id --fixed-texts"
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("run --task seed_id,lr_id --store s -o x", "run --task seed_id --store s -o x"),
        ("run --task=seed_id,lr_id -o x", "run --task seed_id -o x"),
        ("run --tag seeds --tasks lr_id -o x", "run --task seed_id -o x"),
        ("trace --model a --texts b", "trace --model a --texts b"),
    ],
)
def test_the_command_names_the_task_of_the_result_alone(seed_run: Any, given: str, expected: str) -> None:
    run = seed_run[0].run.model_copy(update={"command": ("natfp-bench", *given.split())})
    assert result_texts.remake(seed_run[0].model_copy(update={"run": run})) == f"natfp-bench {expected}"


def test_other_texts_than_the_results_are_refused(bench: Any, copied: Path) -> None:
    samples = results.read(copied).samples
    assert samples
    path = changed(copied, samples=samples.model_copy(update={"digest": "0" * 64}))
    with pytest.raises(UserError, match=r"has other texts than this result\n  natfp-bench run --task seed_id"):
        export.gather(path, Store(bench.store))


def test_a_result_on_a_part_of_the_texts_is_refused(bench: Any, copied: Path) -> None:
    with pytest.raises(UserError, match=r"is about a part of the texts"):
        export.gather(changed(copied, subset=5), Store(bench.store))


def test_settings_of_another_version_are_refused(bench: Any, copied: Path) -> None:
    variants = results.read(copied).variants
    other = [of.model_copy(update={"settings": {**of.settings, "newer": 1}}) for of in variants]
    with pytest.raises(UserError, match=r"settings of another version .*\n  use the version that wrote it"):
        export.gather(changed(copied, variants=tuple(other)), Store(bench.store))


@pytest.fixture
def called(natfp: Callable[..., tuple[int, str, str]], bench: Any) -> Callable[..., tuple[int, str, str]]:
    """Call `export` on the store that the tests share."""
    return lambda *arguments: natfp("export", *arguments, "--store", bench.store)


@pytest.mark.parametrize("format_", ["csv", "datasets", "lm-eval"])
def test_the_command_writes_each_format(called: Any, seed_run: Any, tmp_path: Path, format_: str) -> None:
    code, out, err = called(seed_run[1], "--format", format_, "-o", "made/here")
    assert (code, err) == (0, "")
    assert out.startswith(str(tmp_path / "made" / "here"))
    assert (tmp_path / "made" / "here" / "README.md").is_file()
    if format_ == "lm-eval":
        assert f"lm_eval --model hf --model_args pretrained=NAME --include_path {tmp_path / 'made' / 'here'} " in out
        assert f"natfp-bench import-lm-eval OUTPUT --result {seed_run[1]}" in out
    code, _, err = called(seed_run[1], "--format", format_, "-o", "made/here")
    assert code == 2
    assert f"{tmp_path / 'made' / 'here'} is not empty" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--format", "csv"], "no results at 'nowhere'"),
        (["empty", "--format", "csv"], "no result in empty\n  natfp-bench run --task seed_id   makes one"),
        (["two", "--format", "csv"], "two holds 2 results"),
        (["two/a", "--format", "xml"], "unknown format 'xml'"),
        (["two/a", "--format", "csv", "--limit", "5"], "--limit and --shots need --format lm-eval"),
        (["two/a", "--format", "datasets", "--shots", "5"], "--limit and --shots need --format lm-eval"),
        (
            ["two/a", "--format", "csv", "-o", "file"],
            "file is not writable: a file or a broken link is where a folder should be",
        ),
    ],
)
def test_wrong_input_gets_one_message(
    called: Any, seed_run: Any, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name in ("a", "b"):
        shutil.copytree(seed_run[1], tmp_path / "two" / name)
    where = [] if "-o" in arguments else ["-o", "made"]
    code, out, err = called(*arguments, *where)
    assert (code, out) == (2, "")
    assert said in err
    assert not (tmp_path / "made").exists()


def test_the_command_loads_no_machine_learning(seed_run: Any, bench: Any, tmp_path: Path) -> None:
    options = ["--format", "lm-eval", "-o", tmp_path / "made", "--store", bench.store]
    assert loaded_by("export", seed_run[1], *options, folder=tmp_path) == []
