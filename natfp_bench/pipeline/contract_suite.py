"""The checks of an attributor as one suite: for `natfp-bench baseline check` and for the tests alike.

Each check runs as a job of its own. So an attributor that hangs, uses too much memory or kills its process is stopped,
and the report names the check in which that happened.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from natfp_bench.attributors import sandbox
from natfp_bench.attributors.box import Box
from natfp_bench.attributors.contract import CHECKS
from natfp_bench.attributors.knowledge import Knowledge
from natfp_bench.attributors.registry import Baseline
from natfp_bench.base.errors import AttributorError, JobError
from natfp_bench.base.records import Record
from natfp_bench.base.rungs import Knows

from .engine import Context, Engine, Job, Watch, printed, run_one

STOPPED = "find out what hangs, grows or crashes in this check; or raise `limits` in card.yaml"


class CheckOutcome(Record):
    """What a check found; mend: what to do about it if it failed."""

    check: str
    ok: bool
    seen: str
    mend: str | None
    seconds: float


class ContractReport(Record):
    """What the checks found about a baseline; unrun: checks that did not run because an earlier one failed."""

    baseline: str
    version: str
    digest: str
    findings: tuple[CheckOutcome, ...]
    unrun: tuple[str, ...]

    @property
    def failed(self) -> tuple[CheckOutcome, ...]:
        """The failed checks."""
        return tuple(finding for finding in self.findings if not finding.ok)


class CheckJob(Record):
    """One check of one baseline, for a worker."""

    baseline: Baseline
    check: str
    sandboxed: bool
    knowledge: Knowledge | None = None


class KnowledgeJob(Record):
    """Knowledge to write for the checks, for a worker."""

    rung: Knows
    folder: Path


def work(job: CheckJob, context: Context) -> CheckOutcome:
    """Make one check, in a worker that leaves the classifier's code to a process of its own."""
    one = next(one for one in CHECKS if one.name == job.check)
    with Box(job.baseline, job.sandboxed, started=context.started, knowledge=job.knowledge) as box:
        found = box.check(one.name)
    mend = None if found.ok else one.mend
    return CheckOutcome(check=one.name, ok=found.ok, seen=found.seen, mend=mend, seconds=found.seconds)


def prepare(job: KnowledgeJob, _: Context) -> Knowledge | None:
    """Write the knowledge of a rung, in a worker."""
    from natfp_bench.attributors.planted_knowledge import planted_knowledge

    job.folder.mkdir(parents=True)
    return planted_knowledge(job.rung, job.folder)


def check_all(baseline: Baseline, engine: Engine, watch: Watch = lambda _: None, mode: str = "auto") -> ContractReport:
    """Make all checks in a worker, each within the limits of the card.

    If the card asks for knowledge, a small one is made first (`attributors.planted_knowledge`).
    The last one is the first that stops or kills the worker, or that fails and is needed by the later ones.
    """
    with TemporaryDirectory(prefix="natfp-knowledge-") as folder:
        return _check_all(baseline, engine, watch, mode, Path(folder) / "given")


def _check_all(baseline: Baseline, engine: Engine, watch: Watch, mode: str, folder: Path) -> ContractReport:
    known = None
    if (rung := baseline.card.knowledge) != "texts":
        asked = KnowledgeJob(rung=rung, folder=folder)
        made = run_one(engine, Job(f"knowledge for {baseline.name}", "prepare", f"{__name__}:prepare", asked), watch)
        if made.error:
            raise made.error
        known = made.value
    findings: list[CheckOutcome] = []
    for one in CHECKS:
        boxed = sandbox.applies(mode, baseline)
        payload = CheckJob(baseline=baseline, check=one.name, sandboxed=boxed, knowledge=known)
        name = f"check {baseline.name}: {one.name}"
        start = time.perf_counter()
        end = run_one(engine, Job(name, "check", f"{__name__}:work", payload, baseline.card.limits), watch)
        if isinstance(end.error, AttributorError | JobError):
            seen, seconds = str(end.error).removeprefix(f"{name}: "), round(time.perf_counter() - start, 3)
            found = CheckOutcome(check=one.name, ok=False, seen=seen, mend=STOPPED, seconds=seconds)
        elif end.error:
            raise end.error
        else:
            found = end.value
        if end.log and not found.ok:
            found = found.model_copy(update={"mend": f"{found.mend}{printed(end.log)}"})
        findings.append(found)
        if end.error:
            break
        if one.needed and not end.value.ok:
            break
    return ContractReport(
        baseline=baseline.name,
        version=baseline.card.version,
        digest=baseline.digest,
        findings=tuple(findings),
        unrun=tuple(one.name for one in CHECKS[len(findings) :]),
    )
