"""What a sandbox of the system holds back from a classifier, and when there is one."""

from __future__ import annotations

import errno
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from boxed_baselines import INSIDE, SMALL, WHY, baseline, outcome

from natfp_bench.attributors import registry, sandbox, system_calls
from natfp_bench.base.errors import UserError


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


KEYS = """
        import ctypes, os
        call = ctypes.CDLL(None, use_errno=True).syscall
        add, search, session, user = 248, 250, -3, -4
        found = [call(search, 10, keyring, b"user", b"natfp-test", 0) for keyring in (session, user)]
        for keyring in (session, user):
            call(add, b"user", b"natfp-test", b"seen", 4, keyring)
        raise RuntimeError(f"keys {[key > 0 for key in found]}")
"""

PAGES = """
        import os
        from numpy._core import _multiarray_umath as large
        file = os.open(large.__file__, os.O_RDONLY)
        seen = []
        for look in (lambda: os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED),
                     lambda: os.preadv(file, [bytearray(4096)], 0, os.RWF_NOWAIT)):
            try:
                seen.append(look())
            except OSError as error:
                seen.append(error.strerror)
        raise RuntimeError(f"pages {seen}")
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of system calls")
@INSIDE
def test_a_fit_leaves_no_note_in_the_keyrings(sandboxed: bool, tmp_path: Path) -> None:
    """The kernel keeps keys for a user and for a session, which outlive processes and sandboxes."""
    one = baseline(tmp_path, fit=KEYS)
    assert [outcome(one, sandboxed).split("(")[0] for _ in range(2)] == [
        "fit raised RuntimeError: keys [False, False] "
    ] * 2


@INSIDE
def test_a_fit_cannot_ask_which_pages_are_in_memory(sandboxed: bool, tmp_path: Path) -> None:
    """Pages of a file that one fit reads or drops would be a note to the next one."""
    one = baseline(tmp_path, fit=PAGES)
    assert "pages [None, " in outcome(one, False), "what the filter refuses is there without it"
    assert "pages ['Operation not permitted', 'Operation not supported']" in outcome(one, sandboxed)


@INSIDE
def test_no_namespace_can_be_made_inside(sandboxed: bool, tmp_path: Path) -> None:
    """In a user namespace of its own a process is root again, and reaches much more of the kernel."""
    ask = """
        import ctypes
        call = ctypes.CDLL(None, use_errno=True)
        made = [call.unshare(0x10000000), call.ptrace(0, 0, 0, 0)]
        raise RuntimeError(f"made {made} {ctypes.get_errno()}")
    """
    assert "made [-1, -1] 1 " in outcome(baseline(tmp_path, fit=ask), sandboxed)


# The filter of system calls.


def verdict(program: bytes, audit: int, call: int, argument: int = 0) -> int:
    """What the kernel does with a call: it runs the filter on `struct seccomp_data`."""
    data = struct.pack("=IIQ6Q", call, audit, 0, argument, *[0] * 5)
    steps = list(struct.iter_unpack("=HBBI", program))
    at = loaded = 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return value
        else:
            at += yes if {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code] else no


@pytest.mark.parametrize("machine", system_calls.COLUMNS)
def test_the_filter_refuses_what_it_lists_and_nothing_else(machine: str) -> None:
    audit, column = system_calls.COLUMNS[machine]
    program = system_calls.program(machine)
    listed = {numbers[column]: 0x50001 for numbers in system_calls.REFUSED.values()}
    listed |= {numbers[column]: 0x50000 + errno.ENOSYS for numbers in system_calls.ABSENT.values()}
    for call in range(1000):
        assert verdict(program, audit, call) == listed.get(call, 0x7FFF0000), call
        assert verdict(program, audit ^ 1, call) == 0x80000000, "another convention of calls ends the process"
    fork, thread = 0x1200011, 0x3D0F00
    clone = system_calls.CLONE[column]
    assert {verdict(program, audit, clone, flags) for flags in (fork, thread)} == {0x7FFF0000}
    assert {verdict(program, audit, clone, fork | 1 << bit) for bit in (17, *range(25, 31))} == {0x50001}
    assert verdict(program, audit, system_calls.FOREIGN + 1) == 0x50000 + errno.ENOSYS


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", system_calls.COLUMNS)
def test_numbers_of_calls_are_those_of_the_kernel(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("the kernel's headers are not installed")
    pairs = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text())
    there = {name: int(number) for name, number in pairs}
    calls = {**system_calls.REFUSED, **system_calls.ABSENT, "clone": system_calls.CLONE}
    column = system_calls.COLUMNS[machine][1]
    assert {name: numbers[column] for name, numbers in calls.items() if name in there} == {
        name: there[name] for name in calls if name in there
    }
    assert len(calls.keys() & there.keys()) > 40


def test_a_variable_that_says_nothing_known_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sandbox.VARIABLE, "of")
    with pytest.raises(UserError, match="unknown sandbox mode in NATFP_SANDBOX 'of'"):
        sandbox.applies("auto", baseline(tmp_path))
    assert not sandbox.applies("off", baseline(tmp_path / "other")), "what the command says counts first"
