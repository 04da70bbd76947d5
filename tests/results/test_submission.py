"""A classifier's way in: a folder to begin with, scores on fixed texts, the rank, and what is compared."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_fixed_texts import write as write_texts
from written_baselines import FATAL, write

from natfp_bench.attributors import registry, sandbox
from natfp_bench.attributors.new_baseline import new_baseline
from natfp_bench.base import resources
from natfp_bench.base.errors import AttributorError, UserError
from natfp_bench.pipeline import bundled_texts as fixed_texts
from natfp_bench.pipeline.store import Store
from natfp_bench.results import submission
from natfp_bench.results.submission import Submission

Natfp = Callable[..., tuple[int, str, str]]

OFF = ("--sandbox", "off")
"""Submissions are scored in a sandbox, which not every machine has, and which takes its time."""


@pytest.fixture(scope="module")
def texts(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fixed texts of the smallest models."""
    folder = tmp_path_factory.mktemp("fixed")
    write_texts(bench, folder)
    return folder


@pytest.fixture
def shipped(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let them stand in the place of those that ship."""
    monkeypatch.setattr(fixed_texts, "PRESET", "smoke")
    monkeypatch.setattr(fixed_texts, "TEXTS", 60)
    monkeypatch.setattr(resources, "fixed_texts", lambda: texts)


@pytest.fixture
def scored(bench: Any, shipped: None) -> Any:
    """Score a baseline on both tasks."""

    def score(baseline: registry.Baseline) -> Submission:
        found = submission.score_on_fixed_texts(
            baseline,
            submission.tasks_with_texts(),
            Store(bench.store),
            bench.engine,
            bench.output,
            lambda _: None,
            "off",
        )
        return submission.submission(baseline, [result for result, _ in found])

    return score


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Bundled baselines of which none has scores yet."""
    folder = tmp_path / "bundled"
    for name in ("majority", "naive_bayes", "unigram"):
        shutil.copytree(resources.baselines() / name, folder / name)
        (folder / name / "results.json").unlink(missing_ok=True)
    monkeypatch.setattr(resources, "baselines", lambda: folder)
    return folder


@pytest.mark.slow
def test_a_new_folder_is_checked_submitted_compared_and_ranked(
    shipped: None, bundle: Path, bench: Any, scored: Any, tmp_path: Path, natfp: Natfp
) -> None:
    for name in ("majority", "naive_bayes"):
        submission.write(scored(registry.read(bundle / name)), bundle / name)
    code, out, _ = natfp("baseline", "new", "my_words")
    assert code == 0
    assert "natfp-bench baseline check my_words" in out
    digest = registry.read(Path("my_words")).digest

    submit = ("baseline", "submit", "my_words", "--store", bench.store, "-o", "results", "--workers", "1", *OFF)
    code, out, _ = natfp(*submit, "--summary", "summary.md")
    assert code == 0
    # Six unseen runs are too few for ranks.
    found = re.search(r"my_words would take rank \d on seen runs, of 3", out)
    assert found
    assert "unigram (no results.json)" in out
    made = submission.read(tmp_path / "my_words" / "results.json")
    assert (made.name, made.version, made.digest) == ("my_words", "1", digest)
    assert registry.read(Path("my_words")).digest == digest, "scores are no part of the code"
    assert list(made.scores) == ["lr_id", "seed_id"]
    known = fixed_texts.read_manifest(resources.fixed_texts()).tasks
    assert {task: score.texts for task, score in made.scores.items()} == {task: of.digest for task, of in known.items()}
    assert made.packages["numpy"][0].isdigit()
    assert not made.sandboxed
    assert f"### {found[0]}" in Path("summary.md").read_text()
    code, out, _ = natfp("leaderboard", "results")
    assert code == 0
    assert "my_words" in out

    code, out, err = natfp(*submit, "--compare", "my_words/results.json", "--format", "md")
    assert code == 0
    assert "has the same scores" in err
    assert "| lr_id | " in out
    assert f"### {found[0]}" in out

    better = made.scores["lr_id"].model_dump()
    better["unseen"]["accuracy"]["value"] += 0.02
    claimed = made.model_dump() | {"scores": made.model_dump()["scores"] | {"lr_id": better}}
    Path("claimed.json").write_text(json.dumps(claimed))
    before = Path("my_words/results.json").read_bytes()
    code, out, err = natfp(*submit, "--compare", "claimed.json", "--json")
    assert code == 1
    assert err.count("error:") == 1
    assert "lr_id, unseen models: accuracy is" in err
    assert json.loads(out)["submission"]["digest"] == digest
    assert Path("my_words/results.json").read_bytes() == before

    # Whatever tasks a claim names, all are scored.
    few = made.model_dump() | {"scores": {"lr_id": made.model_dump()["scores"]["lr_id"]}}
    Path("few.json").write_text(json.dumps(few))
    code, _, err = natfp(*submit, "--compare", "few.json")
    assert code == 1
    assert "tasks: lr_id, seed_id, but submitted: lr_id" in err

    assert natfp(*submit, "--task", "seed_id")[0] == 0
    assert Path("my_words/results.json").read_bytes() == before, "the scores on the other task stay"


def test_scores_on_other_tasks_stay_if_the_code_is_the_same(shipped: None, scored: Any, bundle: Path) -> None:
    found, path = registry.read(bundle / "majority"), bundle / "majority" / "results.json"
    made = scored(found)
    assert submission.kept_scores(found, ["lr_id"]) == {}
    path.touch()
    assert submission.kept_scores(found, ["lr_id"]) == {}, "an empty file holds nothing"
    submission.write(made, path.parent)
    assert submission.kept_scores(found, ["lr_id"]) == {"seed_id": made.scores["seed_id"]}
    submission.write(made.model_copy(update={"digest": "0" * 64}), path.parent)
    assert submission.kept_scores(found, ["lr_id", "seed_id"]) == {}
    with pytest.raises(UserError, match="of other code, which cannot stay beside new ones: seed_id"):
        submission.kept_scores(found, ["lr_id"])
    for content in ("{}", '{"learning rate": 0.1}', "notes"):
        path.write_text(content)
        with pytest.raises(UserError, match="it would be overwritten"):
            submission.kept_scores(found, ["lr_id", "seed_id"])
        assert path.read_text() == content


def test_who_fails_a_check_is_not_scored(tmp_path: Path, natfp: Natfp, shipped: None) -> None:
    folder = write(tmp_path, FATAL.format(act="raise ValueError('no')"))
    code, _, err = natfp("baseline", "submit", folder, "-o", "results", *OFF)
    assert code == 1
    assert "mine fails the check run: raised ValueError: no" in err
    assert not (folder / "results.json").exists()
    assert not list((tmp_path / "results").iterdir()), "only tried"


def test_who_fails_on_the_fixed_texts_has_no_scores(scored: Any, tmp_path: Path) -> None:
    folder = write(tmp_path, FATAL.format(act="raise ValueError('no')"))
    with pytest.raises(AttributorError, match=r"mine failed on lr_id: .*fit raised ValueError: no"):
        scored(registry.read(folder))


def test_ranks_and_who_is_left_out(scored: Any, bundle: Path) -> None:
    baselines = {name: registry.read(bundle / name) for name in ("majority", "naive_bayes", "unigram")}
    made = {name: scored(baseline) for name, baseline in baselines.items()}
    for name in ("majority", "naive_bayes"):
        submission.write(made[name], bundle / name)
    found = submission.ranking(made["unigram"], list(baselines.values()))
    assert found.tasks == ("lr_id", "seed_id")
    assert found.left_out == {}
    for place in found.places:
        lr, seed = (made[place.name].scores[task] for task in ("lr_id", "seed_id"))
        assert place.unseen.identifiability.value == pytest.approx(lr.unseen.identifiability.value)
        both = (lr.seen.identifiability.value + seed.seen.identifiability.value) / 2
        assert place.seen.identifiability.value == pytest.approx(both)
        assert (place.unseen.tasks, place.seen.tasks) == (1, 2)
    assert [of.name for of in found.places][-1] == "majority"
    assert found.places[-1].seen.identifiability.value == pytest.approx(0.0, abs=1e-12)

    def changed(**update: Any) -> dict[str, str]:
        submission.write(made["naive_bayes"].model_copy(update=update), bundle / "naive_bayes")
        ranked = submission.ranking(made["unigram"], list(baselines.values()))
        assert {of.name for of in ranked.places} == {"majority", "unigram"}
        return ranked.left_out

    (bundle / "naive_bayes" / "results.json").write_text("{}")
    ranked = submission.ranking(made["unigram"], list(baselines.values()))
    assert ranked.left_out == {"naive_bayes": "its results.json cannot be read"}
    scores = made["naive_bayes"].scores
    others = scores["seed_id"].model_copy(update={"texts": "0" * 64})
    assert changed(digest="0" * 64) == {"naive_bayes": "its scores are from other code"}
    assert changed(scores={"lr_id": scores["lr_id"]}) == {"naive_bayes": "no scores for seed_id"}
    assert changed(scores=scores | {"seed_id": others}) == {"naive_bayes": "its scores are for other texts"}
    controls = {name: score.model_copy(update={"control": True}) for name, score in scores.items()}
    assert submission.ranking(made["unigram"].model_copy(update={"scores": controls}), ()).places == ()


def test_what_differs_from_a_claim(scored: Any, bundle: Path) -> None:
    made = scored(registry.read(bundle / "naive_bayes"))
    assert submission.differences(made, made) == []
    lr = made.scores["lr_id"]

    def claim(**update: Any) -> list[str]:
        return submission.differences(made, made.model_copy(update=update))

    def moved(by: float) -> Any:
        bits = lr.seen.bits.model_copy(update={"value": lr.seen.bits.value + by})
        return {**made.scores, "lr_id": lr.model_copy(update={"seen": lr.seen.model_copy(update={"bits": bits})})}

    assert claim(scores=moved(0.009)) == []
    [said] = claim(scores=moved(-0.011))
    assert said.startswith("lr_id, seen models: bits is ")
    assert claim(digest="x") == [f"digest of the code: {made.digest}, but submitted: x"]
    assert claim(scores={"lr_id": lr}) == ["tasks: lr_id, seed_id, but submitted: lr_id"]
    other = {**made.scores, "lr_id": lr.model_copy(update={"texts": "x"})}
    assert claim(scores=other) == ["lr_id: the submitted scores are for other texts"]
    assert claim(packages={"numpy": "1"}) == [], "the versions are for those who wonder"


def test_results_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with pytest.raises(UserError, match=r"cannot be read.*\n.*baseline submit writes it"):
        submission.read(path)
    for content in (b"{", b"\xff", b'{"schema": 2}'):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"results\.json: damaged"):
            submission.read(path)


@pytest.mark.parametrize("name", ["../up", "/abs", "a/b", ".", "", "My", "1st", "two words", "a-b", "x" * 65, "é"])
def test_a_name_that_is_none_writes_nothing(name: str, tmp_path: Path, natfp: Natfp) -> None:
    (tmp_path / "inner").mkdir()
    code, _, err = natfp("baseline", "new", name, "-o", "inner")
    assert code == 2
    assert "is no plain name" in err
    assert [path.name for path in tmp_path.rglob("*")] == ["inner"]


def test_names_and_folders_that_are_taken(tmp_path: Path, natfp: Natfp) -> None:
    (tmp_path / "mine").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    for name, folder, said in (
        ("mine", ".", "mine exists"),
        ("unigram", ".", "already"),
        ("fast", ".", "is reserved"),
        ("yours", "file", "cannot be written"),
    ):
        code, _, err = natfp("baseline", "new", name, "-o", folder)
        assert code == 2
        assert said in err
    assert natfp("baseline", "new", "yours", "-o", "far/off")[0] == 0
    assert registry.read(tmp_path / "far" / "off" / "yours").name == "yours"


def test_a_task_without_fixed_texts(
    shipped: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, natfp: Natfp
) -> None:
    code, _, err = natfp("baseline", "submit", "majority", "--task", "lr_idd", *OFF)
    assert code == 2
    assert "did you mean: lr_id" in err
    monkeypatch.setattr(resources, "fixed_texts", lambda: tmp_path / "none")
    code, _, err = natfp("baseline", "submit", "majority", *OFF)
    assert code == 2
    assert "no fixed texts" in err


CONTRIBUTING = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text()


def walk() -> list[str]:
    """The commands by which CONTRIBUTING.md leads through a new classifier."""
    section = CONTRIBUTING.split("## A new classifier")[1].split("\n## ")[0]
    return [line for block in re.findall(r"```console\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]


def test_contributing_shows_the_code_that_new_writes(tmp_path: Path) -> None:
    code = (new_baseline("my_words", tmp_path) / "baseline.py").read_text()
    shown = re.search(r"```python\n(def build.*?)```", CONTRIBUTING, re.DOTALL)
    assert shown
    assert [line for line in shown[1].splitlines() if line not in code.splitlines()] == []


FEW_TASKS = f"""\
#!{sys.executable}
from natfp_bench.results import submission

every = submission.tasks_with_texts
submission.tasks_with_texts = lambda names=(): every(names or ("optimizer_id", "seed_id"))

if __name__ == "__main__":
    from natfp_bench.cli.main import main

    main()
"""
"""The command `natfp-bench`, but if no task is named, two are submitted: all together take minutes in a sandbox."""


@pytest.mark.slow
@pytest.mark.skipif(sandbox.missing() is not None, reason="submissions need a sandbox")
def test_contributing_walked_literally_ends_on_the_leaderboard(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "natfp-bench"
    program.write_text(FEW_TASKS)
    program.chmod(0o755)
    # The commands stand beside the interpreter, as in an activated environment.
    paths = os.pathsep.join([str(program.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": paths, "NATFP_STORE": str(tmp_path / "store")}
    said = {}
    for command in walk():
        done = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        said[command] = done.stdout
    assert next(iter(said)) == "natfp-bench baseline new my_words"
    assert "my_words" in said["natfp-bench leaderboard"]
    assert re.search(
        r"my_words would take rank \d on unseen runs.*, of \d", said["natfp-bench baseline submit my_words"]
    )
    made = submission.read(tmp_path / "my_words" / "results.json")
    assert (made.name, made.sandboxed) == ("my_words", True)
    assert list(made.scores) == ["optimizer_id", "seed_id"]
