"""Finding attributors: the folder is the registry.

A baseline is one folder with `baseline.py` and `card.yaml`. Bundled ones are in `baselines/`. Any other folder is named
by its path, and an installed package can offer its own under the entry-point group `natfp_bench.baselines`. Nothing is
imported to list or select baselines; only `build` runs their code.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import shlex
import sys
import traceback
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import Field, field_validator

from natfp_bench.base import resources, yaml_records, yaml_source
from natfp_bench.base.errors import AttributorError, UserError, unknown
from natfp_bench.base.limits import Limits
from natfp_bench.base.records import Record
from natfp_bench.base.rungs import Knows

from .code_digest import code_digest, files_of
from .knowledge import Knowledge

GROUP = "natfp_bench.baselines"
"""Entry-point group under which a package names the module whose folder is a baseline."""

MOST = Limits(seconds=43_200.0, memory_mb=16_384)
"""Most that a card may allow one fit."""

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")

RESERVED = frozenset({"all", "fast", "ceiling", "likelihood_reference"})
"""Names that mean something else in a selection or in a result."""

_HINT = "natfp-bench list baselines   shows all"


class Card(Record):
    """What `card.yaml` says of a baseline."""

    name: str = Field(description="name of the folder: lower-case letters, digits and _")
    version: str
    authors: tuple[str, ...] = Field(min_length=1)
    summary: str
    paper: str | None = None
    licence: str
    tags: tuple[str, ...] = ()
    cost: Literal["fast", "slow"] = Field(description="fast baselines run by default")
    floor: bool = Field(False, description="it looks at no text; every other baseline must score higher")
    requires: tuple[str, ...] = Field(
        (), description="packages that it needs beyond those of natfp_bench, with versions"
    )
    limits: Limits = Limits()
    batch: int = Field(256, gt=0, le=512, description="texts that it is asked about at a time")
    knowledge: Knows = Field("texts", description="rung of the ladder: what it is given beside labelled texts")

    @field_validator("requires")
    @classmethod
    def _names_and_versions(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse what pip would take for an option, a path or an address."""
        for one in given:
            try:
                found = Requirement(one)
            except InvalidRequirement as error:
                said = str(error).splitlines()[0]
                raise ValueError(f"{one!r} is no package with a version, such as xgboost>=2 ({said})") from None
            if found.url or found.marker:
                raise ValueError(f"{one!r}: a package has a name and a version, and no address or condition")
        return given

    @field_validator("limits")
    @classmethod
    def _capped(cls, given: Limits) -> Limits:
        """Refuse limits that are none."""
        if given.seconds > MOST.seconds or given.memory_mb > MOST.memory_mb:
            raise ValueError(f"at most {MOST.seconds:g} seconds and {MOST.memory_mb} MB")
        return given

    @property
    def packages(self) -> tuple[str, ...]:
        """Names of the packages that it requires."""
        return tuple(sorted({Requirement(one).name for one in self.requires}))


class Baseline(Record):
    """A baseline that was found: its folder, the digest of its code (`code_digest`) and its card. It can be pickled."""

    name: str
    folder: Path
    digest: str
    card: Card

    @property
    def identity(self) -> str:
        """What stands for the baseline in a key: its code, wherever the folder is."""
        return self.digest


def bundled() -> list[Baseline]:
    """Find the baselines of this package, sorted by name; raises UserError for a broken one."""
    return [read(folder) for folder in _folders()]


def installed() -> list[Baseline]:
    """Find the baselines that installed packages offer, sorted by name; raises UserError for a broken one."""
    return [_read_entry(entry) for entry in _entries()]


def find(selection: str) -> list[Baseline]:
    """Find the baselines of a comma-separated selection, in its order, each once.

    A part is `fast` or `all` (bundled ones only, so it means the same on every machine), the name of a bundled or
    installed baseline, or the path of a folder (it contains a path separator or begins with `.`).
    Raises UserError for an unknown name, a broken folder, or one name for two baselines.
    """
    parts = [part.strip() for part in selection.split(",") if part.strip()]
    if not parts:
        raise UserError(f"no baseline is named in {selection!r}\n  {_HINT}")
    found: dict[str, Baseline] = {}
    for baseline in (baseline for part in parts for baseline in _select(part)):
        other = found.setdefault(baseline.name, baseline)
        if other.folder != baseline.folder:
            raise UserError(
                f"two baselines are named {baseline.name!r}: {other.folder} and {baseline.folder}\n"
                "  rename one of them (its folder, and the name in its card.yaml)"
            )
    return list(found.values())


def _select(part: str) -> list[Baseline]:
    if part == "all":
        return bundled()
    if part == "fast":
        return [baseline for baseline in bundled() if baseline.card.cost == "fast"]
    if part.startswith((".", "~")) or os.sep in part or "/" in part:
        return [read(Path(part))]
    folders = [folder for folder in _folders() if folder.name == part]
    entries = [entry for entry in _entries() if entry.name == part]
    if not folders and not entries:
        known = [folder.name for folder in _folders()] + [entry.name for entry in _entries()]
        raise unknown("baseline", part, {*known, "all", "fast"}, hint=_HINT)
    return [*(read(folder) for folder in folders), *(_read_entry(entry) for entry in entries)]


def _folders() -> list[Path]:
    # Folders without a card count too: a broken baseline must be reported, not vanish from the list.
    folders = (path for path in resources.baselines().iterdir() if path.is_dir())
    return sorted(path for path in folders if not path.name.startswith((".", "_")))


def _entries() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value))


def read(folder: Path) -> Baseline:
    """Read a baseline's folder without running its code.

    Raises UserError if a file is missing, the card is faulty (SpecError, file:line), or the name in the card is not
    that of the folder.
    """
    folder = folder.expanduser().resolve()
    if not folder.is_dir():
        raise UserError(f"no folder {folder}\n  a baseline is a folder with baseline.py and card.yaml")
    if missing := [name for name in ("baseline.py", "card.yaml") if not (folder / name).is_file()]:
        raise UserError(f"{folder} holds no {' and no '.join(missing)}\n  a baseline is a folder with both files")
    files_of(folder)  # a link could lead to any file, whose content messages would quote
    card = yaml_records.read(folder / "card.yaml", Card)
    shown = yaml_source.show_path(folder / "card.yaml")
    check_name(card.name, f"{shown}: ")
    if card.name != folder.name:
        raise UserError(f"{shown}: name {card.name!r} is not the folder's name {folder.name!r}; make them agree")
    return Baseline(name=card.name, folder=folder, digest=code_digest(folder, card.packages), card=card)


def check_name(name: str, where: str = "") -> None:
    """Check that a baseline can have a name; raises a UserError that begins with `where` if not."""
    if not NAME.fullmatch(name):
        raise UserError(f"{where}name {name!r} is no plain name (lower-case letters, digits and _, a letter first)")
    if name in RESERVED:
        raise UserError(f"{where}name {name!r} is reserved; take another")


def _read_entry(entry: EntryPoint) -> Baseline:
    baseline = read(_entry_folder(entry))
    if baseline.name != entry.name:
        raise UserError(
            f"the entry point {entry.name!r} ({entry.value}) leads to the baseline {baseline.name!r}; "
            "name it after its card"
        )
    return baseline


def _entry_folder(entry: EntryPoint) -> Path:
    # Only the top-level name is looked up; the others are followed as folders. find_spec of a dotted name would import
    # the parent package, and with it everything that this imports.
    top, *rest = entry.module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise UserError(f"the entry point {entry.name!r} names the module {top!r}, which is not installed")
    roots = spec.submodule_search_locations or []
    for place in [Path(root, *rest) for root in roots]:
        if place.is_dir():
            return place
        if place.with_name(f"{place.name}.py").is_file():
            return place.parent
    if not roots and not rest and spec.origin:
        return Path(spec.origin).parent
    raise UserError(f"the entry point {entry.name!r} names {entry.value!r}, which leads to no folder")


def build(baseline: Baseline, seed: int, knowledge: Knowledge | None = None) -> Any:
    """Run a baseline's `build(seed=seed)`, or `build(seed=seed, knowledge=knowledge)` if its card asks for knowledge.

    Returns a fresh, unfitted attributor. Raises AttributorError if the knowledge is missing, or if its file cannot be
    imported, has no such function, or returns no attributor.
    """
    given: dict[str, Any] = {"seed": seed}
    if (rung := baseline.card.knowledge) != "texts":
        if knowledge is None:
            raise AttributorError(
                f"{baseline.name}: its card says knowledge: {rung}, and it is given labelled texts only"
            )
        given["knowledge"] = knowledge
    called = f"build({', '.join(f'{name}=...' for name in given)})"
    make = getattr(_module(baseline), "build", None)
    if not callable(make):
        raise AttributorError(f"{baseline.name}: baseline.py defines no function build({', '.join(given)})")
    try:
        inspect.signature(make).bind(**given)
    except TypeError as error:
        raise AttributorError(f"{baseline.name}: {called} cannot be called: {error}") from None
    try:
        attributor = make(**given)
    except (Exception, SystemExit) as error:
        raise _broken(baseline, "build", error) from error
    if lacking := [name for name in ("fit", "predict_proba") if not callable(getattr(attributor, name, None))]:
        kind = type(attributor).__name__
        raise AttributorError(
            f"{baseline.name}: build returned an object of type {kind} without {' and '.join(lacking)}"
        )
    return attributor


def build_bundled(name: str, version: str, seed: int) -> Any:
    """Build a bundled baseline; raises AttributorError if its version is not the stated one."""
    # It is read from its folder, not found by name: an installed package may offer another baseline of that name.
    baseline = read(resources.baselines() / name)
    if baseline.card.version != version:
        raise AttributorError(f"the bundled baseline {name} has version {baseline.card.version}, not {version}")
    return build(baseline, seed)


def _module(baseline: Baseline) -> ModuleType:
    # The name is private and has the digest: two folders never share a module, nor does one folder before and after an
    # edit. The module is loaded as a package, so `from .features import x` finds a file beside baseline.py.
    name = f"_natfp_baseline_{baseline.name}_{baseline.digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, baseline.folder / "baseline.py", submodule_search_locations=[str(baseline.folder)]
    )
    if spec is None or spec.loader is None:
        raise AttributorError(f"{baseline.name}: baseline.py cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _broken(baseline, "import", error) from error
    finally:
        sys.dont_write_bytecode = writes
    return module


def _broken(baseline: Baseline, doing: str, error: BaseException) -> AttributorError:
    if isinstance(error, ModuleNotFoundError):
        needs = shlex.join(baseline.card.requires)
        mend = f"pip install {needs}" if needs else "install it, and list it under 'requires' in card.yaml"
        return AttributorError(f"{baseline.name}: needs the module {error.name!r}, which is missing: {mend}")
    return AttributorError(f"{baseline.name}: {doing} of baseline.py failed: {last_line(error)}")


def last_line(error: BaseException) -> str:
    """Return an exception's type, the last line of its message, and the line of code that raised it."""
    message = (str(error).strip().splitlines() or [""])[-1]
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    return f"{said} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else said
