"""The checks of an attributor as one suite: for `natfp-bench baseline check` and for the tests alike.

Each check runs as a job of its own, so that an attributor that hangs, eats memory or takes its process down is stopped,
and the check that it died in is named.
"""

from __future__ import annotations

import time

from natfp_bench.attributors import registry
from natfp_bench.attributors.contract import CHECKS, Check, Subject, said
from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.errors import AttributorError, JobError
from natfp_bench.base.records import Record

from .engine import Context, Engine, Event, Job, Outcome, Watch

STOPPED = "mend what hangs, grows or crashes in this check; or raise `limits` in card.yaml"


class Finding(Record):
    """What a check found; mend: what to do about it, where it failed."""

    check: str
    ok: bool
    seen: str
    mend: str | None
    seconds: float


class Report(Record):
    """What the checks found of a baseline; unrun: checks that were not made because an earlier one failed."""

    baseline: str
    version: str
    digest: str
    findings: tuple[Finding, ...]
    unrun: tuple[str, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings that are none of a sound attributor."""
        return tuple(finding for finding in self.findings if not finding.ok)


class Order(Record):
    """One check of one baseline, for a worker."""

    baseline: Baseline
    check: str


def check(subject: Subject, one: Check) -> Finding:
    """Make one check, here and now; whatever the attributor raises is a finding."""
    start = time.perf_counter()
    try:
        ok, seen = one.call(subject)
    except (Exception, SystemExit) as error:
        ok, seen = False, said(error)
    seconds = round(time.perf_counter() - start, 3)
    return Finding(check=one.name, ok=ok, seen=seen, mend=None if ok else one.mend, seconds=seconds)


def work(order: Order, _: Context) -> Finding:
    """Make one check in a worker."""
    card = order.baseline.card
    subject = Subject(lambda seed: registry.build(order.baseline, seed), card.floor, card.limits)
    return check(subject, next(one for one in CHECKS if one.name == order.check))


def check_all(baseline: Baseline, engine: Engine, watch: Watch = lambda _: None) -> Report:
    """Make all checks in a worker, each within the card's limits.

    It ends with the first check that stops or kills the worker, or that the later ones need.
    """
    jobs = [
        Job(
            name=f"check {baseline.name}: {one.name}",
            stage="check",
            call=f"{__name__}:work",
            payload=Order(baseline=baseline, check=one.name),
            limits=baseline.card.limits,
        )
        for one in CHECKS
    ]
    findings: list[Finding] = []
    started = 0.0

    def follow(outcome: Outcome) -> list[Job]:
        one = CHECKS[len(findings)]
        if isinstance(outcome.error, AttributorError | JobError):
            seen, seconds = str(outcome.error).removeprefix(f"{outcome.job.name}: "), time.perf_counter() - started
            finding = Finding(check=one.name, ok=False, seen=seen, mend=STOPPED, seconds=round(seconds, 3))
            findings.append(finding)
            return []
        if outcome.error:
            raise outcome.error
        findings.append(outcome.value)
        return [] if one.needed and not outcome.value.ok else jobs[len(findings) : len(findings) + 1]

    def noting(event: Event) -> None:
        nonlocal started
        if event.kind == "start":
            started = time.perf_counter()
        watch(event)

    engine.run(jobs[:1], noting, follow)
    return Report(
        baseline=baseline.name,
        version=baseline.card.version,
        digest=baseline.digest,
        findings=tuple(findings),
        unrun=tuple(one.name for one in CHECKS[len(findings) :]),
    )
