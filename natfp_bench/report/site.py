"""The report as a site: lays out the pages and writes them to a folder, for a browser or any static host.

Results may come from anywhere: templates escape everything, data for scripts holds no `<`, and file names are made of
digests and plain letters.
"""

from __future__ import annotations

import csv
import fnmatch
import gc
import io
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from natfp_bench import __version__
from natfp_bench.base import disk
from natfp_bench.base.environment import commit
from natfp_bench.base.errors import UserError, unknown
from natfp_bench.base.text import printable
from natfp_bench.pipeline import curve_result
from natfp_bench.results.leaderboard import leaderboards_of
from natfp_bench.results.protocols import Protocol, read_protocols
from natfp_bench.results.trends import trends_of

from .curve_tables import curve_title
from .drawing import Figure, room
from .glossary import explained
from .page_texts import PageTexts
from .pages.attributor import attributor
from .pages.compare import compare
from .pages.curve import curve
from .pages.descent import PATH as DESCENT
from .pages.descent import descent, has_descent
from .pages.game import game
from .pages.glossary import glossary
from .pages.home import home
from .pages.page import Page, Pages, attributor_path, curve_path, task_path, trend_path
from .pages.task import task
from .pages.trend import trend
from .pages.validity import validity
from .table import BAR, BELOW
from .trend_tables import trend_title

TEMPLATES = Path(__file__).parent / "templates"

MANIFEST = "natfp-report.json"
"""Lists the files of a report in its folder, so that the next report knows which ones it may replace."""

MOST_ROWS = 300
"""Most rows of a figure's data on its page; the CSV file has all."""

BUNDLED = "window.vegaEmbed = vegaEmbed;"
"""What the bundle exports to other scripts; Vega itself is null in it."""

ASSETS = ("report.css", "report.js", "play.js")

Told = Callable[[str, int, int], None]
"""Called with what is done (a page), and with how many are done of how many."""


@dataclass(frozen=True)
class Site:
    """A whole site: the content of each file by its path."""

    files: Mapping[str, str]

    @property
    def bytes(self) -> int:
        """Total size."""
        return sum(len(content.encode()) for content in self.files.values())


def read(paths: Sequence[Path], store: Path, curves: Sequence[Path] = ()) -> Pages:
    """Read results for a report; those that cannot be used are named among its faults.

    curves: files of curves. Raises UserError if nothing can be used.
    """
    protocols, faults = read_protocols(paths)
    found_curves, unread = curve_result.read_all(curves)
    faults += unread
    if not protocols and not found_curves:
        found = "\n  ".join(["no results found", *faults])
        raise UserError(f"{found}\n  natfp-bench run --task seed_id   makes some")
    protocols.sort(key=lambda of: (of.newest.task.name, of.newest.preset, of.newest.protocol_digest))
    return Pages(protocols, leaderboards_of(protocols, faults), store, trends_of(protocols), found_curves)


def pages(of: Pages, only: Sequence[str] = (), told: Told | None = None, workers: int = 1) -> Iterator[Page]:
    """Make every page of a site, the first page first; `only`: those that can have a figure of these patterns.

    workers: processes that make the pages of tasks, where most of the work is.
    """
    shared = {"links": of.links, "tags_of": of.tags, "menu": of.menu, "attributors": of.attributors}
    shared["trends"] = [(trend_title(one), trend_path(one)) for one in of.trends]
    shared["descent"] = DESCENT if has_descent(of) else None
    shared["curves"] = [(curve_title(one), curve_path(one)) for one in of.curves]
    if not of.protocols:  # nothing but curves: they have figures, and no site
        curve_pages = (
            curve(of, one) for one in of.curves if not only or any(_may_be_on(curve_path(one), o) for o in only)
        )
        yield from (replace(page, shown={**page.shown, **shared}) for page in curve_pages)
        return
    tasks = {task_path(protocol.newest): protocol for protocol in of.protocols}
    made: dict[str, Callable[[], Page]] = {
        "index.html": lambda: home(of),
        **{path: partial(task, of, one) for path, one in tasks.items()},
    }
    made |= {trend_path(one): partial(trend, of, one) for one in of.trends}
    made |= {curve_path(one): partial(curve, of, one) for one in of.curves}
    made |= {attributor_path(name): partial(attributor, of, name) for name in of.attributors}
    if has_descent(of):
        made[DESCENT] = lambda: descent(of)
    made["validity.html"] = lambda: validity(of)
    if not only:
        made |= {"compare.html": lambda: compare(of), "game.html": lambda: game(of), "glossary.html": glossary}
    wanted = [path for path in made if not only or any(_may_be_on(path, name) for name in only)]
    ready = _task_pages(of, [tasks[path] for path in wanted if path in tasks], workers)
    for place, path in enumerate(wanted):
        if told:
            told(path, place, len(wanted))
        page = next(ready) if path in tasks else made[path]()
        yield replace(page, shown={**page.shown, **shared})


def _task_pages(of: Pages, wanted: Sequence[Protocol], workers: int) -> Iterator[Page]:
    """Make the pages of tasks in their order; what was read for them is kept, because other pages show it, too."""
    if workers < 2 or len(wanted) < MANY:
        yield from (task(of, protocol) for protocol in wanted)
        return
    digests = [protocol.newest.protocol_digest for protocol in wanted]
    with ProcessPoolExecutor(workers, get_context("forkserver"), _take, (of,)) as pool:
        for digest, (page, guesses, texts) in zip(digests, pool.map(_one_task, digests), strict=True):
            of.guesses[digest], of.texts[digest] = guesses, texts
            yield page


MANY = 8
"""Tasks for which it takes less time to start processes than to make the pages one after another."""

_TAKEN: list[Pages] = []
"""In a worker: what pages are made from."""


def _take(of: Pages) -> None:
    # Charts are many small objects without cycles: looking for some would take a quarter of the time.
    gc.disable()
    _TAKEN[:] = [of]


def _one_task(digest: str) -> tuple[Page, Mapping[str, Any], PageTexts]:
    """In a worker: make the page of one task."""
    [of] = _TAKEN
    page = task(of, of.by_digest[digest])
    return page, of.guesses[digest], of.texts[digest]


def _may_be_on(path: str, pattern: str) -> bool:
    """Whether a page may have a figure whose file name matches a pattern: they agree as far as both are plain."""
    plain = re.split(r"[*?[]", pattern, maxsplit=1)[0]
    begins = f"{path.removesuffix('.html').replace('/', '-')}-"
    return begins.startswith(plain) or plain.startswith(begins)


def render(pages: Sequence[Page], written: str, told: Told | None = None) -> Site:
    """Lay out pages, with the data of their figures and the scripts that draw them.

    Raises UserError if there is no first page: a site begins with results, and curves alone have none.
    """
    if all(page.path != "index.html" for page in pages):
        raise UserError(
            "only curves were found, and a site needs a result\n  natfp-bench run --task seed_id   makes one"
        )
    environment = _environment(written)
    files: dict[str, str] = {}
    for place, page in enumerate(pages):
        if told:
            told(page.path, place, len(pages))
        files[page.path] = environment.get_template(page.template).render(page=page, **page.shown)
        files |= page.downloads
        for figure in page.figures:
            files[data_path(page, figure)] = table(figure)
    for name in ASSETS:
        files[f"assets/{name}"] = (TEMPLATES / name).read_text(encoding="utf-8")
    if any(page.figures for page in pages):
        files["assets/vega.js"] = vega_bundle()
    return Site(files)


def written_by(command: str) -> str:
    """Say which version and which command wrote a report."""
    made_at = commit()
    return f"Written by natfp_bench {__version__}{f', commit {made_at}' if made_at else ''}: {command}"


def stem(page: Page) -> str:
    """The beginning of the names of a page's files."""
    return page.path.removesuffix(".html").replace("/", "-")


def data_path(page: Page, figure: Figure) -> str:
    """Path of the data of a figure."""
    return f"data/{stem(page)}-{figure.name}.csv"


def table(figure: Figure) -> str:
    """Write the data of a figure as CSV, in full."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(figure.columns.values())
    rows.writerows([["" if row.get(name) is None else row[name] for name in figure.columns] for row in figure.rows])
    return out.getvalue()


def embedded(value: Any) -> Markup:
    """Write JSON for a page: without a `<` it can neither end its element nor begin a comment."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704  safe by the line above


def body(figure: Figure) -> Markup:
    """First rows of the table of a figure's data; as cells of a template they would take most of a page's time."""

    def cell(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else "" if value is None else escape(_shown(str(value)))

    rows = (
        ("<td>", "</td><td>".join([cell(row.get(name)) for name in figure.columns]), "</td>")
        for row in figure.rows[:MOST_ROWS]
    )
    return Markup("\n".join(f"<tr>{''.join(row)}</tr>" for row in rows))  # noqa: S704  each cell is escaped


@cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one classic script: modules do not load from a file system."""
    import vl_convert

    # Wrapped in a function to keep its names private.
    return f"(function () {{\n{vl_convert.javascript_bundle(BUNDLED)}\n}})();\n"


def _environment(written: str) -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters |= {
        "embedded": embedded,
        "body": body,
        "share": lambda value: f"{value:.0%}",
        # A name such as ngram_lm keeps its small letter.
        "sentence": lambda text: text if "_" in text.split(" ", 1)[0] else text[:1].upper() + text[1:],
        "stem": stem,
        "data": data_path,
        "room": lambda figure: room(figure.spec),
        "explained": explained,
    }
    made.globals |= {
        "scale": BAR,
        "below": round(BAR * BELOW),
        "most": MOST_ROWS,
        "written": written,
        "version": __version__,
    }
    return made


def _shown(value: Any) -> Any:
    """Spell out control characters and those that change the direction of text; spaces and joiners are kept."""
    if not isinstance(value, str) or isinstance(value, Markup) or value.isprintable():
        return value
    return "".join(c if c in "\t\u200c\u200d" or unicodedata.category(c) == "Zs" else printable(c) for c in value)


def write(site: Site, folder: Path, *, overwrite: bool = False) -> None:
    """Write a site and remove the files of an earlier report from its folder.

    Raises UserError for a folder that holds other files, unless `overwrite` allows it. Even then other files stay,
    except those of the same name.
    """
    root = folder.absolute()
    with disk.disk_faults(root, "output folder"):
        if root.exists() and not root.is_dir():
            raise UserError(f"{folder} is a file\n  take a folder for -o")
        old = _own_files(root)
        present = {path.relative_to(root).as_posix() for path in root.rglob("*") if _is_file(path)}
        foreign = sorted(present - old - {MANIFEST})
        if foreign and not overwrite:
            named = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
            raise UserError(
                f"{folder} holds files that belong to no report: {named}\n  take another folder, or add --overwrite"
            )
        disk.usable_folder(root, "output folder")
        # The manifest comes first: if this is killed, the next report still knows its files.
        _write_manifest(root, old | site.files.keys())
        for name in sorted(old - site.files.keys()):
            (root / name).unlink(missing_ok=True)
        for name, content in site.files.items():
            _put(root, name, content.encode())
        _write_manifest(root, set(site.files))
        _remove_empty(root)


def _is_file(path: Path) -> bool:
    """Whether a path is no folder; a link to a folder counts as a file."""
    return path.is_symlink() or not path.is_dir()


def _own_files(root: Path) -> set[str]:
    """Files of an earlier report according to its manifest, if their paths are plain and within the folder."""
    try:
        names = json.loads((root / MANIFEST).read_text(encoding="utf-8"))["files"]
        paths = [PurePosixPath(name) for name in names]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return set()
    found = {path.as_posix() for path in paths if not path.is_absolute() and ".." not in path.parts}
    return {name for name in found if not any((root / parent).is_symlink() for parent in PurePosixPath(name).parents)}


def _put(root: Path, name: str, content: bytes) -> None:
    """Write a file below a folder, and nowhere else: links in its way are replaced, not followed."""
    path = root
    for part in PurePosixPath(name).parts:
        path /= part
        if path.is_symlink():
            path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _write_manifest(root: Path, names: set[str]) -> None:
    text = json.dumps({"natfp_bench": __version__, "files": sorted(names)}, indent=1)
    _put(root, MANIFEST, f"{text}\n".encode())


def _remove_empty(root: Path) -> None:
    for name in ("tasks", "trends", "curves", "attributors", "data", "assets"):
        if (root / name).is_dir() and not any((root / name).iterdir()):
            (root / name).rmdir()


def chosen_figures(pages: Iterable[Page], only: Sequence[str] = ()) -> dict[str, Figure]:
    """Figures by file name: all, or those that match a pattern; raises UserError for a pattern that matches none."""
    every = {f"{stem(page)}-{figure.name}": figure for page in pages for figure in page.figures}
    for pattern in only:
        if not fnmatch.filter(every, pattern):
            raise unknown("figure", pattern, every)
    return {name: figure for name, figure in every.items() if not only or any(fnmatch.fnmatch(name, p) for p in only)}


def write_figures(
    figures: Mapping[str, Figure], folder: Path, *, overwrite: bool = False, forms: Sequence[str] = ("svg", "pdf")
) -> None:
    """Write figures as SVG and, for papers, as PDF; other files of the folder stay.

    Raises UserError for a file of the same name that was not written here, unless `overwrite` allows to replace it.
    """
    import vl_convert

    root = disk.usable_folder(folder, "folder for figures")
    with disk.disk_faults(root, "folder for figures"):
        own = {name for name in _own_files(root) if os.path.lexists(root / name)}
        names = {f"{name}.{form}" for name in figures for form in forms}
        if not overwrite and (foreign := sorted(name for name in names - own if os.path.lexists(root / name))):
            raise UserError(
                f"{folder} holds files of these names that belong to no report: {', '.join(foreign)}\n"
                "  take another folder, or add --overwrite"
            )
        _write_manifest(root, own | names)
        for name, figure in figures.items():
            svg = vl_convert.vegalite_to_svg(dict(figure.spec))
            _put(root, f"{name}.svg", svg.encode())
            if "pdf" in forms:
                _put(root, f"{name}.pdf", vl_convert.svg_to_pdf(svg))
