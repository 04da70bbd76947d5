"""An engine without processes, for tests that look at what is made, and not where."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from natfp_bench.base.errors import NatfpError
from natfp_bench.pipeline.engine import Job, Outcome


class Inline:
    """Does all jobs here, one after another, and notes the steps that each takes."""

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}

    def run(self, jobs: Iterable[Job], watch: Any, follow: Callable[[Outcome], Iterable[Job]]) -> None:
        from natfp_bench.pipeline import workbench

        queue = deque(jobs)
        while queue:
            job = queue.popleft()
            self.steps[job.name] = 0

            def progress(done: int, total: int, unit: str, job: Job = job) -> None:
                self.steps[job.name] += 1

            context = SimpleNamespace(progress=progress, warn=pytest.fail, started=lambda: None)
            try:
                outcome = Outcome(job, value=workbench.make(job.payload, context))
            except NatfpError as error:
                outcome = Outcome(job, error=error)
            queue.extend(follow(outcome))

    def close(self) -> None:
        """Nothing to stop."""

    def trained(self) -> dict[str, int]:
        """Optimiser steps of each training."""
        return {name: steps for name, steps in self.steps.items() if name.startswith("train")}
