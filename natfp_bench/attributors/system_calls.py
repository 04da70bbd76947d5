"""The system calls that a sandboxed classifier is refused, as a filter of Linux (seccomp, a program in classic BPF).

A classifier reads, computes and writes. The calls below serve other ends: to leave or find notes in what the kernel
keeps for everybody (keys, pages of files in memory), to look into other processes, to make namespaces in which a
process has rights again, and to change the system.
"""

from __future__ import annotations

import errno
import platform
import struct

COLUMNS = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Machine -> (its number in the kernel's audit.h, the column of `REFUSED` with its numbers of calls)."""

CLONE = (56, 220)

NEW_NAMESPACE = 0x7E020000
"""Flags of `clone` that ask for a new namespace."""

FOREIGN = 0x40000000
"""Calls of another convention (x32) begin here, on x86_64."""

REFUSED = {
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "fadvise64": (221, 223),
    "readahead": (187, 213),
    "process_madvise": (440, 440),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
}
"""Calls that fail as not permitted."""

ABSENT = {
    "preadv2": (327, 286),
    "pwritev2": (328, 287),
    "cachestat": (451, 451),
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
"""Calls that fail as if the kernel had none of them, so that libraries take the older ones."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_CALL, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16  # places in the kernel's struct seccomp_data
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000


def known() -> bool:
    """Whether there is a filter for this kind of machine."""
    return platform.machine() in COLUMNS


def program(machine: str | None = None) -> bytes:
    """The filter for a machine, by default this one, as an array of the kernel's struct sock_filter."""
    number, column = COLUMNS[machine or platform.machine()]
    made = [(_LOAD, 0, 0, _MACHINE), (_EQUAL, 1, 0, number), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _CALL)]
    made += _unless(_AT_LEAST, FOREIGN, errno.ENOSYS)
    for calls, error in ((REFUSED, errno.EPERM), (ABSENT, errno.ENOSYS)):
        for call in calls.values():
            made += _unless(_EQUAL, call[column], error)
    made += [(_EQUAL, 0, 3, CLONE[column]), (_LOAD, 0, 0, _FIRST_ARGUMENT)]
    made += [*_unless(_ANY_BIT, NEW_NAMESPACE, errno.EPERM), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in made)


def _unless(test: int, value: int, error: int) -> list[tuple[int, int, int, int]]:
    """Fail with an error if a test of what was loaded holds; go on otherwise."""
    return [(test, 0, 1, value), (_RETURN, 0, 0, _FAIL | error)]
