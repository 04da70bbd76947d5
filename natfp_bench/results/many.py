"""Results with many seeds: accuracy against the number of candidates, from the answers of a result."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record
from natfp_bench.plan.task_files import NO_TRACE
from natfp_bench.statistics import candidates
from natfp_bench.statistics.candidates import CandidateCurve

from .leaderboard import best
from .predictions import PredictionFiles
from .protocols import Protocol, Setting


class ManyCandidates(Record):
    """How attribution gets harder with the number of candidates, in one result.

    curves: by attributor: the ceiling, the reference, and the best one. The attributors have learnt all classes, and
    choose among some of them by the probabilities that they state for all.
    """

    task: str
    factor: str
    setting: Setting
    protocol_digest: str
    classes: int
    texts: int
    curves: dict[str, CandidateCurve]


def many_of(protocols: Sequence[Protocol]) -> list[ManyCandidates]:
    """Find the results with many levels that are no more than seeds, and read their answers."""
    found = (many(protocol) for protocol in protocols)
    return [one for one in found if one]


def many(protocol: Protocol) -> ManyCandidates | None:
    """The curves of one protocol; None if its levels are few or not exchangeable, or its answers are not there."""
    result = protocol.newest
    seeds = all(path.startswith(NO_TRACE) for path in result.factor.fields)
    crossed = result.study and result.study.crossed
    if not seeds or crossed or result.task.control or len(result.factor.levels) < candidates.FEWEST:
        return None
    files, curves = PredictionFiles(), dict[str, CandidateCurve]()
    view = protocol.scores.get(("level", protocol.main_split), {})
    for name in _shown(protocol):
        path, score = view[name]
        if len(score.classes) < candidates.FEWEST:
            continue
        with suppress(UserError):  # the file of answers may be gone
            answers = files.of(path, score)
            curves[name] = candidates.candidate_curve(candidates.wins(answers.proba, answers.truth), answers.truth)
    if not curves:
        return None
    return ManyCandidates(
        task=result.task.name,
        factor=result.factor.name,
        setting=protocol.setting,
        protocol_digest=result.protocol_digest,
        classes=len(result.factor.levels),
        texts=next(score.n_test or 0 for _, score in view.values()),
        curves=curves,
    )


def _shown(protocol: Protocol) -> list[str]:
    """The ceiling, the best attributor, which is not chosen by its own figure, and the reference."""
    view = protocol.level(protocol.main_split)
    sound = {name for name, score in view.items() if score.status == "ok"}
    chosen, _ = best({name: view[name] for name in sound})
    reference = protocol.newest.study.reference if protocol.newest.study else None
    return [name for name in dict.fromkeys(["ceiling", *chosen[:1], reference]) if name in sound]
