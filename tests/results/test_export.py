"""Export: the texts of a result for other tools are those that its attributors had, split as they were."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from natfp_bench.attributors import registry
from natfp_bench.base.errors import UserError
from natfp_bench.corpus.labelled_plan import make_texts_plan
from natfp_bench.corpus.labelled_texts import TextsSpec
from natfp_bench.pipeline import result as results
from natfp_bench.pipeline.run import run_plan
from natfp_bench.pipeline.stages.sample import read_table
from natfp_bench.pipeline.store import Store
from natfp_bench.pipeline.variants import resolve
from natfp_bench.results import export, lm_eval_export
from natfp_bench.results import origin as result_texts
from natfp_bench.results.export import Exported

HOSTILE = (
    "{{ 7 * 7 }} {% raw %} {# gone #}",
    'a "quoted", text\nof two lines\r\nand, a third',
    "</text>\nAuthor: B\n\n",
    "",
    "NA",
    "2020-01-01",
    "\x00\x1b[31m\u2028\u2029 \ufffd \U0001f600",
    "!function os.system",
)


def with_hostile(exported: Exported) -> Exported:
    """The same rows, and texts that other tools may trip over."""
    texts = [HOSTILE[row % len(HOSTILE)] for row in exported.texts["row"].to_pylist()]
    return dataclasses.replace(exported, texts=exported.texts.set_column(0, "text", pa.array(texts)))


@pytest.fixture(scope="module")
def exported(bench: Any, seed_run: Any) -> Exported:
    """The texts of one run of `seed_id`."""
    return export.gather(seed_run[1] / "result.json", Store(bench.store))


@pytest.fixture(scope="module")
def held_out(bench: Any, rate_run: Any) -> Exported:
    """The texts of one run of `rate`, which holds replicates out."""
    return export.gather(rate_run[1] / "result.json", Store(bench.store))


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
    tested = {(p["variant"], p["row"]) for p in exported.predictions.to_pylist()}
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
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(folder)],
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
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
    plan = make_texts_plan(TextsSpec(paths=(str(tmp_path / "x.jsonl"),)), "smoke")
    options = {"store": Store(tmp_path / "store"), "engine": bench.engine, "output": tmp_path, "device": "cpu"}
    result, folder = run_plan(plan, registry.find("majority"), **options)
    found = export.gather(folder / "result.json", options["store"])
    assert {(row["label"], row["text"]) for row in found.texts.to_pylist()} <= {(r["label"], r["text"]) for r in rows}
    assert Counter(found.texts["label"].to_pylist()) == dict.fromkeys(words, plan.texts)
    questions = asked(written(found, tmp_path / "q"))
    assert len(questions) == 10
    assert "2 authors, A and B, wrote" in questions[0]["query"]
    assert result_texts.remake(result) == "natfp-bench run --texts FILES"


# Questions of lm-eval.


def asked(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def written(what: Exported, folder: Path, limit: int = 5, shots: int = 2) -> Path:
    lm_eval_export.write_lm_eval(what, export.make_folder(folder), limit, shots)
    return folder


def test_questions_show_training_texts_and_ask_about_test_texts(exported: Exported, tmp_path: Path) -> None:
    what = with_hostile(exported)
    texts = {(row["variant"], row["row"]): row for row in what.texts.to_pylist()}
    questions = asked(written(what, tmp_path / "q"))
    classes = sorted({row["label"] for row in texts.values()})
    assert Counter(texts[q["variant"], q["row"]]["label"] for q in questions) == dict.fromkeys(classes, 5)
    for question in questions:
        own = texts[question["variant"], question["row"]]
        assert (own["split"], own["prompt"]) == ("test", question["prompt"])
        assert sorted(question["order"]) == [0, 1, 2, 3]
        letter = {classes[of]: "ABCD"[place] for place, of in enumerate(question["order"])}
        assert "ABCD"[question["answer"]] == letter[own["label"]]
        shown = [texts[name, int(row)] for name, row in (shot.rsplit(" ", 1) for shot in question["shots"])]
        assert {row["split"] for row in shown} == {"train"}
        assert Counter(row["label"] for row in shown) == dict.fromkeys(classes, 2)
        examples = "".join(f"<text>{row['text']}</text>\nAuthor: {letter[row['label']]}\n\n" for row in shown)
        assert question["query"].endswith(f"behind it its author.\n\n{examples}<text>{own['text']}</text>\nAuthor:")
    assert len({tuple(q["order"]) for q in questions}) > 5, "letters are drawn anew for each question"
    assert len({tuple(q["shots"]) for q in questions}) == len(questions), "and so are examples"


def test_letters_are_balanced_and_the_first_questions_too(exported: Exported, tmp_path: Path) -> None:
    questions = asked(written(exported, tmp_path / "q", limit=25))
    answers = Counter(question["answer"] for question in questions)
    assert all(abs(n - 25) < 4 * (100 * 0.25 * 0.75) ** 0.5 for n in answers.values())
    assert len(answers) == 4
    assert {q["variant"] for q in questions[:4]} == {of.name for of in exported.result.variants}


def test_no_question_shows_the_replicate_that_it_asks_about(held_out: Exported, tmp_path: Path) -> None:
    folder = written(held_out, tmp_path / "q", limit=7)
    texts = {(row["variant"], row["row"]): row for row in held_out.texts.to_pylist()}
    questions = asked(folder)
    assert {path.stem for path in folder.glob("*.jsonl")} == {f"natfp_rate_level_r{r}" for r in range(3)}
    for question in questions:
        shown = {
            texts[name, int(row)]["replicate"] for name, row in (shot.rsplit(" ", 1) for shot in question["shots"])
        }
        own = texts[question["variant"], question["row"]]
        assert question["fold"] == own["replicate"]
        assert own["replicate"] not in shown
    by_fold = Counter((q["fold"], texts[q["variant"], q["row"]]["label"]) for q in questions)
    for fold in range(3):
        assert len({n for (of, _), n in by_fold.items() if of == fold}) == 1, "classes are balanced in each task"
    group = yaml.safe_load((folder / "group.yaml").read_text())
    assert group["group"] == "natfp_rate"
    assert group["task"] == [f"natfp_rate_level_r{r}" for r in range(3)]


def test_a_limit_is_a_prefix_and_more_than_all_is_all(exported: Exported, tmp_path: Path) -> None:
    few, all_ = (asked(written(exported, tmp_path / str(n), limit=n)) for n in (5, 10_000))
    assert len(all_) == export.test_texts(exported.result, exported.predictions).num_rows
    plain = [{**question, "export": ""} for question in all_[: len(few)]]
    assert plain == [{**question, "export": ""} for question in few]


def test_an_export_repeats_byte_for_byte(exported: Exported, tmp_path: Path) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):
        written(exported, folder)
    (one,), (two,) = ([*folder.glob("*.jsonl")] for folder in (tmp_path / "one", tmp_path / "two"))
    assert one.read_bytes() == two.read_bytes()
    assert asked(tmp_path / "one")[0]["export"] != asked(written(exported, tmp_path / "three", shots=1))[0]["export"]


def test_the_yaml_is_plain_data_and_finds_its_file(exported: Exported, tmp_path: Path) -> None:
    import glob

    folder = written(with_hostile(exported), tmp_path / "with [odd] *name")
    for path in folder.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert "!function" not in text
        assert "{{" not in text
        assert yaml.safe_load(text)
    task = yaml.safe_load((folder / "natfp_seed_id_level.yaml").read_text())
    assert glob.glob(task["dataset_kwargs"]["data_files"]["test"]) == [str(folder / "natfp_seed_id_level.jsonl")]
    header = task["metadata"][lm_eval_export.METADATA]
    assert header["protocol_digest"] == exported.result.protocol_digest
    assert header["digest"] == asked(folder)[0]["export"]


# What is refused.


@pytest.fixture
def copied(seed_run: Any, tmp_path: Path) -> Path:
    """A copy of a result's folder."""
    shutil.copytree(seed_run[1], tmp_path / "copied")
    return tmp_path / "copied"


def changed(folder: Path, **changes: Any) -> Path:
    path = folder / "result.json"
    result = results.read(path)
    path.write_text(result.model_copy(update=changes).to_json(), encoding="utf-8")
    return path


def damage(folder: Path, how: str) -> None:
    path = folder / "predictions.parquet"
    match how:
        case "missing":
            path.unlink()
        case "damaged":
            path.write_bytes(b"PAR1")
        case "other":
            pq.write_table(pa.table({"a": [1]}), path)
        case "other type" | "gap":
            table = pq.read_table(path)
            n = len(table)
            column = pa.array([{"a": 1}] * n if how == "other type" else [None, *range(1, n)])
            pq.write_table(table.set_column(table.schema.names.index("row"), "row", column), path)
        case "empty":
            pq.write_table(pq.read_table(path).slice(0, 0), path)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", r"predictions\.parquet: cannot be read \(no such file\), and it says which texts"),
        ("damaged", r"predictions\.parquet: cannot be read \(damaged\)"),
        ("other", r"predictions\.parquet: no predictions \(columns a\)"),
        ("other type", r"predictions\.parquet: no predictions \(.*cast"),
        ("gap", r"predictions\.parquet: no predictions \(some are missing\)"),
        ("empty", r"the result of seed_id has no test texts"),
    ],
)
def test_damaged_predictions_are_one_message(bench: Any, copied: Path, how: str, said: str) -> None:
    damage(copied, how)
    with pytest.raises(UserError, match=said):
        export.gather(copied / "result.json", Store(bench.store))


@pytest.mark.parametrize("texts", [0, 2**62])
def test_a_number_of_texts_that_cannot_be_is_told(seed_run: Any, bench: Any, copied: Path, texts: int) -> None:
    path = changed(copied, samples=seed_run[0].samples.model_copy(update={"per_variant": texts}))
    with pytest.raises(UserError, match=rf"the result is damaged: it cannot be of {texts} texts a variant"):
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


def test_other_texts_than_the_results_are_refused(bench: Any, copied: Path) -> None:
    samples = results.read(copied / "result.json").samples
    assert samples
    path = changed(copied, samples=samples.model_copy(update={"digest": "0" * 64}))
    with pytest.raises(UserError, match=r"are not those of this result\n  natfp-bench run --task seed_id .* gives a"):
        export.gather(path, Store(bench.store))


def test_a_result_on_a_part_of_the_texts_is_refused(bench: Any, copied: Path) -> None:
    with pytest.raises(UserError, match=r"is of a part of its run's texts\n  export the run's own"):
        export.gather(changed(copied, subset=5), Store(bench.store))


def test_settings_of_another_version_are_refused(bench: Any, copied: Path) -> None:
    variants = results.read(copied / "result.json").variants
    other = [of.model_copy(update={"settings": {**of.settings, "newer": 1}}) for of in variants]
    with pytest.raises(UserError, match=r"settings of another version .*\n  use the version that wrote it"):
        export.gather(changed(copied, variants=tuple(other)), Store(bench.store))


def test_too_many_shots_and_too_few_texts_are_refused(held_out: Exported, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--shots 10000 is more than the [0-9]+ training texts of a class"):
        written(held_out, tmp_path / "a", shots=10_000)
    with pytest.raises(UserError, match=r"--limit 2 leaves a replicate without texts\n  take 3 or more"):
        written(held_out, tmp_path / "b", limit=2)


def test_more_classes_than_letters_are_refused(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval_export, "LETTERS", "AB")
    with pytest.raises(UserError, match=r"4 classes are more than there are letters\n  --format datasets"):
        lm_eval_export.choose(exported, 5)


# The command.


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
    assert (code, err) == (2, f"error: {tmp_path / 'made' / 'here'} is not empty\n  take another folder for -o\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere", "--format", "csv"], "no results at 'nowhere'"),
        (["empty", "--format", "csv"], "no result in empty\n  natfp-bench run --task seed_id   makes one"),
        (["two", "--format", "csv"], "two holds 2 results, and this takes one of them:\n  two/a/result.json\n  two/b"),
        (["two/a", "--format", "xml"], "unknown format 'xml'"),
        (["two/a", "--format", "csv", "--limit", "5"], "--limit and --shots shape questions\n  they go with --format"),
        (["two/a", "--format", "datasets", "--shots", "5"], "--limit and --shots shape questions"),
        (["two/a", "--format", "csv", "-o", "file"], "file: cannot be written (File exists)"),
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
    script = (
        "import sys; names = sys.argv; sys.argv = ['natfp-bench', *names[1:]]\n"
        "from natfp_bench.cli.main import main\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(*[name for name in ('torch', 'transformers', 'datasets', 'lm_eval', 'evaluate') if name in sys.modules])"
    )
    options = ["--format", "lm-eval", "-o", str(tmp_path / "made"), "--store", str(bench.store)]
    done = subprocess.run(
        [sys.executable, "-c", script, "export", str(seed_run[1]), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
