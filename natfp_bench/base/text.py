"""Cutting and showing text. No tokenizer is needed for it."""

from __future__ import annotations


def first_bytes(text: str, size: int) -> str:
    """Cut a text to at most `size` bytes of UTF-8, at the end of a character."""
    return text.encode()[:size].decode(errors="ignore")


def printable(text: str) -> str:
    """Spell out control characters, which a terminal might obey: names, errors and words may come from anywhere."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
