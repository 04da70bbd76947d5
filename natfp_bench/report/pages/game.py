"""The game: a reader guesses which model wrote a text, and sees what the attributors said."""

from __future__ import annotations

from typing import Any

from natfp_bench.results.protocols import Protocol

from .page import Page, Pages, question, task_path


def game(of: Pages) -> Page:
    """Make the page of the game, with texts of every task that has some; tasks of the strongest evidence come first."""
    order = [row.protocol_digest for standing in of.found.standings for row in standing.factors]
    known = of.by_digest
    rounds = [round_ for digest in order if (round_ := _round(of, known[digest]))]
    return Page("game.html", "Which model wrote this?", "game.html", {"rounds": rounds})


def _round(of: Pages, protocol: Protocol) -> dict[str, Any] | None:
    """The texts of one task, as the script of the page reads them."""
    of.read(protocol)
    result = protocol.newest
    found = of.texts[result.protocol_digest]
    if not found.game:
        return None
    scores = protocol.level(protocol.main_split)
    likelihoods = [name for name, score in scores.items() if score.attributor.access == "likelihood"]
    return {
        "id": task_path(result).removeprefix("tasks/").removesuffix(".html"),
        "name": f"{question(result)} ({result.preset})",
        "path": task_path(result),
        "levels": list(result.factor.levels),
        "held_out": protocol.main_split == "unseen_replicate",
        "likelihoods": likelihoods,
        "examples": found.examples,
        "texts": [
            {
                "level": text.level,
                "segments": text.segments,
                "answers": [[one.attributor, one.guess, round(one.of_guess, 3), one.right] for one in text.answers],
            }
            for text in found.game
        ],
    }
