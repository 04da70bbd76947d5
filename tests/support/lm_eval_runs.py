"""Runs of lm-eval on exported questions, with a stub of a model."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

from natfp_bench.results import lm_eval_import

HOSTILE = ("{{ 7 * 7 }} {% raw %} {# gone #}", "a 'b'\n\"c\"\r\n\\n", "", "\x00\u2028 é \U0001f600", "2020-01-01", "12")

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


def lm_eval(tmp: Path, *asked: tuple[Path, str, str, str, Path]) -> list[dict[str, Any]]:
    """Run lm-eval in a process of its own; returns the accuracy that each run tells, and what a stub was asked."""
    environment = {**os.environ, "HF_HOME": str(tmp / "hf"), "HF_HUB_OFFLINE": "1"}
    given = json.dumps([[str(part) for part in one] for one in asked])
    done = subprocess.run(
        [sys.executable, "-c", ASK, given], env=environment, cwd=tmp, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line[4:]) for line in done.stdout.splitlines() if line.startswith("RAN ")]


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
        lines = [line for path in sorted(self.export.glob("*.jsonl")) for line in path.read_text().split("\n") if line]
        return [json.loads(line) for line in lines]

    def imported(self, **options: Any) -> tuple[Any, pa.Table]:
        return lm_eval_import.import_output(self.output, self.result / "result.json", **options)
