"""Results with many seeds: accuracy against the number of candidates."""

from __future__ import annotations

from collections.abc import Sequence

from natfp_bench.base.records import Record
from natfp_bench.statistics.candidates import CandidateCurve

from .leaderboard import best
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
    """Find the results whose scores have curves."""
    found = (many(protocol) for protocol in protocols)
    return [one for one in found if one]


def many(protocol: Protocol) -> ManyCandidates | None:
    """The curves of one protocol; None if its levels are few, or more than seeds."""
    result = protocol.newest
    view = protocol.level(protocol.main_split)
    curves = {name: found for name in _shown(protocol) if (found := view[name].candidates)}
    if not curves:
        return None
    return ManyCandidates(
        task=result.task.name,
        factor=result.factor.name,
        setting=protocol.setting,
        protocol_digest=result.protocol_digest,
        classes=len(result.factor.levels),
        texts=next(score.n_test or 0 for score in view.values()),
        curves=curves,
    )


def _shown(protocol: Protocol) -> list[str]:
    """The ceiling, the best attributor, which is not chosen by its own figure, and the reference."""
    view = protocol.level(protocol.main_split)
    sound = {name for name, score in view.items() if score.status == "ok"}
    chosen, _ = best({name: view[name] for name in sound})
    reference = protocol.newest.study.reference if protocol.newest.study else None
    return [name for name in dict.fromkeys(["ceiling", *chosen[:1], reference]) if name in sound]
