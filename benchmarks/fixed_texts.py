"""Make the fixed texts: train the models of tasks at the preset `quick`, sample and score them, and write what is kept.

python benchmarks/fixed_texts.py [-o tasks/fixed_texts] [--store FOLDER] [--workers N] [TASK...]

Without a task all bundled ones are done whose models are trained here. What the store holds is not done again, so an
interrupted run goes on.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from natfp_bench import api
from natfp_bench.base import resources
from natfp_bench.base.environment import environment
from natfp_bench.pipeline import bundled_texts as fixed_texts
from natfp_bench.pipeline.engine import Event
from natfp_bench.pipeline.run import Run
from natfp_bench.pipeline.store import Store, default_root
from natfp_bench.plan import task_files as spec


def told(event: Event) -> None:
    """Print what is done."""
    if event.kind in ("end", "warning"):
        print(event.job.name, event.text, flush=True)


def main() -> None:
    """Write the fixed texts of some tasks, or of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*")
    parser.add_argument("-o", "--output", type=Path, default=resources.fixed_texts())
    parser.add_argument("--store", type=Path, default=default_root())
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args()
    store, engine = Store(options.store, print), api.local_engine(options.workers)
    gathered = []
    try:
        for task in options.tasks or spec.trained_tasks():
            run = Run(fixed_texts.make_source_plan(task), (), store, engine, device="cpu", watch=told)
            gathered.append(run.score(run.gather()))
            print(f"{task}: done", flush=True)
    finally:
        engine.close()
    command = ["python", "benchmarks/fixed_texts.py", *options.tasks]
    fixed_texts.write(options.output, gathered, command=command, environment=environment())
    for file in sorted(options.output.iterdir()):
        print(f"{file.name}: {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    sys.exit(main())
