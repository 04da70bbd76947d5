"""Cutting and showing text. No tokenizer is needed for it."""

from __future__ import annotations


def first_bytes(text: str, size: int) -> str:
    """Cut a text to at most `size` bytes of UTF-8, at the end of a character."""
    return text.encode()[:size].decode(errors="ignore")


def printable(text: str) -> str:
    """Spell out control characters, which a terminal might obey: names, errors and words may come from anywhere."""
    return "\n".join(map(one_line, text.split("\n")))


def one_line(text: str) -> str:
    """Spell out control characters and line breaks: a name, whatever it is, must not break a line or a table."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
