"""Questions for lm-eval: which texts they show and ask about, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import yaml
from exported_texts import asked, with_hostile, written

from natfp_bench.base.errors import UserError
from natfp_bench.results import lm_eval_export
from natfp_bench.results.export import Exported


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
    assert len(all_) == exported.predictions.test_texts(exported.result).num_rows
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
    assert f" --include_path '{folder}' " in (folder / "README.md").read_text(), "quoted for a shell"


def test_too_many_shots_and_too_few_texts_are_refused(held_out: Exported, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--shots 10000 is more than the [0-9]+ training texts of a class"):
        written(held_out, tmp_path / "a", shots=10_000)
    with pytest.raises(UserError, match=r"--limit 2 leaves a replicate without texts\n.* 3 or more"):
        written(held_out, tmp_path / "b", limit=2)


def test_more_classes_than_letters_are_refused(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval_export, "LETTERS", "AB")
    with pytest.raises(UserError, match=r"4 classes are more than the 2 letters\n  --format datasets"):
        lm_eval_export.choose(exported, 5)
