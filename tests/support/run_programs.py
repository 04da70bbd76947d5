"""`natfp-bench run` as a process of its own, which tests kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from chaos_program import TASK
from patience import PATIENCE

from natfp_bench.pipeline import result_files as results
from natfp_bench.pipeline.result import Result


class Program:
    """`natfp-bench run` as a user starts it, in a process group of its own."""

    def __init__(self, folder: Path, corpus: Path) -> None:
        tasks = folder / "tasks"
        tasks.mkdir()
        (tasks / "pair.yaml").write_text(TASK)
        self.store, self.output = folder / "store", folder / "results"
        # Long enough stages to be hit in the middle: 8 checkpoints a training, 20 blocks a sample set.
        changed = ["budget.tokens=300000", "sampling.texts=2000", "sampling.block=100", "analysis.transfer=false"]
        command = [sys.executable, "-m", "natfp_bench", "run", "--task", "pair", "--include-path", str(tasks)]
        command += ["--preset", "smoke", "--corpus", f"text:{corpus}", "--baseline", "majority,char_ngram"]
        command += ["--store", str(self.store), "-o", str(self.output), "--workers", "1", "--device", "cpu"]
        self.command = command + [part for setting in changed for part in ("--set", setting)]

    def start(self, *more: str, output: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        options: dict[str, Any] = {"stdout": output, "stderr": subprocess.STDOUT, "text": True, "env": environment}
        return subprocess.Popen([*self.command, *more], start_new_session=True, **options)

    def finish(self) -> tuple[Result, bytes]:
        process = self.start()
        assert process.wait(timeout=PATIENCE) == 0
        [path] = self.output.rglob("result.json")
        return results.read(path), (path.parent / "predictions.parquet").read_bytes()

    def kill_when(self, moment: Callable[[], bool]) -> None:
        """Start a run and kill all its processes, without warning, as soon as the moment has come."""
        process = self.start()
        deadline = time.monotonic() + PATIENCE
        while not moment():
            assert process.poll() is None, "the run ended before the moment came"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        _, alive = psutil.wait_procs(family, timeout=PATIENCE)
        assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]
        assert not list(self.output.rglob("result.json"))

    def count(self, kind: str) -> int:
        return len(list((self.store / kind).glob("*/*")))
