"""Cutting and showing text, for whoever needs no tokenizer for it."""

from __future__ import annotations


def first_bytes(text: str, size: int) -> str:
    """Cut a text to its first `size` bytes of UTF-8, at a whole character."""
    return text.encode()[:size].decode(errors="ignore")
