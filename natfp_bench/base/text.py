"""Cutting and showing text. No tokenizer is needed for it."""

from __future__ import annotations

import json
import signal
from typing import Any


def first_bytes(text: str, size: int) -> str:
    """Cut a text to at most `size` bytes of UTF-8, at the end of a character."""
    return text.encode()[:size].decode(errors="ignore")


def printable(text: str) -> str:
    """Spell out control characters, which a terminal might obey: names, errors and words may come from anywhere."""
    return "\n".join(map(one_line, text.split("\n")))


def one_line(text: str) -> str:
    """Spell out control characters and line breaks, so that no name breaks the line or the table that it is in."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def json_text(value: Any) -> str:
    """Write JSON that can be read; control characters are escaped, as JSON escapes them."""
    lines = json.dumps(value, indent=1, ensure_ascii=False).split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_json_character, line)) for line in lines) + "\n"


def _json_character(c: str) -> str:
    return c if c.isprintable() else json.dumps(c)[1:-1].replace("\x7f", "\\u007f")


def how_it_ended(code: int | None) -> str:
    """Say how a process ended, from its exit code, which is negative for a signal."""
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"was killed ({name}{', out of memory?' if name == 'SIGKILL' else ''})"
    return f"died (exit code {code})"
