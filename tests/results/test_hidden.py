"""Hidden texts on the smallest models: what follows from a secret, what is published, and who is found out."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small_fixed_texts import write as write_texts
from written_baselines import plant

from natfp_bench.attributors import registry
from natfp_bench.base import resources
from natfp_bench.base.errors import UserError
from natfp_bench.pipeline import bundled_texts
from natfp_bench.pipeline.store import Store
from natfp_bench.results import hidden
from natfp_bench.results.hidden import Secret, Workshop
from natfp_bench.statistics.intervals import Interval

Natfp = Callable[..., tuple[int, str, str]]

SECRET, OTHER = Secret("ab" * 32), Secret("cd" * 32)

TASKS = ("lr_id", "seed_id")


@pytest.fixture(scope="module")
def small(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Public and hidden texts of the smallest models."""
    folder = tmp_path_factory.mktemp("fixed")
    write_texts(bench, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundled_texts, "PRESET", "smoke")
        patch.setattr(bundled_texts, "TEXTS", 60)
        patch.setattr(resources, "fixed_texts", lambda: folder)
        yield folder


@pytest.fixture
def at(bench: Any) -> Workshop:
    return Workshop(Store(bench.store), bench.engine, bench.events.append, "cpu")


KNOWS = """
import hashlib
import numpy as np
PUBLIC = {public!r}
class Knows:
    def fit(self, texts, labels):
        self.classes_ = np.unique(labels)
        return self
    def predict_proba(self, texts):
        found = np.ones((len(texts), len(self.classes_)))
        for row, text in enumerate(texts):
            for label in PUBLIC.get(hashlib.sha256(text.encode()).hexdigest()[:12], ()):
                if label in self.classes_:
                    found[row, list(self.classes_).index(label)] = 50
        return found / found.sum(axis=1, keepdims=True)
def build(seed):
    return Knows()
"""


def test_everything_follows_from_the_secret_and_from_nothing_else() -> None:
    plans = [hidden.make_hidden_plan("lr_id", secret) for secret in (SECRET, SECRET, OTHER)]
    assert plans[0] == plans[1]
    assert len({plan.seed for plan in (*plans, bundled_texts.make_fixed_plan("lr_id"))}) == 3
    assert SECRET.text not in SECRET.digest
    assert str(SECRET.seed) not in SECRET.text


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_scores_are_those_of_other_models_and_sealed(at: Workshop, tmp_path: Path) -> None:
    baselines = [registry.find(name)[0] for name in ("naive_bayes", "majority")]
    made = hidden.score(baselines, SECRET, TASKS, at, tmp_path / "results", sandbox="off")
    assert hidden.score(baselines, SECRET, TASKS, at, tmp_path / "again", sandbox="off") == made
    other = hidden.score(baselines[:1], OTHER, TASKS, at, tmp_path / "other", sandbox="off")
    mine, majority = made.scores["naive_bayes"], made.scores["majority"]
    assert list(mine.tasks) == list(TASKS)
    assert mine.tasks["lr_id"].texts != other.scores["naive_bayes"].tasks["lr_id"].texts
    assert mine.unseen is not None
    assert mine.seen.value > 0.1 > majority.seen.value
    assert (mine.suspicions, majority.suspicions, majority.canaries) == ((), (), None)
    assert mine.canaries is not None
    assert mine.canaries.asked == 2 * hidden.CANARIES
    # What is published says nothing of texts, and nobody can change it unseen.
    path = hidden.write(made, tmp_path / "published")
    assert hidden.read(path) == made
    assert "text" not in {key for score in json.loads(path.read_text())["scores"].values() for key in score}
    assert SECRET.text not in path.read_text()
    assert made.sealed_by(SECRET)
    assert not made.sealed_by(OTHER)
    better = mine.model_copy(update={"seen": Interval(value=1.0, low=1, high=1, method="t", units="m", n_units=3)})
    assert not made.model_copy(update={"scores": {"naive_bayes": better}}).sealed_by(SECRET)
    path.write_text("{}")
    with pytest.raises(UserError, match="not a file of hidden scores"):
        hidden.read(path)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_who_knows_public_labels_is_found_out(at: Workshop, small: Path, tmp_path: Path) -> None:
    """A table of public texts in the classifier's own folder: no sandbox can hold that back."""
    import hashlib

    manifest = bundled_texts.read_manifest(small)
    label: dict[str, list[str]] = {}
    for of in (of for task in TASKS for of in manifest.tasks[task].variants):
        label.setdefault(of.source, []).append(of.name.rpartition("/r")[0])
    rows = pq.read_table(small / "texts.parquet", columns=["source", "text"]).to_pylist()
    public = {hashlib.sha256(row["text"].encode()).hexdigest()[:12]: label[row["source"]] for row in rows}
    cheat = registry.read(Path(plant(tmp_path, "knows", KNOWS.format(public=public))))
    found = hidden.score([cheat], SECRET, TASKS, at, tmp_path / "results", sandbox="off").scores["knows"]
    assert found.canaries is not None
    assert found.canaries.true == found.canaries.asked
    assert any("it knows public labels: 16 of 16 canaries" in why for why in found.suspicions)
    assert found.seen.value < 0.2, "it knows nothing of hidden texts"


def test_tasks_share_models_and_no_text() -> None:
    """The default recipe is a level of most tasks."""
    streams = {
        task: hidden.make_hidden_plan(task, SECRET).variants[0].settings.sampling.stream for task in hidden.TASKS
    }
    assert len(set(streams.values())) == len(streams)
    lr, batch = (hidden.make_hidden_plan(task, SECRET) for task in ("lr_id", "batch_size_id"))
    recipes = [{variant.settings.recipe.model_dump_json() for variant in plan.variants} for plan in (lr, batch)]
    assert recipes[0] & recipes[1]
    assert {variant.settings.sampling.draw.model_dump_json() for variant in lr.variants} != {
        variant.settings.sampling.draw.model_dump_json() for variant in batch.variants
    }


def test_canaries_have_wrong_labels_and_are_drawn_by_the_secret() -> None:
    plan = hidden.make_hidden_plan("lr_id", SECRET)
    chosen = hidden.canaries_of(plan, SECRET)
    assert len(chosen) == hidden.CANARIES
    assert all(one.shown != one.public for one in chosen)
    assert {one.shown for one in chosen} <= {variant.level for variant in plan.variants}
    assert hidden.canaries_of(plan, SECRET) == chosen
    assert hidden.canaries_of(plan, OTHER) != chosen


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_the_commands(natfp: Natfp, bench: Any, tmp_path: Path) -> None:
    where = ("--store", bench.store, "--workers", "1", "--task", "seed_id")
    code, _, err = natfp("hidden", "score", "unigram", "--secret", "mine", "--sandbox", "off", *where)
    assert (code, "natfp-bench hidden make --secret mine" in err) == (2, True)
    code, out, _ = natfp("hidden", "make", "--secret", "mine", *where)
    assert code == 0
    secret = hidden.read_secret(Path("mine"))
    assert secret.digest in out
    assert secret.text not in out
    assert stat.S_IMODE(Path("mine").stat().st_mode) == 0o600

    options = ("--secret", "mine", "--sandbox", "off", *where)
    code, out, err = natfp("hidden", "score", "unigram", "majority", *options, "-o", "scores")
    assert code == 0, err
    assert secret.digest[:12] in out
    assert [path.name for path in Path("scores").iterdir()] == ["hidden.json"]
    assert natfp("hidden", "check", "scores/hidden.json", "--secret", "mine")[0] == 0
    board = natfp("hidden", "board", "scores/hidden.json")[1]
    assert board in out
    assert natfp("hidden", "board", "scores/hidden.json", "--format", "md", "-o", "board.md")[0] == 0
    page = Path("board.md").read_text()
    assert "| attributor | hidden, unseen runs | hidden, seen runs | public, unseen runs | public, seen runs |" in page
    assert all(f"| {name} |" in page for name in ("unigram", "majority"))
    code, _, err = natfp("hidden", "board", "scores/hidden.json", "-o", "board.md")
    assert (code, "add --format md" in err) == (2, True)

    code, out, _ = natfp("hidden", "rotate", "--secret", "mine", *where)
    assert code == 0
    (place,) = Path("published").iterdir()
    assert hidden.read_secret(place / "secret.txt") == secret
    table = pq.read_table(place / "texts.parquet")
    assert table.schema.names == ["task", "variant", "level", "row", "prompt", "text"]
    assert table.num_rows == 4 * 60
    new = hidden.read_secret(Path("mine"))
    assert new != secret
    assert stat.S_IMODE(Path("mine").stat().st_mode) == 0o600
    # Everybody can check the old scores now, and the new secret has not signed them.
    assert natfp("hidden", "check", "scores/hidden.json", "--secret", place / "secret.txt")[0] == 0
    code, _, err = natfp("hidden", "check", "scores/hidden.json", "--secret", "mine")
    assert (code, "was not signed by" in err) == (1, True)


@pytest.mark.parametrize("content", ["", "abc", "AB" * 32, "ab" * 33, "\x00" * 64, "é" * 64])
def test_what_is_no_secret(content: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(content)
    with pytest.raises(UserError, match="no secret; a secret has 64 hexadecimal digits"):
        hidden.read_secret(tmp_path / "secret")


def test_a_secret_is_never_overwritten(tmp_path: Path) -> None:
    made = hidden.new_secret(tmp_path / "secret")
    with pytest.raises(UserError, match="no secret can be written there"):
        hidden.new_secret(tmp_path / "secret")
    assert hidden.read_secret(tmp_path / "secret") == made


@pytest.mark.parametrize(
    ("public", "of_hidden", "above"), [((0.6, 0.02), (0.4, 0.02), True), ((0.41, 0.05), (0.4, 0.05), False)]
)
def test_a_public_score_above_the_hidden_one_is_marked(public: Any, of_hidden: Any, above: bool) -> None:
    from natfp_bench.report import hidden_table

    def around(value: float, half: float) -> Interval:
        return Interval(value=value, low=value - half, high=value + half, method="t", units="models", n_units=9)

    assert hidden_table._above(around(*public), around(*of_hidden)) == above
    assert not hidden_table._above(None, around(*of_hidden))
