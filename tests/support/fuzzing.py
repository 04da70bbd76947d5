"""How the tests that fuzz try files, and how they judge what the program does with one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.internal.conjecture import providers
from hypothesis.strategies import SearchStrategy

from natfp_bench.base.errors import UserError

# hypothesis also tries the constants of all modules that happen to be imported. Files would then depend on which tests
# ran before, and would not be the same every time.
providers._get_local_constants = lambda: providers._local_constants

SECONDS, WAIT = 20, 120
"""Seconds that one file may take, by the processor and by the clock; most take hundredths of a second."""


class Hung(BaseException):
    """A file took too long; a BaseException, so that nothing catches it by mistake."""


@contextmanager
def in_time() -> Iterator[None]:
    """Fail if the code inside takes too long."""

    def stop(*_: object) -> None:
        raise Hung

    before = [(one, signal.signal(one, stop)) for one in (signal.SIGPROF, signal.SIGALRM)]
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAIT)
    try:
        yield
    except Hung:
        raise AssertionError(f"it took more than {SECONDS} seconds") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for one, handler in before:
            signal.signal(one, handler)


@contextmanager
def reported(*names: str) -> Iterator[None]:
    """Accept a user's fault that names one of these; fail if the code inside takes too long."""
    with in_time():
        try:
            yield
        except UserError as error:
            if not any(name in str(error) for name in names):
                raise


def tries(number: int, *strategies: SearchStrategy[Any]) -> Callable[[Callable[..., None]], None]:
    """Call the decorated function at once on so many draws, always the same ones, and keep none."""
    how = settings(
        max_examples=number,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    return lambda one: how(given(*strategies)(one))()


def sizes(some: int, many: int) -> Any:
    """Try so many files in `make test`, and so many in `make check`."""
    numbers = [pytest.param(some, id="some"), pytest.param(many, id="many", marks=pytest.mark.slow)]
    return pytest.mark.parametrize("number", numbers)


class Fuzz:
    """Calls the command line in a folder, and checks how it ends."""

    def __init__(self, natfp: Callable[..., tuple[int, str, str]], folder: Path) -> None:
        self.natfp, self.folder = natfp, folder

    def seen(self) -> set[tuple[str, int]]:
        """All paths in the folder and beside it, with their times."""
        inside = [path for path in self.folder.rglob("*") if path.relative_to(self.folder).parts[0] != "out"]
        beside = [path for path in self.folder.parent.iterdir() if path != self.folder]
        return {(str(path), path.lstat().st_mtime_ns) for path in inside} | {(str(path), 0) for path in beside}

    def __call__(self, named: str, *arguments: object, fails: tuple[int, ...] = (2,), reports: bool = False) -> int:
        """Run a command on a file of this name.

        fails: the exit codes that an error may have. reports: exit code 1 may come with a report instead of an error.
        """
        before = self.seen()
        with in_time():
            code, out, err = self.natfp(*arguments)
        assert self.seen() == before
        assert code == 0 or code in fails, err
        assert all(character.isprintable() or character == "\n" for character in err)
        if "--json" not in arguments:
            assert all(character.isprintable() or character in "\n\t" for character in out)
        if code == 1 and reports and not err:
            assert out.strip()
        elif code:
            assert err.startswith("error: ")
            assert named in err
        return code
