"""A process that uses the store is killed at every line of its code in turn: the next process finds no trace."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from patience import PATIENCE

SCRIPT = """
import itertools, os, shutil, sys
from pathlib import Path
from natfp_bench.base import disk
from natfp_bench.pipeline import store as stores
from natfp_bench.pipeline.store import Store

root, begun, step, key = Path(sys.argv[1]) / "store", sys.argv[2], int(sys.argv[3]), "ab" * 32
result = root.parent / "result.json"
result.touch()

def build(folder):
    (root / "partial" / key).mkdir(parents=True, exist_ok=True)
    (root / "partial" / key / "checkpoint").write_text("half")
    (folder / "more").mkdir()
    (folder / "more" / "text.txt").write_text("hello")
    return {"texts": 1}

def never(folder):
    raise AssertionError("made again")

def use(build=build):
    store = Store(root)
    entry = store.make("model", key, "", build)
    store.refer("one", result, [key])
    return store, entry

def prepare():
    if begun == "damaged":
        _, entry = use()
        (entry.folder / "more" / "text.txt").write_text("jello")

def killed_at(moment):
    lines = itertools.count(1)
    def trace(frame, event, _):
        if frame.f_code.co_filename not in (stores.__file__, disk.__file__):
            return None
        if event == "line" and next(lines) == moment:
            os._exit(9)
        return trace
    child = os.fork()
    if child == 0:
        sys.settrace(trace)
        use()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9

for moment in itertools.count(1, step):
    prepare()
    if not killed_at(moment):
        break
    folder = stores.entry_folder(root, "model", key)
    whole = folder.exists() and (folder / "more" / "text.txt").read_text() == "hello"
    store, entry = use(never if whole else build)
    said = f"killed at line {moment}: "
    assert entry.meta == {"texts": 1}, said
    assert Store(root).verify() == [], said + str(Store(root).verify())
    assert [*(root / "temp").iterdir()] == [], said
    store.gc(older_than_days=0, dry_run=False)
    assert [*root.glob("partial/*")] == [], said + "a checkpoint that nobody needs is kept for ever"
    assert Store(root).open("model", key) == entry, said
    shutil.rmtree(root)
print(moment)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs os.fork")
@pytest.mark.parametrize("begun", ["fresh", "damaged"])
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kill_at_any_line_leaves_no_trace(tmp_path: Path, begun: str, step: int) -> None:
    """At every fourth line in the fast tests, at every line in the slow ones."""
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path), begun, str(step)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60, "the lines were not counted"
