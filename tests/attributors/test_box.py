"""Classifiers that cheat or break things, each in a box, with a sandbox of the system around it and without."""

from __future__ import annotations

import contextlib
import os
import socket
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from written_baselines import write

from natfp_bench.attributors import box_messages, registry, sandbox
from natfp_bench.attributors.attribute import attribute
from natfp_bench.attributors.box import Box
from natfp_bench.attributors.planted import planted
from natfp_bench.base.errors import AttributorError

WHY = sandbox.missing()
NEEDED = (pytest.mark.slow, pytest.mark.skipif(WHY is not None, reason=f"no sandbox: {WHY}"))
SANDBOX = pytest.param(True, id="sandbox", marks=NEEDED)
BOTH = pytest.mark.parametrize("sandboxed", [pytest.param(False, id="process"), SANDBOX])
INSIDE = pytest.mark.parametrize("sandboxed", [SANDBOX])

SMALL = "limits: {seconds: 60, memory_mb: 400}\n"

CODE = """
import numpy as np
class Mine:
    def fit(self, texts, labels):
        self.classes_ = np.unique(labels)
        {fit}
        return self
    def predict_proba(self, texts):
        {ask}
        return np.full((len(texts), len(self.classes_)), 1 / len(self.classes_))
def build(seed):
    return Mine()
"""


def baseline(parent: Path, *, fit: str = "pass", ask: str = "pass", card: str = "") -> registry.Baseline:
    def indented(code: str) -> str:
        return textwrap.indent(textwrap.dedent(code).strip(), " " * 8).strip()

    code = CODE.format(fit=indented(fit), ask=indented(ask))
    return registry.read(write(parent, code, card=card))


def answered(one: registry.Baseline, sandboxed: bool, hidden: tuple[Path, ...] = ()) -> Any:
    (texts, labels), (test, _) = planted(12, "train"), planted(12, "test")
    with Box(one, sandboxed, hidden) as box:
        return attribute(box.build, 0, texts, labels, list(range(12)), test)


def outcome(one: registry.Baseline, sandboxed: bool, hidden: tuple[Path, ...] = ()) -> str:
    """What a classifier saw, which it says by raising it."""
    with pytest.raises(AttributorError) as caught:
        answered(one, sandboxed, hidden)
    return str(caught.value)


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


KEYS = """
        import ctypes, os
        call = ctypes.CDLL(None, use_errno=True).syscall
        add, search, session, user = 248, 250, -3, -4
        found = [call(search, 10, keyring, b"user", b"natfp-test", 0) for keyring in (session, user)]
        for keyring in (session, user):
            call(add, b"user", b"natfp-test", b"seen", 4, keyring)
        raise RuntimeError(f"keys {[key > 0 for key in found]}")
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls")
@pytest.mark.parametrize("sandboxed", [SANDBOX])
def test_a_fit_leaves_no_note_to_the_next_one(sandboxed: bool, tmp_path: Path) -> None:
    """The kernel keeps keys for a user and for a session, which outlive processes and sandboxes."""
    one = baseline(tmp_path, fit=KEYS)
    assert [outcome(one, sandboxed).split("(")[0] for _ in range(2)] == [
        "fit raised RuntimeError: keys [False, False] "
    ] * 2


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
            raise AttributorError("its process sent what nobody asked for")

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
    leave = """
        import os, time
        if os.fork() == 0:
            if sandboxed: os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
    """.replace("sandboxed", str(sandboxed))
    before = {one.pid for one in psutil.process_iter()}
    answered(baseline(tmp_path, fit=leave), sandboxed)

    def left() -> list[str]:
        found = []
        for one in psutil.process_iter():
            if one.pid not in before and one.is_running() and "boxed" in " ".join(_command(one)):
                found.append(f"{one.pid} {one.status()}")
        return [line for line in found if "zombie" not in line]

    deadline = time.monotonic() + 20
    while (still := left()) and time.monotonic() < deadline:
        time.sleep(0.1)
    shared = 0 if sandboxed else 1  # the server that forks for this process stays
    assert len(still) <= shared, still


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


# What the system holds back.


@INSIDE
def test_there_is_no_network(sandboxed: bool, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"""
            import socket
            socket.create_connection(("127.0.0.1", {port}), timeout=5)
            raise RuntimeError("connected")
        """
        assert "connected" in outcome(baseline(tmp_path / "free", fit=connect), False)
        said = outcome(baseline(tmp_path / "boxed", fit=connect), sandboxed)
    assert "connected" not in said
    assert "OSError" in said or "ConnectionRefused" in said or "unreachable" in said


@INSIDE
def test_it_sees_no_file_of_the_parents(sandboxed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labels.txt").write_text("ZEBRA")
    monkeypatch.setenv("NATFP_TEST_TOKEN", "ZEBRA")
    home = Path.home()
    look = f"""
        import os
        from natfp_bench.base import resources
        found = dict(os.environ)
        places = [{str(tmp_path / "labels.txt")!r}, {str(home / ".bashrc")!r}, str(resources.fixed_texts())]
        places += ["/etc/passwd", "/etc/shadow", "/var", "/home"]
        seen = [place for place in places if os.path.exists(place) and (os.path.isfile(place) or os.listdir(place))]
        running = [name for name in os.listdir("/proc") if name.isdigit()]
        others = [name for name in running if b"-m\\0pytest" in open(f"/proc/{{name}}/cmdline", "rb").read()]
        raise RuntimeError(f"seen {{seen}} {{'NATFP_TEST_TOKEN' in found}} {{others}}")
    """
    said = outcome(baseline(tmp_path / "box", fit=look), sandboxed)
    assert "seen [] False [] " in said
    assert "ZEBRA" not in said


@INSIDE
def test_it_can_write_nothing_but_its_temporary_files(sandboxed: bool, tmp_path: Path) -> None:
    one = baseline(
        tmp_path,
        fit="""
        import os, tempfile
        from natfp_bench.attributors import registry
        written = []
        places = [os.path.dirname(__file__), os.path.dirname(registry.__file__), os.sys.prefix]
        for place in (*places, "/", "/usr", "/etc", "/dev", "/proc"):
            try:
                open(os.path.join(place, "mark"), "w").close()
                written.append(place)
            except OSError:
                pass
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"fine")
        raise RuntimeError(f"written {written}")
    """,
    )
    assert "written []" in outcome(one, sandboxed)
    assert sorted(path.name for path in one.folder.iterdir()) == ["baseline.py", "card.yaml"]


@INSIDE
def test_a_folder_that_is_hidden_is_empty(sandboxed: bool, tmp_path: Path) -> None:
    one = baseline(
        tmp_path, fit="import os; raise RuntimeError(os.listdir(os.path.join(os.path.dirname(__file__), 'store')))"
    )
    store = one.folder / "store"
    store.mkdir()
    (store / "labels").write_text("x")
    assert "RuntimeError: [] " in outcome(one, sandboxed, (store,))


BOMBS = {
    "memory": "kept = []\nwhile True: kept.append(bytearray(2**24))",
    "memory that is shared": """
        import mmap
        kept = []
        while True:
            kept.append(mmap.mmap(-1, 2**26))
            kept[-1].write(b'x' * 2**26)
    """,
    "processes": "import os, time\nwhile True:\n    if os.fork() == 0:\n        time.sleep(600)",
    "threads": "import _thread, time\nwhile True: _thread.start_new_thread(time.sleep, (600,))",
    "files": "kept = []\nwhile True: kept.append(open('/dev/null'))",
    "a full disk": "import os\nfile = open('/tmp/full', 'wb')\nwhile True: file.write(b'x' * 2**24)",
    "a full shared memory": "import os\nfile = open('/dev/shm/full', 'wb')\nwhile True: file.write(b'x' * 2**24)",
}


@INSIDE
@pytest.mark.parametrize("bomb", BOMBS)
def test_the_kernel_stops_bombs(sandboxed: bool, bomb: str, tmp_path: Path) -> None:
    start = time.monotonic()
    said = outcome(baseline(tmp_path, fit=BOMBS[bomb], card=SMALL), sandboxed)
    assert any(
        word in said
        for word in ("MemoryError", "OSError", "BlockingIOError", "RuntimeError: can't start", "its process")
    )
    assert time.monotonic() - start < 60


@INSIDE
def test_libraries_have_room_enough(sandboxed: bool, tmp_path: Path) -> None:
    """torch maps many gigabytes of addresses, and allocates little."""
    learn = "import torch; torch.nn.Linear(64, 64)(torch.ones(8, 64)).sum().backward(); raise RuntimeError('learnt')"
    assert "learnt" in outcome(baseline(tmp_path, fit=learn, card="limits: {memory_mb: 1000}\n"), sandboxed)


@INSIDE
def test_it_has_no_rights_and_gets_none(sandboxed: bool, tmp_path: Path) -> None:
    look = """
        import os
        status = open("/proc/self/status").read()
        known = ("CapEff", "CapPrm", "NoNewPrivs")
        rights = [line.split()[1] for line in status.splitlines() if line.startswith(known)]
        try:
            os.setuid(0)
            rights.append("root")
        except OSError:
            pass
        raise RuntimeError(f"rights {sorted(set(rights))}")
    """
    assert "rights ['0000000000000000', '1']" in outcome(baseline(tmp_path, fit=look), sandboxed)


@pytest.fixture
def without_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("PATH", str(tmp_path))
    sandbox.missing.cache_clear()
    yield
    sandbox.missing.cache_clear()


@pytest.mark.usefixtures("without_bubblewrap")
def test_a_sandbox_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from natfp_bench.base.errors import UserError

    one = baseline(tmp_path)
    with pytest.raises(
        UserError, match=r"--sandbox on: no sandbox can be had here: bubblewrap is not installed\n  apt"
    ):
        sandbox.check_mode("on")
    monkeypatch.delenv(sandbox.VARIABLE)
    assert not sandbox.applies("auto", one)
    with pytest.raises(UserError, match="unknown sandbox mode 'none'"):
        sandbox.check_mode("none")


@pytest.mark.skipif(WHY is not None, reason=f"no sandbox: {WHY}")
def test_in_mode_auto_bundled_classifiers_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundled, other = registry.find("unigram")[0], baseline(tmp_path)
    assert [sandbox.applies(mode, other) for mode in sandbox.MODES] == [False, True, False], "as NATFP_SANDBOX says"
    monkeypatch.delenv(sandbox.VARIABLE)
    assert [sandbox.applies(mode, bundled) for mode in sandbox.MODES] == [False, True, False]
    assert [sandbox.applies(mode, other) for mode in sandbox.MODES] == [True, True, False]
