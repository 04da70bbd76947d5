"""Attributors rank among those that know as much, wherever ranks are made, and each rung is shown by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import planted_answers
from made_results import PROMPT, scored
from planted_answers import TEXTS, skilled, weakened

from natfp_bench.report import figures
from natfp_bench.report.finding import finding
from natfp_bench.report.leaderboard_tables import board_table, standing_tables
from natfp_bench.report.result_tables import board_notes, main_board
from natfp_bench.results.leaderboard import best, by_rung, leaderboards, lowest_rung
from natfp_bench.results.protocols import boards, read_protocols
from natfp_bench.statistics import paired

MAIN = {PROMPT: {"good": 0.5, "bad": 0.2, "ceiling": 0.99}}


def test_a_rank_counts_those_of_the_same_group_alone() -> None:
    right = {name: np.arange(TEXTS) % 10 < tenths for name, tenths in (("a", 9), ("b", 5), ("c", 7), ("d", 2))}
    credit = {name: own.astype(np.float64) for name, own in right.items()}
    rungs = {"a": "recipe", "b": "texts", "c": "recipe", "d": "texts"}
    assert paired.ranks(credit, np.arange(TEXTS), 0) == {"a": 1, "c": 2, "b": 3, "d": 4}
    assert paired.ranks_within(rungs, credit, np.arange(TEXTS), 0) == {"a": 1, "c": 2, "b": 1, "d": 2}


def test_results_that_merge_rank_within_a_rung(tmp_path: Path) -> None:
    weak = skilled(1, strength=0.5)
    one = planted_answers.planted(tmp_path, {"reads": weak, "reads_less": weakened(weak, 0.2)}, rank=1)
    planted_answers.planted(tmp_path, {"knows": skilled(1, strength=3.0)}, run="2", rung="recipe", rank=1)
    [board], faults = boards(sorted(one.rglob("result.json")))
    assert faults == []
    assert [(row.attributor, row.knowledge, row.rank) for row in board.rows] == [
        ("reads", "texts", 1),
        ("reads_less", "texts", 2),
        ("knows", "recipe", 1),
    ]
    assert [row[0] for row in board_table(board).texts if row[1] == ""] == ["knowledge: texts:", "knowledge: recipe:"]


def test_means_over_tasks_rank_within_a_rung(made: Callable[..., Path]) -> None:
    paths = [
        made(
            f"task{n}",
            MAIN,
            [scored(name, PROMPT, at, knowledge="recipe") for name, at in (("knows", 0.8), ("also", 0.6))],
        )
        for n in range(5)
    ]
    [standing] = leaderboards(paths).standings
    found = {row.attributor: (row.knowledge, row.seen.rank if row.seen else None) for row in standing.attributors}
    assert found == {
        "good": ("texts", 1),
        "bad": ("texts", 2),
        "knows": ("recipe", 1),
        "also": ("recipe", 2),
    }
    assert [row.attributor for row in standing.attributors] == ["good", "bad", "knows", "also"]
    shown = standing_tables(standing)[-1].texts
    assert [row[0] for row in shown if row[1] == ""] == ["knowledge: texts:", "knowledge: recipe:"]


def test_the_best_attributor_of_a_factor_is_an_outsider(made: Callable[..., Path]) -> None:
    path = made("task", MAIN, [scored("knows", PROMPT, 0.8, knowledge="recipe")])
    [protocol], _ = read_protocols([path])
    level = protocol.level(PROMPT)
    assert set(lowest_rung(level)) == {"good", "bad"}
    assert best(level)[0] == ("good",)
    found = [(one.rung, one.names, round(one.identifiability.value, 6)) for one in by_rung(level)]
    assert found == [("texts", ("good",), 0.5), ("recipe", ("knows",), 0.8), ("weights", ("ceiling",), 0.99)]
    said = finding(protocol.newest)
    assert "with accuracy 0.6" in said
    assert "it is 0.85 with the training recipe" in said
    assert "; with labelled texts alone, good and bad do best" in said


def test_a_worse_attributor_says_nothing_about_what_its_rung_is_worth(made: Callable[..., Path]) -> None:
    more = [scored(name, PROMPT, at, knowledge=rung) for name, at, rung in (("a", 0.8, "recipe"), ("b", 0.7, "origin"))]
    [protocol], _ = read_protocols([made("task", MAIN, more)])
    said = finding(protocol.newest)
    assert "; it is 0.85 with the training recipe;" in said
    assert "initial weights" not in said


def test_where_nobody_reads_texts_alone_the_finding_says_what_is_known(made: Callable[..., Path]) -> None:
    path = made("task", {PROMPT: {"ceiling": 0.99}}, [scored("knows", PROMPT, 0.8, knowledge="corpus")])
    [protocol], _ = read_protocols([path])
    assert "to who knows the training corpus" in finding(protocol.newest)


def test_the_figure_shows_every_rung_up_to_the_ceiling(made: Callable[..., Path]) -> None:
    paths = [
        made("climbed", MAIN, [scored("knows", PROMPT, 0.8, knowledge="recipe")]),
        made("read", MAIN),
    ]
    protocols, _ = read_protocols(paths)
    drawn = figures.ladder(protocols)
    assert drawn is not None
    shown = [(row["task"], row["rung"], row["attributor"]) for row in drawn.rows]
    assert shown == [("climbed", "texts", "good"), ("climbed", "recipe", "knows"), ("climbed", "weights", "ceiling")]
    assert "recipe: models of the same recipes" in drawn.caption
    assert figures.ladder([one for one in protocols if one.newest.task.name == "read"]) is None


def test_the_board_of_a_result_names_what_is_known(made: Callable[..., Path]) -> None:
    path = made("task", MAIN, [scored("knows", PROMPT, 0.8, knowledge="recipe")])
    [protocol], _ = read_protocols([path])
    assert [row[1] for row in main_board(protocol.newest).texts] == ["good", "bad", "knows (knows: recipe)", "ceiling"]
    assert "among those that know as much" in dict(board_notes(protocol.newest))["rank"]
    alone = read_protocols([made("other", MAIN)])[0][0].newest
    assert "among those" not in dict(board_notes(alone))["rank"]
