"""Writes the files of hashes that `make .venv` and the release install from: `make hashes`.

- `constraints.hashed.txt`: every package of `constraints.txt`, at its version, with the hashes of all its files.
- `constraints.cpu.txt`: PyTorch's own CPU builds of torch for Linux.
- `constraints.cuda.txt`: what torch needs in addition on Linux if it is PyPI's build, which is for CUDA.
- `constraints.sbom.txt`: the program that lists the packages of a release, for an environment of its own.

Usage: python benchmarks/hashed_constraints.py path/to/uv
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SBOM = "cyclonedx-bom==7.5.0"

CPU_VERSION = "2.13.0+cpu"

CPU_WHEELS = {
    "cp311 x86_64": "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
    "cp311 aarch64": "84453b69508ec79902f899c5ed9495acb9e2bbe9fda5f1d5d6f19e3c3842e1a7",
    "cp312 x86_64": "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2",
    "cp312 aarch64": "6f307c2c32d764ffc6ff6893b801fad6d4752f3e67966cb8abf1843427c02604",
    "cp313 x86_64": "3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6",
    "cp313 aarch64": "0b8f7d0423027ae8b90c7977c627f3379f325363a08224dffad9b4b2d684a83d",
}
"""SHA-256 of PyTorch's own CPU builds of that version for Linux (manylinux_2_28). PyPI does not list them, so a new
version of torch needs new lines here."""

CUDA = re.compile(r"(cuda|nvidia)-[a-z0-9-]+|triton")
"""Packages that only the build of torch for CUDA needs."""

ELSEWHERE = re.compile(r"emscripten|win32")
"""Systems without make: what is needed there alone is left out."""

HEAD = "# Written by `make hashes` ({uv}). Do not edit.\n# {about}\n"

ABOUT_HASHED = "Every package of constraints.txt, at its version, with the SHA-256 of all its files on PyPI."

ABOUT_CPU = """\
PyTorch's own CPU builds of torch for Linux (x86_64 and aarch64; CPython 3.11 to 3.13). PyPI does not have them. make
# takes one if pip is set up to find it, because it is smaller than PyPI's build by gigabytes."""

ABOUT_CUDA = """\
What torch needs in addition on Linux if it is PyPI's build, which is for CUDA. make installs these packages if
# the torch that it installed asks for them."""

ABOUT_SBOM = "What lists the packages of a release. Its needs conflict with constraints.txt, so install it apart."


def compiled(uv: str, *arguments: str, given: str = "") -> dict[str, str]:
    """Let uv resolve for all systems and Pythons; returns the lines of each package by its name."""
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"]
    command = [uv, "pip", "compile", "--quiet", *options, *arguments]
    text = subprocess.run(command, cwd=ROOT, input=given, check=True, stdout=subprocess.PIPE, text=True).stdout
    blocks = re.findall(r"^[^\s#-].*(?:\n +--hash.*)*\n", text, re.MULTILINE)
    return {block.split("==")[0]: block for block in blocks}


def normal(name: str) -> str:
    """The name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def split(blocks: dict[str, str], wanted: set[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Split packages into those of constraints.txt and those for CUDA; raises SystemExit if the names do not fit."""
    cuda = {name: block for name, block in blocks.items() if CUDA.fullmatch(name)}
    rest = {name: block for name, block in blocks.items() if name not in cuda}
    extra = {name for name in rest.keys() - wanted if not ELSEWHERE.search(rest[name].partition("\n")[0])}
    if faults := sorted(extra) + sorted(wanted - rest.keys()):
        raise SystemExit(f"constraints.txt and pyproject.toml do not need the same packages: {', '.join(faults)}")
    return {name: block for name, block in rest.items() if name in wanted}, cuda


def cpu_wheels(version: str) -> str:
    """The lines of the CPU builds of torch; raises SystemExit if their hashes are those of another version."""
    if f"{version}+cpu" != CPU_VERSION:
        raise SystemExit(f"CPU_WHEELS has no hashes for torch {version}")
    return " \\\n    --hash=sha256:".join([f"torch=={CPU_VERSION}", *CPU_WHEELS.values()]) + "\n"


def write(name: str, head: str, blocks: dict[str, str]) -> None:
    """Write one file, sorted by name."""
    (ROOT / name).write_text(head + "".join(blocks[of] for of in sorted(blocks)), encoding="utf-8")


def main(uv: str) -> None:
    """Write all files."""
    version = " ".join(subprocess.run([uv, "--version"], check=True, capture_output=True, text=True).stdout.split()[:2])
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    wanted = {normal(line.split("==")[0]) for line in lines if line and not line.startswith("#")}
    everything = compiled(uv, "pyproject.toml", "--extra", "dev", "--constraint", "constraints.txt")
    hashed, cuda = split(everything, wanted)
    cpu = {"torch": cpu_wheels(hashed["torch"].split()[0].removeprefix("torch=="))}
    write("constraints.hashed.txt", HEAD.format(uv=version, about=ABOUT_HASHED), hashed)
    write("constraints.cpu.txt", HEAD.format(uv=version, about=ABOUT_CPU), cpu)
    write("constraints.cuda.txt", HEAD.format(uv=version, about=ABOUT_CUDA), cuda)
    write("constraints.sbom.txt", HEAD.format(uv=version, about=ABOUT_SBOM), compiled(uv, "-", given=SBOM))


if __name__ == "__main__":
    main(sys.argv[1])
