"""The digest of a baseline: what its answers depend on, as far as its code says so.

It covers the files of the folder and, if they import names from natfp_bench, the source files that define these names
and all that those import in turn. Imports are found in the source; no code is run. A name imported from `kit` counts
as imported from the module that defines it, so a new name in `kit` changes no digest. Imports for type checkers alone
are left out.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

from natfp_bench.base.records import digest, folder_digest

from .kit import HOMES

PACKAGE = Path(__file__).parents[1]
"""Folder of the source files of natfp_bench."""

KIT = "natfp_bench.attributors.kit"

RESULTS = "results.json"
"""A folder's scores on the fixed texts. They state its digest, so they cannot be part of it."""


def code_digest(folder: Path) -> str:
    """Digest of a baseline's folder, and of the code of natfp_bench that it uses, if any."""
    own = folder_digest(folder, without={RESULTS})
    used: dict[Path, bytes] = {}
    waiting = [path for source in _sources(folder) for path in _imported(source.read_bytes(), ())]
    while waiting:
        path = waiting.pop()
        if path not in used:
            used[path] = path.read_bytes()
            waiting += _imported(used[path], ("natfp_bench", *path.relative_to(PACKAGE).parts[:-1]))
    if not used:
        return own
    files = {path.relative_to(PACKAGE).as_posix(): hashlib.sha256(used[path]).hexdigest() for path in used}
    return digest([own, sorted(files.items())])


def _sources(folder: Path) -> list[Path]:
    """Python files of a folder, hidden ones left out as in the digest of the folder."""
    found = [path for path in folder.rglob("*.py") if path.is_file()]
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _imported(source: bytes, package: tuple[str, ...]) -> list[Path]:
    """Source files of natfp_bench that a file of a package imports; package: () for a file of a baseline."""
    targets = [target for module, name in _imports(source, package) for target in _targets(module, name)]
    return [file for module, name in targets if (file := _file(module, name))]


def _targets(module: str, name: str) -> list[tuple[str, str]]:
    """Where an import leads, as (module, name): for the names of `kit`, the modules that define them."""
    if module == KIT and name not in ("", "*"):
        return [(HOMES[name], name)] if name in HOMES else []
    if KIT in (module, f"{module}.{name}"):
        return [(home, "") for home in sorted(set(HOMES.values()))]
    return [(module, name)]


def _file(module: str, name: str) -> Path | None:
    """The source file of a module of natfp_bench, or of the name in it if that is a module itself."""
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    inner = [stem / f"{name}.py", stem / name / "__init__.py"] if name else []
    files = [*inner, stem.with_name(f"{stem.name}.py"), stem / "__init__.py"]
    return next((path for path in files if path.is_file()), None)


@functools.cache
def _imports(source: bytes, package: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """All (module, name) that a source imports from natfp_bench; a whole module has no name."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return ()  # code that does not compile imports nothing; building the baseline reports it
    found = []
    for node in _running(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) + 1 - node.level]) if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found += [(module, alias.name) for alias in node.names]
    # A folder's own files import each other relatively, from no package.
    return tuple((module, name) for module, name in found if module.split(".")[0] == "natfp_bench")


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree but the bodies of `if TYPE_CHECKING:`."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.orelse if isinstance(node, ast.If) and _checks_types(node.test) else ast.iter_child_nodes(node)


def _checks_types(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))
