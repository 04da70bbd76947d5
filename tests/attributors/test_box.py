"""Classifiers that cheat or break things, each in a box, with a sandbox of the system around it and without."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from boxed_baselines import BOTH, answered, baseline, outcome
from patience import PATIENCE

from natfp_bench.attributors import box_messages, registry
from natfp_bench.attributors.attribute import attribute
from natfp_bench.attributors.box import Box
from natfp_bench.attributors.planted import planted
from natfp_bench.base.errors import AttributorError

# What it is for.


@BOTH
@pytest.mark.parametrize("name", ["unigram", "naive_bayes", "ngram_lm"])
def test_a_box_changes_no_answer(sandboxed: bool, name: str) -> None:
    one = registry.find(name)[0]
    (texts, labels), (test, _) = planted(60, "train"), planted(60, "test")
    here = attribute(lambda seed: registry.build(one, seed), 3, texts, labels, list(range(60)), test)
    with Box(one, sandboxed) as box:
        there = attribute(box.build, 3, texts, labels, list(range(60)), test)
        again = attribute(box.build, 3, texts, labels, list(range(60)), test)
    assert there.classes == here.classes
    np.testing.assert_allclose(there.proba, here.proba, atol=1e-9)
    assert there.proba.tobytes() == again.proba.tobytes()
    assert 0 < there.peak_mb < 4096


@BOTH
def test_texts_come_in_batches_of_the_cards_size_and_any_text_arrives(sandboxed: bool, tmp_path: Path) -> None:
    one = baseline(
        tmp_path, fit="self.sizes = []", ask="self.sizes.append(len(texts)); print(self.sizes)", card="batch: 5\n"
    )
    odd = ["", "\x00", "\ud800 alone", "é" * 9000, "\u2028", '"}{'] * 2
    with Box(one, sandboxed) as box:
        made = box.build(0)
        made.fit(["a", "b", *odd], ["x", "y", *["x"] * len(odd)])
        assert made.classes_.tolist() == ["x", "y"]
        assert made.predict_proba(odd).shape == (12, 2)
        assert made.predict_proba([]).shape == (0, 2)
    told = baseline(tmp_path / "told", ask="raise ValueError(len(texts))", card="batch: 5\n")
    assert "predict_proba raised ValueError: 5 " in outcome(told, sandboxed)


@BOTH
def test_each_fit_has_a_process_that_nobody_used(sandboxed: bool, tmp_path: Path) -> None:
    spoil = """
        import builtins, os, sys
        import natfp_bench.attributors.registry as registry
        seen = getattr(builtins, "spoilt", 0)
        builtins.spoilt = seen + 1
        registry.build = None
        np.unique = None
        if seen:
            raise RuntimeError("someone was here before")
    """
    one = baseline(tmp_path, fit=spoil)
    (texts, labels), (test, _) = planted(12, "train"), planted(12, "test")
    with Box(one, sandboxed) as box:
        for _ in range(3):
            found = attribute(box.build, 0, texts, labels, list(range(12)), test)
            assert found.proba.shape == (12, 3)
    # The next classifier finds what it should.
    assert answered(registry.find("unigram")[0], sandboxed).proba.shape == (12, 3)


@BOTH
def test_what_it_says_is_short_and_no_command(sandboxed: bool, tmp_path: Path) -> None:
    said = outcome(
        baseline(tmp_path, fit="raise ValueError('x' * 199 + ' ::error title=1::forged ' + 'y' * 5000)"), sandboxed
    )
    assert "::" not in said
    assert len(said) < 600


# What it must not get.

LOOK = """
    import gc, sys
    wanted = "ZEBRA-" + "LABEL"
    frame, found = sys._getframe(), []
    while frame:
        found += [name for name, value in frame.f_locals.items() if wanted in repr(value)[:10000] and value != wanted]
        frame = frame.f_back
    kept = [one for one in gc.get_objects() if isinstance(one, (list, dict))]
    found += [type(one).__name__ for one in kept if wanted in map(str, one)]
    raise RuntimeError(f"found {found}")
"""


@BOTH
def test_labels_of_test_texts_are_in_no_frame_and_no_object(sandboxed: bool, tmp_path: Path) -> None:
    labels_of_test_texts = ["ZEBRA-LABEL", "another"] * 6
    assert "found []" in outcome(baseline(tmp_path, ask=LOOK), sandboxed)
    assert labels_of_test_texts


@BOTH
def test_nothing_but_its_own_connection_is_open(sandboxed: bool, tmp_path: Path) -> None:
    look = """
        import os, stat
        sockets = []
        for number in range(3, 4096):
            try:
                kind = os.fstat(number).st_mode
            except OSError:
                continue
            sockets.append(number)
        raise RuntimeError(f"open: {len(sockets)}")
    """
    assert "open: 1" in outcome(baseline(tmp_path, ask=look), sandboxed)


EVIL = """
    import gc, os, pickle, socket, struct
    class Evil:
        def __reduce__(self):
            return (os.system, ("touch {mark}",))
    loads = pickle.dumps(Evil())
    for number in range(3, 64):
        for said in (struct.pack("!i", len(loads)) + loads, struct.pack("<IQ", len(loads), 0) + loads):
            try:
                os.write(number, said)
            except OSError:
                pass
"""


@BOTH
def test_nothing_that_it_sends_is_unpickled(sandboxed: bool, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    said = outcome(baseline(tmp_path, ask=EVIL.format(mark=mark)), sandboxed)
    assert "its process sent" in said
    assert not mark.exists()


FORGED = {
    "more than was asked for": (b'{"done": "ask", "rows": 12, "columns": 3, "peak_mb": 1}', b"\0" * 8 * 60_000),
    "a head without end": (b'{"x": "' + b"a" * 2**21, b""),
    "no JSON": (b"\x80\x04\x95", b""),
    "nested without end": (b"[" * 100_000, b""),
    "other fields": (b'{"done": "ask", "rows": 12, "columns": 3, "peak_mb": 1, "labels": []}', b"\0" * 288),
    "other types": (b'{"done": "ask", "rows": "12", "columns": 3, "peak_mb": 1}', b"\0" * 288),
    "another size": (b'{"done": "ask", "rows": 11, "columns": 3, "peak_mb": 1}', b"\0" * 264),
    "fewer numbers": (b'{"done": "ask", "rows": 12, "columns": 3, "peak_mb": 1}', b"\0" * 280),
    "another answer": (b'{"done": "fit", "classes": [], "peak_mb": 1}', b""),
    "a negative size": (b'{"done": "ask", "rows": -12, "columns": 3, "peak_mb": 1}', b"\0" * 288),
    "no answer": (b'{"done": "failed", "error": 7}', b""),
}


@pytest.mark.parametrize("fault", FORGED)
def test_answers_that_nobody_asked_for_are_refused(fault: str) -> None:
    head, numbers = FORGED[fault]
    ours, theirs = socket.socketpair()

    def write_all() -> None:
        with contextlib.suppress(OSError):
            theirs.sendall(box_messages.SIZES.pack(len(head), len(numbers)) + head + numbers)
        theirs.close()

    def ask() -> None:
        said, given = box_messages.reply(ours, box_messages.Answered, 36)
        if (said.rows, said.columns, given.size) != (12, 3, 36):  # as `BoxedAttributor` asks
            raise AttributorError("its process sent something other than the answer")

    thread = threading.Thread(target=write_all)
    thread.start()
    with pytest.raises(AttributorError, match="its process sent"):
        ask()
    ours.close()
    thread.join()


@BOTH
@pytest.mark.parametrize("answer", ["'text'", "np.nan * np.ones((len(texts), 3))", "np.ones((len(texts), 3))", "None"])
def test_wrong_answers_are_named(sandboxed: bool, answer: str, tmp_path: Path) -> None:
    assert "predict_proba returned" in outcome(baseline(tmp_path, ask=f"return {answer}"), sandboxed)


@BOTH
@pytest.mark.parametrize("classes", ["object()", "[b'x']", "None", "[[1]]", "float('nan')"])
def test_wrong_classes_are_named(sandboxed: bool, classes: str, tmp_path: Path) -> None:
    assert "classes_" in outcome(baseline(tmp_path, fit=f"self.classes_ = {classes}"), sandboxed)


@BOTH
@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("import os; os._exit(3)", r"its process died (exit code 3)"),
        ("import os; os.kill(os.getpid(), 9)", "its process was killed (SIGKILL, out of memory?)"),
        ("import ctypes; ctypes.string_at(0)", "its process was killed (SIGSEGV)"),
        ("raise SystemExit(0)", "fit raised SystemExit"),
        ("raise KeyboardInterrupt", "its process died (exit code 1)"),
        ("import os; os.close(max(map(int, os.listdir('/proc/self/fd')[:-1])))", "its process"),
    ],
)
def test_a_process_that_ends_is_reported(sandboxed: bool, act: str, said: str, tmp_path: Path) -> None:
    assert said in outcome(baseline(tmp_path, fit=act), sandboxed)


@BOTH
def test_nothing_lives_on(sandboxed: bool, tmp_path: Path) -> None:
    """A process that it started, and left to itself in a session of its own, ends with the sandbox."""
    leave = f"""
        import os, subprocess, sys
        started = os.fork()
        if started == 0:
            failed = 1
            try:
                if {sandboxed}: os.setsid()
                subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", {str(tmp_path)!r}])
                failed = 0
            finally:
                os._exit(failed)
        assert os.waitpid(started, 0)[1] == 0
    """
    before = set(psutil.Process().children(recursive=True))
    answered(baseline(tmp_path, fit=leave), sandboxed)

    def left() -> list[psutil.Process]:
        """What was left to itself, which says where it came from, and what runs below this process."""
        own = [one for one in psutil.process_iter() if str(tmp_path) in _command(one)]
        below = [one for one in psutil.Process().children(recursive=True) if "boxed" in " ".join(_command(one))]
        return [one for one in {*own, *below} - before if _command(one)]  # a process that ended has no command

    shared = 0 if sandboxed else 1  # the server that forks for this process stays
    deadline = time.monotonic() + PATIENCE
    while len(still := left()) > shared and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(still) <= shared, still


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
