"""How workers hold memory: what a step frees, the next one takes again.

The C library gives large pieces back to the system as they are freed, and the system zeroes each page that is asked for
anew. Models of this size allocate and free the same few megabytes thousands of times a second, so that most of their
time would go into pages.
"""

from __future__ import annotations

import ctypes
import sys

MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1
"""Parameters of `mallopt`: what size gets pages of its own, and how much may lie free (malloc.h of glibc)."""

PIECE = 2**28
FREE = 2**29


def keep() -> None:
    """Keep freed memory for later use, from here on and in all forks, if the C library can (glibc's)."""
    if libc := _glibc():
        libc.mallopt(MMAP_THRESHOLD, PIECE)
        libc.mallopt(TRIM_THRESHOLD, FREE)


def release() -> None:
    """Give back to the system what lies free, as between two jobs."""
    if libc := _glibc():
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
