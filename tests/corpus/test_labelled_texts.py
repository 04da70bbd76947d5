"""Labelled texts from files: formats, faults, copies, equal numbers of texts, and whole runs with them."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from natfp_bench.base.errors import UserError
from natfp_bench.corpus import labelled_texts as texts
from natfp_bench.corpus.plan_from_texts import plan_from_texts
from natfp_bench.pipeline import result_files as results
from natfp_bench.plan.fields import MAX_LEVELS
from natfp_bench.plan.text_settings import TextsSpec

Natfp = Callable[..., tuple[int, str, str]]

ROWS = [
    {"model": f"m{i % 2}", "answer": f"text {i}, with a comma\nand a line", "prompt": f"p{i // 4}"} for i in range(40)
]
COLUMNS = {"text": "answer", "label": "model", "group": "prompt"}


def given(*paths: Path | str, **columns: str) -> TextsSpec:
    return TextsSpec(paths=tuple(map(str, paths)), **columns)


def jsonl(path: Path, rows: Sequence[dict[str, Any]] = ROWS) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    return path


def zipped(path: Path) -> None:
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, ROWS)).encode()))


def separated(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(ROWS[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(ROWS)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.jsonl", jsonl),
        ("a.jsonl.gz", zipped),
        ("a.parquet", lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path)),
        ("a.csv", separated),
        ("a.tsv", separated),
        ("a.json", lambda path: path.write_text(json.dumps(ROWS))),
    ],
)
def test_tables_of_every_kind_are_read_alike(tmp_path: Path, name: str, make: Callable[[Path], Any]) -> None:
    make(tmp_path / name)
    found = texts.read(given(tmp_path / name, **COLUMNS), 4)
    assert found.texts == [row["answer"] for row in ROWS]
    assert found.labels == [row["model"] for row in ROWS]
    assert found.prompts == [i // 4 for i in range(40)]


def test_answers_by_model_in_one_file_or_in_one_each(tmp_path: Path) -> None:
    by_model = {m: [{"prompt": "p", "response": f"{m} {i}"} for i in range(3)] for m in ("x", "y")}
    (tmp_path / "all.json").write_text(json.dumps(by_model))
    for m, answers in by_model.items():
        (tmp_path / f"{m}.json").write_text(json.dumps(answers))
    whole = texts.read(given(tmp_path / "all.json"), 4)
    parts = texts.read(given(*(tmp_path / f"{m}.json" for m in by_model)), 4)
    assert whole == parts
    assert whole.texts == ["x 0", "x 1", "x 2", "y 0", "y 1", "y 2"]
    assert whole.labels == ["x"] * 3 + ["y"] * 3


def test_plain_text_and_folders(tmp_path: Path) -> None:
    for label in ("ann", "bob"):
        (tmp_path / "each" / label).mkdir(parents=True)
        for i in range(3):
            (tmp_path / "each" / label / f"{i}.txt").write_text(f"{label} {i}\n\nsecond part")
        (tmp_path / f"{label}.txt").write_text(f"{label} 0\r\n\r\n{label} 1\r\nstill\r\n \r\n{label} 2")
    each = texts.read(given(tmp_path / "each"), 4)
    assert Counter(each.labels) == {"ann": 3, "bob": 3}
    assert each.texts[0] == "ann 0\n\nsecond part"
    parted = texts.read(given(tmp_path / "ann.txt", f"robert={tmp_path / 'bob.txt'}"), 4)
    assert parted.texts == ["ann 0", "ann 1\nstill", "ann 2", "bob 0", "bob 1\nstill", "bob 2"]
    assert set(parted.labels) == {"ann", "robert"}


def test_copies_of_training_texts_leave_the_test_and_are_counted(tmp_path: Path) -> None:
    rows = [{"label": "ab"[i % 2], "text": f"text {i}"} for i in range(40)]
    # Text 3 of each label is for testing. That of `a` is also a training text, with other spaces; that of `b` is not.
    rows[6]["text"] = " text   2 "
    rows[7]["text"] = rows[15]["text"] = "twice, and both times for testing"
    found = texts.read(given(jsonl(tmp_path / "x.jsonl", rows)), 4)
    assert found.copies == 1
    assert len(found.texts) == 39
    assert found.texts.count("twice, and both times for testing") == 2
    assert found.sides(4) == {"a": (15, 4), "b": (15, 5)}
    assert texts.balanced(found.sides(4), 4) == 16
    assert texts.balanced(found.sides(4), 4, limit=11) == 8


WRITTEN = [(f"{label} {i}", label) for i in range(20) for label in ("ann", "bob")]

EMPTY: dict[str, list[Any]] = {"json": ["", " \n", None, float("nan")], "csv": ["", "  ", "\n"]}
"""Texts that count as empty, by the kind of file that can hold them."""


def as_file(path: Path, rows: Sequence[tuple[Any, Any]]) -> Path:
    """Write rows of text and label."""
    records = [{"text": text, "label": label} for text, label in rows]
    if path.suffix == ".jsonl":
        return jsonl(path, records)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["text", "label"])
            writer.writeheader()
            writer.writerows(records)
    return path


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.parquet"])
@pytest.mark.parametrize("labelled", [True, False])
def test_empty_and_missing_texts_are_left_out_and_counted(tmp_path: Path, name: str, labelled: bool) -> None:
    """Spreadsheets end in rows of empty cells, which have no label either."""
    empty = ["", None] if name == "x.parquet" else EMPTY["csv" if name == "x.csv" else "json"]
    nothing = [(text, "ann" if labelled else "") for text in empty]
    found = texts.read(given(as_file(tmp_path / name, [*WRITTEN[:9], *nothing, *WRITTEN[9:]])), 4)
    assert list(zip(found.texts, found.labels, strict=True)) == WRITTEN
    assert found.empty.total() == len(empty)
    assert found.removals(4) == (f"{len(empty)} of {40 + len(empty)} texts are empty; they were left out",)


@pytest.mark.parametrize("label", [None, float("nan"), "", " "])
@pytest.mark.parametrize("column", ["label", "group"])
def test_a_text_without_a_label_or_group_is_refused(tmp_path: Path, label: Any, column: str) -> None:
    rows = [{"text": text, "label": of, "group": text} for text, of in WRITTEN]
    rows[3][column] = label
    with pytest.raises(UserError, match=rf"x.jsonl:4: '{column}' is (missing|empty)"):
        plan_from_texts(given(jsonl(tmp_path / "x.jsonl", rows), group="group"))


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_a_label_of_empty_texts_alone_is_not_dropped(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"label 'carl' has 0 texts .*\n  1 of 41 texts are empty"):
        plan_from_texts(given(as_file(tmp_path / name, [*WRITTEN, ("", "carl")])))


def by_label(folder: Path) -> Path:
    """Write one folder per label, with one file per text."""
    for text, label in WRITTEN:
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / label / f"{text}.txt").write_text(text)
    return folder


def test_an_empty_file_among_those_of_a_label_is_an_empty_text(tmp_path: Path) -> None:
    folder = by_label(tmp_path / "x")
    (folder / "ann" / "empty.txt").write_text("")
    (folder / "bob" / "packed.txt.gz").write_bytes(gzip.compress(b""))
    found = texts.read(given(folder), 4)
    assert Counter(found.labels) == {"ann": 20, "bob": 20}
    assert found.empty == {"ann": 1, "bob": 1}


def test_files_below_the_folder_of_a_label_are_refused_and_hidden_ones_left_alone(tmp_path: Path) -> None:
    folder = by_label(tmp_path / "x")
    for hidden in (".git", "ann/.checkpoints"):
        (folder / hidden).mkdir()
        (folder / hidden / "copy.txt").write_text("not a text")
    assert sorted(texts.read(given(folder), 4).texts) == sorted(text for text, _ in WRITTEN)
    (folder / "ann" / "old").mkdir()
    (folder / "ann" / "old" / "more.txt").write_text("whose?")
    with pytest.raises(UserError, match=r"ann/old/more.txt: a folder in the folder of a label"):
        texts.read(given(folder), 4)


def test_too_few_texts_are_explained_by_what_was_removed(tmp_path: Path) -> None:
    rows = [(f"always {label}", label) for label in ("ann", "bob")] * 100
    with pytest.raises(UserError, match=r"0 for testing\n  50 test texts are also among the training texts") as caught:
        plan_from_texts(given(as_file(tmp_path / "x.jsonl", rows)))
    assert "take at least 8 texts" in str(caught.value)


@pytest.mark.parametrize("number", [MAX_LEVELS, MAX_LEVELS + 1, 1_500])
def test_the_number_of_labels_has_a_limit(tmp_path: Path, number: int) -> None:
    rows = [(f"text {i} of {label}", label) for label in range(number) for i in range(8)]
    spec = given(as_file(tmp_path / "x.jsonl", rows))
    if number <= MAX_LEVELS:
        assert len(plan_from_texts(spec).variants) == number
        return
    with pytest.raises(
        UserError, match=rf"x.jsonl: {number:,} labels found, at most {MAX_LEVELS} are allowed\n  --label"
    ):
        plan_from_texts(spec)


def test_what_was_removed_is_printed_before_and_during_a_run(natfp: Natfp, tmp_path: Path) -> None:
    """A label may be any text, and its line breaks do not break lines."""
    rows = [(text if i != 6 else "ann 2", f"{label}\nof old") for i, (text, label) in enumerate(WRITTEN * 2)]
    as_file(tmp_path / "x.jsonl", [*rows, ("", "bob\nof old"), (None, None)])
    options = ("texts", "x.jsonl", "--preset", "smoke", "--baseline", "majority", "--workers", "1")
    options = (*options, "--store", "store", "-o", "out")
    _, out, _ = natfp(*options, "--dry-run")
    assert "note: 2 of 82 texts are empty; they were left out" in out
    assert "test texts are also among the training texts" in out
    assert ": ann\\nof old, bob\\nof old\n" in out
    _, out, err = natfp(*options)
    assert "warning: texts_x: 2 of 82 texts are empty; they were left out" in err
    assert "texts_x: find, 2 jobs in " in err
    assert not any(line.startswith("of old") for line in (out + err).splitlines())


def test_every_label_has_equally_many_texts_on_both_sides(tmp_path: Path) -> None:
    rows = [{"label": label, "text": f"{label[0]} {i}"} for label, n in (("few", 30), ("many", 90)) for i in range(n)]
    spec = given(jsonl(tmp_path / "x.jsonl", rows))
    plan = plan_from_texts(spec)
    assert plan.texts == 28
    texts.prepare(spec, 4, tmp_path)
    for label in ("few", "many"):
        part = texts.select(tmp_path, label, plan.texts, 4, 0)
        prompts = part["prompt"].to_numpy()
        assert len(part) == len(set(part["row"].to_pylist())) == 28
        assert (prompts % 4 == 3).sum() == 7
        assert all(text[0] == label[0] for text in part["text"].to_pylist())
    chosen = [texts.select(tmp_path, "many", 28, 4, seed)["row"].to_pylist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize(
    ("content", "columns", "said"),
    [
        (b'{"text": "a"}\n', {}, r"x.jsonl:1: no column 'label' \(columns: text\)\n.*--label-column"),
        (b'{"a": "a", "b": 1}\n', {"text": "body", "group": "g"}, r"no column 'body' and no column 'label' and no"),
        (b'{"text": 3, "label": "a"}\n', {}, "'text' must be a text"),
        (b"{not json}\n", {}, "x.jsonl:1: not a JSON object"),
        (b"[1]\n", {}, "x.jsonl:1: not a JSON object"),
        ('{"text": "gr\xfcn", "label": "a"}\n'.encode("latin-1"), {}, r"not UTF-8 text \(byte 0xfc at 12\)"),
        (b'{"text": "\\ud800", "label": "a"}\n', {}, "half a surrogate pair"),
        (b'{"text": "one", "label": "a"}\n' * 30, {}, "at least two labels are needed, found: a"),
        (b'{"text": "a", "label": null}\n', {}, "x.jsonl:1: 'label' is missing"),
        (b'{"text": "a", "label": {"a": 1}}\n', {}, "x.jsonl:1: 'label' must be a text, not of the type dict"),
        (b'{"text": "a", "label": " "}\n', {}, "x.jsonl:1: 'label' is empty"),
        (b'{"text": "a", "label": "\\ud800"}\n', {}, "x.jsonl:1: .*half a surrogate pair"),
        (b'{"text": "a", "label": "b", "of": null}\n', {"group": "of"}, "x.jsonl:1: 'of' is missing"),
        (b"", {}, "x.jsonl: the file is empty"),
        (b"\n", {}, "at least two labels are needed, found: none"),
        (b'{"text": "x", "label": "a"}\n{"text": "y", "label": "b"}\n', {}, r"label 'a' has 1 texts for training"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, content: bytes, columns: dict[str, str], said: str) -> None:
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=said):
        plan_from_texts(given(tmp_path / "x.jsonl", **columns))


def test_paths_that_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.docx").write_text("?")
    (tmp_path / "x.parquet").write_text("?")
    for name, said in [
        ("none.jsonl", "no file"),
        ("empty", "the folder is empty"),
        ("x.docx", "the format is unknown"),
        ("x.parquet", "not a Parquet file, or damaged"),
    ]:
        with pytest.raises(UserError, match=said):
            plan_from_texts(given(tmp_path / name))


def test_a_file_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """The name would be a label, and part of a key."""
    path = os.fsdecode(os.fsencode(tmp_path / "x") + b"\xff.txt")
    try:
        Path(path).write_text("one\n\nother\n")
    except OSError:
        pytest.skip("this file system does not allow such a name")
    with pytest.raises(UserError, match=r"its name is not UTF-8"):
        texts.read(given(tmp_path), 4)


def test_labels_may_be_numbers(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", [{"text": f"t {i}", "label": i % 2} for i in range(9)])
    assert set(texts.read(given(path), 4).labels) == {"0", "1"}


def test_halves_of_one_file_cannot_be_distinguished(natfp: Natfp, prose: Path, tmp_path: Path) -> None:
    documents = prose.read_text().split("\n\n")
    order = np.random.default_rng(0).permutation(len(documents))
    for name, part in (("one", order[::2]), ("other", order[1::2])):
        (tmp_path / f"{name}.txt").write_text("\n\n".join(documents[i] for i in part))
    code, out, err = natfp(
        *("texts", "one.txt", "other.txt", "--baseline", "majority,naive_bayes"),
        *("--preset", "smoke", "--limit", "400", "--workers", "1", "--store", "store", "-o", "out"),
    )
    assert code == 0, err
    (path,) = results.find([tmp_path / "out"])
    result = results.read(path)
    assert result.task.name == "texts_one"
    assert result.corpus.name == "texts:one.txt,other.txt"
    assert {score.attributor.name for score in result.scores} == {"majority", "naive_bayes"}
    assert all(score.log10_p is not None and score.log10_p > -3 for score in result.scores)
    assert "which label of 2?" in re.sub(r"\s+", " ", out)


def test_authors_are_identified_and_copies_cause_a_warning(natfp: Natfp, tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    words = {"[red]ann": ["sea", "salt", "boat", "wind"], "bob": ["hill", "stone", "goat", "wind"]}
    rows = [
        {"who": w, "body": " ".join(draw.choice(v, 12)), "of": str(i % 40)}
        for w, v in words.items()
        for i in range(160)
    ]
    rows += [dict(rows[0], of="3"), dict(rows[1], of="7"), *[dict(rows[2], body=" ")] * 3]
    jsonl(tmp_path / "data.jsonl", rows)
    columns = ("--text-column", "body", "--label-column", "who", "--group-column", "of")
    options = ("--preset", "smoke", "--workers", "1", "--store", "store", "-o", "out", "--baseline", "naive_bayes")
    code, out, err = natfp("texts", "data.jsonl", *columns, *options)
    assert code == 0, err
    assert "which who of " in out
    assert not re.search("train|model", (out + err).replace("training texts", "").replace("no model was trained", ""))
    assert "warning: texts_data: 2 test texts are also among the training texts" in " ".join(err.split())
    assert "[red]ann" in natfp("show", "out", "--details")[1]
    (path,) = results.find([tmp_path / "out"])
    assert (results.read(path).corpus.copies, results.read(path).corpus.empty) == (2, 3)
    (score,) = [one for one in results.read(path).scores if one.attributor.name == "naive_bayes"]
    assert score.metrics["accuracy"].value > 0.9
    (tmp_path / "ask.txt").write_text(" ".join(draw.choice(words["[red]ann"], 12)))
    asked = ("--result", "out", "--baseline", "naive_bayes", "--store", "store", "--workers", "1", "--json")
    code, out, err = natfp("identify", *asked, "ask.txt")
    assert code == 0, err
    assert json.loads(out)["texts"][0]["most_likely"] == "[red]ann/r0"
    code, out, err = natfp("texts", "data.jsonl", *columns, *options, "--dry-run")
    assert code == 0, err
    assert "texts:data.jsonl" in out
    assert "trained" not in out
    assert "variant" not in out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--task", "seed_id"), "No such option: --task"),
        (("--set", "optimizer.lr=1"), "--set optimizer.lr changes nothing"),
        (("--limit", "3"), "--limit 3 leaves too few texts"),
    ],
)
def test_options_that_make_no_sense_with_texts(natfp: Natfp, tmp_path: Path, more: Any, said: str) -> None:
    jsonl(tmp_path / "x.jsonl", [{"label": "ab"[i % 2], "text": f"text {i}"} for i in range(80)])
    code, _, err = natfp("texts", "x.jsonl", *more)
    assert (code, said in " ".join(err.split())) == (2, True), err


DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="needs texts of Shakespeare and of the presidents")
def test_shakespeare_against_the_presidents(natfp: Natfp, tmp_path: Path) -> None:
    files = [str(DATA / f"{name}.txt") for name in ("shakespeare", "presidential")]
    options = ("--limit", "600", "--store", "store", "-o", "out", "--baseline", "naive_bayes,ngram_lm")
    code, _, err = natfp("texts", *files, *options)
    assert code == 0, err
    (path,) = results.find([tmp_path / "out"])
    found = results.read(path)
    assert all(score.metrics["accuracy"].value > 0.98 for score in found.scores)
    assert found.study.wording is not None
