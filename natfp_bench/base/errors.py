"""What can go wrong, as one tree.

NatfpError
├── UserError          the input is wrong: one message (what, where, how to mend it), exit code 2
│   ├── SpecError      faults of YAML files, all of them at once
│   └── StoreError     the store cannot be used (not writable, full, of a newer version)
├── AttributorError    one attributor broke its contract: it is marked as failed, the run goes on, exit code 1
└── JobError           a job failed because of a bug or of the machine: exit code 1
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class NatfpError(Exception):
    """Root of every error that this package raises on purpose."""

    exit_code = 1


class UserError(NatfpError):
    """The user's input is wrong; the message says what is wrong, where, and how to mend it."""

    exit_code = 2


class SpecError(UserError):
    """Faults of task or preset files: one line each, `file:line: what`."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))

    def __reduce__(self) -> tuple[type[SpecError], tuple[tuple[str, ...]]]:
        # Python pickles an exception by its message; the list of faults must survive the way between processes.
        return type(self), (self.faults,)


class StoreError(UserError):
    """The store cannot be read or written."""


class AttributorError(NatfpError):
    """An attributor raised an error, or its answer is not a matrix of probabilities."""


class JobError(NatfpError):
    """A job failed, and the user's input is not the reason."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the known word nearest to `word`, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def unknown(kind: str, word: str, known: Iterable[str], *, hint: str = "") -> UserError:
    """Build the error for an unknown name: it shows the nearest known name, and `hint` says where to look."""
    names = sorted(known)
    lines = [f"unknown {kind} {word!r}"]
    if near := difflib.get_close_matches(word, names, n=1, cutoff=0.5):
        lines.append(f"  did you mean: {near[0]}")
    elif names:
        lines.append(f"  known: {', '.join(names)}")
    if hint:
        lines.append(f"  {hint}")
    return UserError("\n".join(lines))
