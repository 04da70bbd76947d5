"""The same tasks on several corpora: one table, and a sentence of what is found on which of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_results import PROMPT, UNSEEN, studied, write_result

from natfp_bench.report import markdown
from natfp_bench.report.corpora_table import carried_over, corpora_tables
from natfp_bench.results.leaderboard import Leaderboards, leaderboards
from natfp_bench.statistics.curves import Permuted
from natfp_bench.statistics.replication import PermutationTest


def at(corpus: str, task: str) -> dict[str, str]:
    return {"corpus__name": corpus, "protocol_digest": f"{task} on {corpus}"}


@pytest.fixture
def found(tmp_path: Path) -> Leaderboards:
    """Two factors on two corpora: one is found on both, the other on the first alone; a third task on seen models."""
    paths = []
    (tmp_path / "more").mkdir()
    for corpus, ps in (("chronicle", (0.001, 0.01)), ("text:a.txt", (0.002, 0.9))):
        (tmp_path / corpus[:4]).mkdir()
        for task, p in zip(("lr_id", "decay_id"), ps, strict=True):
            factor = {"factor__name": task.removesuffix("_id"), **at(corpus, task)}
            study = studied(permutation=permuted(p))
            paths.append(write_result(tmp_path / corpus[:4], task, {UNSEEN: {"bayes": 0.3}}, study=study, **factor))
        seeds = {PROMPT: {"bayes": 0.5, "ceiling": 0.9}}
        paths.append(write_result(tmp_path / corpus[:4], "seed_id", seeds, **at(corpus, "seed_id")))
    paths.append(write_result(tmp_path / "more", "clip_id", {UNSEEN: {"bayes": 0.3}}, **at("chronicle", "clip_id")))
    return leaderboards(paths)


def permuted(p: float) -> Permuted:
    """A permutation test of 1,999 permutations that gave this p."""
    test = PermutationTest(p=p, smallest=0.0005, permutations=1999, exhaustive=False, testable=True)
    return Permuted(test=test, observed=0.4, spread=0.01)


def test_what_is_found_on_both_corpora_and_on_one_alone(found: Leaderboards) -> None:
    (table,) = corpora_tables(found.standings)
    plain_table = table.plain()
    assert [row[0] for row in plain_table.texts] == ["lr_id", "decay_id", "seed_id"]
    assert carried_over(found.standings) == (
        "2 factors are tested on unseen runs of all these corpora; found on chronicle and text:a.txt: lr; found on "
        "chronicle alone: decay."
    )
    text = markdown.render(found)
    assert "## From one corpus to another" in text


def test_one_corpus_has_no_such_table(found: Leaderboards) -> None:
    assert corpora_tables(found.standings[:1]) == []


def test_a_corpus_that_shares_no_task_is_left_out(found: Leaderboards, tmp_path: Path) -> None:
    (expected,) = corpora_tables(found.standings)
    (tmp_path / "two").mkdir()
    alone = write_result(tmp_path / "two", "domain_id", {UNSEEN: {"bayes": 0.3}}, **at("text:a.txt,b.txt", "domain_id"))
    other = leaderboards([alone]).standings
    (table,) = corpora_tables([*found.standings, *other])
    assert table == expected
    assert corpora_tables([*found.standings[:1], *other]) == []
