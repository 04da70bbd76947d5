"""The digest of a baseline: what its answers depend on, as far as its code says so.

It covers all files of the folder, the installed versions of the packages that the card requires and, if the code
imports names from natfp_bench, the source files that define these names and all that those import in turn. Imports are
found in the source; no code is run. A name imported from `kit` counts as imported from the module that defines it, so a
new name in `kit` changes no digest. Imports for type checkers alone are left out.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
from collections.abc import Iterator, Sequence
from pathlib import Path

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import digest, file_digest

from .kit import HOMES

PACKAGE = Path(__file__).parents[1]
"""Folder of the source files of natfp_bench."""

KIT = "natfp_bench.attributors.kit"

RESULTS = "results.json"
"""A folder's scores on the fixed texts. They state its digest, so they cannot be part of it."""


CACHE = "__pycache__"
"""Name of folders of compiled files. They are never read where a baseline runs, and no part of its digest."""


def code_digest(folder: Path, requires: Sequence[str] = ()) -> str:
    """Digest of a baseline's folder, of the versions of packages, and of the code of natfp_bench that it uses.

    requires: names of packages. Raises UserError if the folder holds anything but files and folders.
    """
    files = files_of(folder)
    own = digest([[name, file_digest(path)] for name, path in files.items() if name != RESULTS])
    if requires:
        own = digest([own, {name: _version(name) for name in sorted(requires)}])
    used: dict[Path, bytes] = {}
    waiting = [
        path for name, source in files.items() if name.endswith(".py") for path in _imported(source.read_bytes(), ())
    ]
    while waiting:
        path = waiting.pop()
        if path not in used:
            used[path] = path.read_bytes()
            waiting += _imported(used[path], ("natfp_bench", *path.relative_to(PACKAGE).parts[:-1]))
    if not used:
        return own
    ours = {path.relative_to(PACKAGE).as_posix(): hashlib.sha256(used[path]).hexdigest() for path in used}
    return digest([own, sorted(ours.items())])


def files_of(folder: Path, *, caches: bool = True) -> dict[str, Path]:
    """All files of a baseline's folder by their names in it, hidden ones too; compiled files are left out.

    Raises UserError for links and whatever else is no file, and for compiled files unless `caches` are tolerated: what
    a digest does not cover must not be read.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if CACHE in name.parts:
            if not caches:
                raise UserError(f"{folder} holds {CACHE}, which is no part of its code\n  rm -r {folder / CACHE}")
        elif path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise UserError(f"{path}: not a file; a baseline holds files and folders, and no links")
        elif path.is_file():
            found[name.as_posix()] = path
    return found


def _version(package: str) -> str | None:
    """Installed version of a package, None if it is missing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


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
