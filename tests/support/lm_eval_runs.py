"""Runs of lm-eval on exported questions, with a stub of a model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
from exported_texts import asked
from fresh_python import python

from natfp_bench.results import lm_eval_import

ASK = """
import hashlib, json, sys
import lm_eval.models  # registers its own models, before one of ours is added
from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager

seen = []

@register_model("stub")
class Stub(LM):
    @classmethod
    def create_from_arg_string(cls, arguments, config=None):
        return cls()
    create_from_arg_obj = create_from_arg_string

    def loglikelihood(self, requests):
        seen.extend(request.args for request in requests)
        of = [int(hashlib.sha256("".join(request.args).encode()).hexdigest()[:8], 16) for request in requests]
        return [(-number / 1e9, False) for number in of]

    loglikelihood_rolling = generate_until = None

Stub.__abstractmethods__ = frozenset()

for folder, group, model, arguments, output in json.loads(sys.argv[1]):
    tracker = EvaluationTracker(output_path=output)
    manager = TaskManager(include_path=folder, include_defaults=False)
    found = simple_evaluate(model=model, model_args=arguments, tasks=[group], task_manager=manager, batch_size=8,
        log_samples=True, evaluation_tracker=tracker, bootstrap_iters=0, device="cpu")
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for name, of in samples.items():
        tracker.save_results_samples(task_name=name, samples=of)
    print("RAN " + json.dumps({"acc": found["results"][group]["acc,none"], "seen": seen[:]}))
    seen.clear()
"""


def lm_eval(tmp: Path, *runs: tuple[Path, str, str, str, Path]) -> list[dict[str, Any]]:
    """Run lm-eval in a process of its own; returns the accuracy that each run tells, and what a stub was asked."""
    given = json.dumps([[str(part) for part in one] for one in runs])
    said = python("-c", ASK, given, folder=tmp, HF_HOME=str(tmp / "hf"))
    return [json.loads(line[4:]) for line in said.splitlines() if line.startswith("RAN ")]


@dataclasses.dataclass(frozen=True)
class Ran:
    """One export, and what came of it: its folder, the result's, lm-eval's, and what it told."""

    export: Path
    result: Path
    output: Path
    acc: float
    seen: list[list[str]]

    @property
    def questions(self) -> list[dict[str, Any]]:
        return asked(self.export)

    def imported(self, **options: Any) -> tuple[Any, pa.Table]:
        return lm_eval_import.import_output(self.output, self.result / "result.json", **options)
