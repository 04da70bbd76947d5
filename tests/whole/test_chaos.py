"""The script that disturbs runs: its judges notice every fault, and a short series of kills changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import chaos
import chaos_files
import chaos_judge as judge
import chaos_power
import numpy as np
import psutil
import pytest
import safetensors.numpy
from patience import AGES, PATIENCE

from natfp_bench.pipeline.store import Store

KEY = "ab" * 32


def make(store: Path, speed: float = 1.0) -> Path:
    """Make the entry of a model whose training log contains a speed; returns its folder."""

    def build(folder: Path) -> dict[str, int]:
        lines = [{"step": step, "tokens_per_second": speed + step} for step in (0, 20)]
        (folder / "train_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return {}

    return Store(store).make("model", KEY, "", build).folder


def checkpoint(store: Path, *speeds: float) -> None:
    """Write the checkpoint of a training whose log contains these speeds."""
    log = [{"step": 20 * number, "tokens_per_second": speed} for number, speed in enumerate(speeds)]
    path = store / "partial" / KEY / "checkpoint.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file({"x": np.zeros(1)}, path, metadata={"counters": json.dumps({"log": log})})


def test_an_entry_that_is_gone_or_made_again_is_lost_work(tmp_path: Path) -> None:
    folder = make(tmp_path)
    before = judge.work(tmp_path)
    assert judge.lost_work(before, tmp_path) == []
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["made"]["seconds"] += 0.001
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert judge.lost_work(before, tmp_path) == [f"model/{KEY} was made again"]
    shutil.rmtree(folder)
    assert judge.lost_work(before, tmp_path) == [f"model/{KEY} was lost"]
    assert judge.lost_work(judge.work(tmp_path), tmp_path) == []


def test_a_training_that_starts_over_is_lost_work(tmp_path: Path) -> None:
    checkpoint(tmp_path, 1.0)
    before = judge.work(tmp_path)
    said = [f"training {KEY[:12]} did not continue from its checkpoint"]
    checkpoint(tmp_path, 1.0, 5.0)
    assert judge.lost_work(before, tmp_path) == []
    checkpoint(tmp_path, 1.1, 5.0)
    assert judge.lost_work(before, tmp_path) == said
    make(tmp_path)
    assert judge.lost_work(before, tmp_path) == []
    shutil.rmtree(tmp_path / "model")
    assert judge.lost_work(before, tmp_path) == said, "neither finished nor begun"
    make(tmp_path, speed=2.0)
    assert judge.lost_work(before, tmp_path) == said


def test_damage_is_what_verify_finds(tmp_path: Path) -> None:
    assert judge.damage(tmp_path, final=False) == []
    assert judge.damage(tmp_path, final=True) == ["there is no store"]
    folder = make(tmp_path)
    assert judge.damage(tmp_path, final=True) == []
    (tmp_path / "temp" / "half").mkdir()
    assert judge.damage(tmp_path, final=False) == []
    assert judge.damage(tmp_path, final=True) == ["temp/half: half-written"]
    os.truncate(folder / "train_log.jsonl", 3)
    assert judge.damage(tmp_path, final=False) == [f"model/ab/{KEY}: train_log.jsonl has changed"]


def test_answers_are_compared_in_both_parts() -> None:
    right, wrong, other = judge.Answer("a", b"a"), judge.Answer("b", b"a"), judge.Answer("a", b"b")
    assert judge.wrong_answers(right, [right], done=True) == []
    assert judge.wrong_answers(right, [right], done=False) == [], "killed after it had written its result"
    assert judge.wrong_answers(right, [], done=False) == []
    assert judge.wrong_answers(right, [], done=True) == ["0 results"]
    assert judge.wrong_answers(right, [right, right], done=True) == ["2 results"]
    assert judge.wrong_answers(right, [wrong], done=False) == ["result.json differs"]
    assert judge.wrong_answers(right, [other], done=True) == ["predictions.parquet differs"]


def test_a_process_that_outlives_its_run_is_named_and_killed(tmp_path: Path) -> None:
    sleep = f"import time; time.sleep({AGES})"
    code = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {sleep!r}]).pid)"
    program = chaos.Program.start([sys.executable, "-c", code], tmp_path)
    assert program.wait(PATIENCE)
    child = psutil.Process(int((tmp_path / "log.txt").read_text()))
    [said] = program.left(0.2)
    assert "outlived its run" in said
    assert psutil.wait_procs([child], timeout=PATIENCE)[1] == []
    assert program.left(0.2) == []


def test_a_run_that_does_not_end_is_killed(tmp_path: Path) -> None:
    program = chaos.Program.start([sys.executable, "-c", f"import time; time.sleep({AGES})"], tmp_path)
    clock = time.monotonic()
    assert not program.wait(0.2)
    assert program.ended
    assert time.monotonic() - clock < AGES


def test_any_fault_fails_the_script(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "reliability.md"
    for part in ("", "wrong", "stuck", "lost", "orphans"):
        verdict = chaos.Verdict(runs=7, kills=6, **({part: ["bad news"]} if part else {}))
        skipped = chaos.Verdict(skipped="mounting is not permitted")
        monkeypatch.setattr(chaos, "run", lambda *_, found=verdict, no=skipped: {"all": found, "disk-full": no})
        assert chaos.main(["--kills", "6", "-o", str(output)]) == (1 if part else 0)
        text = output.read_text()
        assert ("- `all`: bad news" in text) == bool(part)
        cells = [str(int(part == name)) for name in ("wrong", "stuck", "lost", "orphans")]
        assert f"killed at once | 7 | 6 | 0 | 0 | 0 | {' | '.join(cells)} |" in text
        assert "- `disk-full`: mounting is not permitted" in text
        if kept := capsys.readouterr().out.partition("are kept in ")[2].strip():
            shutil.rmtree(kept)


WRITES = """
import sys
from pathlib import Path
from typing import Any
import pyarrow.parquet as pq
from natfp_bench.base import disk
from natfp_bench.pipeline import result_files as results, run
from natfp_bench.pipeline.store import Store

given, root, skipped = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
if skipped == "all":
    disk.sync = lambda path: None
elif skipped == "content":
    disk.sync_all = lambda path: None
elif skipped == "names":
    disk.sync = lambda path, sync=disk.sync: None if path.is_dir() else sync(path)

def build(folder):
    (folder / "more").mkdir()
    (folder / "more" / "text.txt").write_text("hello")
    return {}

store, keys = Store(root / "store"), ["ab" * 32, "cd" * 32]
for key in keys:
    store.make("model", key, "", build)
result = results.read(given / "result.json")
place = root / "results" / result.task.name / result.preset / result.run.id
store.refer(result.run.id, place / "result.json", keys)
run.write(result, pq.read_table(given / "predictions.parquet"), root / "results")
"""


@pytest.mark.parametrize("skipped", ["nothing", "content", "names", "all"])
def test_a_power_cut_at_any_write_does_no_harm_if_all_is_synced(seed_run: Any, tmp_path: Path, skipped: str) -> None:
    watched, record = tmp_path / "disk", tmp_path / "record"
    environ = {**os.environ, **chaos_power.environment(watched, record)}
    command = [sys.executable, "-c", WRITES, str(seed_run[1]), str(watched), skipped]
    assert subprocess.run(command, env=environ, check=False).returncode == 0
    [expected] = judge.answers(watched / "results")
    live, found, lost, ends = judge.work(watched / "store"), [], [], 0
    for number, cut in enumerate(chaos_power.cuts(watched, record, 0)):
        again = tmp_path / str(number)
        chaos_power.rebuild(cut.state, again)
        done = cut.after == cut.of
        found += chaos_power.wrong_after(again, expected, done=done)
        lost += judge.lost_work(live, again / "store") if done else []
        ends += done
    assert ends == len(chaos_power.HOW)
    assert number > 20
    if skipped == "nothing":
        assert (found, lost) == ([], [])
    else:
        assert found, "the judge sees what a missing sync costs"


def test_damaged_files_are_of_every_kind(bench: Any, seed_run: Any, tmp_path: Path) -> None:
    for name, place in (("store", bench.store), ("results", bench.output)):
        (tmp_path / name).symlink_to(place)
    (tmp_path / "tasks").mkdir()
    for name in ("reference.parquet", "tasks/pair.yaml"):
        (tmp_path / name).touch()
    for name, kind in chaos_files.KINDS.items():
        assert any(path.is_file() for path in tmp_path.glob(kind.pattern)), name
    sound = bytes(range(256))
    made = [chaos_files.damaged(sound, chaos.draws(0, "files", which)) for which in range(100)]
    assert made == [chaos_files.damaged(sound, chaos.draws(0, "files", which)) for which in range(100)]
    assert len(set(made)) > 50
    assert sum(one == sound for one in made) < 5
    assert {chaos_files.damaged(b"", chaos.draws(0, "files", which)) for which in range(100)} <= {*chaos_files.JUNK}


@pytest.mark.slow
def test_a_power_cut_damaged_files_and_kills_change_nothing(tmp_path: Path) -> None:
    """A short series, after one undisturbed run: six kills find what one kill in three would show, 9 times in 10."""
    said: list[str] = []
    verdicts = chaos.run(["power-cut", "files", "mixed", "two-killed"], 6, 1, tmp_path, said.append, files=8)
    assert [fault for verdict in verdicts.values() for fault in verdict.faults] == []
    assert verdicts["power-cut"].cuts > 200, said
    assert verdicts["files"].files == len(chaos_files.KINDS) == 8
    assert sum(verdict.kills for verdict in verdicts.values()) >= 6, said
