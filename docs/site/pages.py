"""The pages of the documentation site, made from files that have other readers, too: nothing is written twice.

README.md gives a page per section, `docs/*.md`, CONTRIBUTING.md, SECURITY.md and CHANGELOG.md one page each, notebooks
their cells, `tasks/` and `baselines/` the two catalogues, and the command line its own help. Reference pages name what
mkdocstrings reads from docstrings. Only this module knows where a page is; it needs nothing of MkDocs.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from natfp_bench.attributors import registry
from natfp_bench.base.markdown import code, escape, grid
from natfp_bench.cli.main import COMMAND
from natfp_bench.plan.task_files import load_task, task_files

ROOT = Path(__file__).resolve().parents[2]

DOCUMENTS = {
    "docs/results.md": "Results of the bundled tasks",
    "docs/fixed_texts.md": "Scores on fixed texts",
    "docs/validity.md": "Validity",
    "docs/reliability.md": "Reliability",
    "docs/performance.md": "Performance",
    "docs/sweeps.md": "Sweeps and trends",
    "docs/trends.md": "Trends that were found",
    "docs/descent.md": "Descent",
    "docs/descent_controls.md": "Controls of descent",
    "docs/distances.md": "Distances and trees",
    "docs/disguises.md": "Disguised texts",
    "docs/curves.md": "Texts needed",
    "docs/cluster.md": "On a cluster",
    "CONTRIBUTING.md": "Contributing",
    "SECURITY.md": "Security",
    "CHANGELOG.md": "Changes",
}
"""Files that are a page each, with their titles in the menu; other files in docs/ come after them."""

REFERENCE = {
    "functions": (
        "Functions",
        "What `import natfp_bench` offers to scripts and notebooks. Each function does what a command does.",
        [*(f"natfp_bench.python.run.{name}" for name in ("run", "sweep", "curve", "run_texts"))]
        + [
            f"natfp_bench.python.ask.{name}"
            for name in ("load_results", "leaderboard", "trends", "distances", "report", "identify")
        ]
        + ["natfp_bench.python.trace.trace"]
        + ["natfp_bench.api.load_task", "natfp_bench.base.resources.evaluate_module"],
    ),
    "results": (
        "Results",
        "What the functions return. A `Result` has all fields of `result.json`.",
        [f"natfp_bench.python.finished.{name}" for name in ("Result", "Results")]
        + [f"natfp_bench.python.answers.{name}" for name in ("Leaderboard", "Curve", "Identification")]
        + [f"natfp_bench.pipeline.result.{name}" for name in ("Score", "VariantResult", "FactorStudy", "RunInfo")]
        + ["natfp_bench.results.trace.Trace", "natfp_bench.results.trace.ModelLikelihood"]
        + ["natfp_bench.statistics.intervals.Interval"],
    ),
    "classifiers": (
        "Classifiers",
        "The contract of a classifier, and what its author may import.",
        [f"natfp_bench.attributors.{name}" for name in ("attribute.Attributor", "knowledge.Knowledge", "kit")],
    ),
    "statistics": (
        "Statistics",
        "Plain functions on arrays: `natfp_bench.metrics` and `natfp_bench.ceiling`.",
        ["natfp_bench.statistics.metrics", "natfp_bench.statistics.ceiling"],
    ),
    "errors": ("Errors", "What can go wrong. Wrong input raises `natfp_bench.UserError`.", ["natfp_bench.base.errors"]),
}
"""Reference pages: title, introduction, and the names whose docstrings they show."""

LINK = re.compile(r"(!?\[[^\]]*\])\(([^()\s]+)\)")

FENCE = re.compile(r"^(?:```|~~~)", re.MULTILINE)


@dataclass
class Pages:
    """The site before MkDocs: Markdown by path, files to copy by path, and the menu: groups of (title, path)."""

    markdown: dict[str, str] = field(default_factory=dict)
    copied: dict[str, Path] = field(default_factory=dict)
    menu: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, group: str, title: str, path: str, content: str) -> None:
        """Add a page to the menu."""
        self.markdown[path] = content
        self.menu.setdefault(group, []).append((title, path))


def make(report: Path | None = None) -> Pages:
    """Make all pages; report: folder of a site that `natfp-bench report` wrote, which becomes a part of this one."""
    made = Pages()
    _readme(made)
    for path in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        made.copied[f"notebooks/{path.name}"] = path
        made.add("Notebooks", *_notebook(path))
    made.add("Catalogue", "Tasks", "tasks.md", task_catalogue())
    made.add("Catalogue", "Baselines", "baselines.md", baseline_catalogue())
    for name, (title, about, names) in REFERENCE.items():
        shown = "\n\n".join(f"::: {one}" for one in names)
        made.add("Reference", title, f"reference/{name}.md", f"# {title}\n\n{about}\n\n{shown}\n")
    made.add("Reference", "Command line", "reference/command_line.md", command_line())
    others = {f"docs/{path.name}": path.stem.replace("_", " ").capitalize() for path in (ROOT / "docs").glob("*.md")}
    for name, title in (DOCUMENTS | {name: of for name, of in sorted(others.items()) if name not in DOCUMENTS}).items():
        made.add("More", title, _page_of(name), (ROOT / name).read_text(encoding="utf-8"))
    if report:
        files = [path for path in report.rglob("*") if path.is_file()]
        made.copied |= {f"report/{path.relative_to(report).as_posix()}": path for path in files}
        made.markdown["index.md"] += "\n[Results of the bundled tasks, as a site with figures](report/index.html)\n"
    sections = _sections(made)
    made.markdown = {path: _linked(content, path, made, sections) for path, content in made.markdown.items()}
    return made


def _page_of(name: str) -> str:
    """Path of the page of a document of the repository."""
    return name if name.startswith("docs/") else f"docs/{name.lower()}"


def _source_of(path: str) -> str:
    """Path in the repository of the document that a page was made from: what its links start from."""
    names = {_page_of(name): name for name in DOCUMENTS}
    return names.get(path, path if path.startswith("docs/") else "README.md")


def _readme(made: Pages) -> None:
    """Make the first page of what is above README's sections, and a page of each section."""
    title, *sections = split_sections((ROOT / "README.md").read_text(encoding="utf-8"))
    contents = []
    for section in sections:
        name = section.splitlines()[0].removeprefix("## ")
        path = f"guide/{anchor(name)}.md"
        made.add("Guide", name, path, f"# {section.removeprefix('## ')}")
        contents.append(f"- [{name}]({path})")
    first = f"{title}\n## Guide\n\n{chr(10).join(contents)}\n"
    made.markdown["index.md"] = first
    made.menu = {"": [("natfp_bench", "index.md")], **made.menu}


def split_sections(text: str) -> list[str]:
    """Cut Markdown before each heading of the second level, but not inside of code."""
    parts = [""]
    inside = False
    for line in text.splitlines(keepends=True):
        inside ^= bool(FENCE.match(line))
        if line.startswith("## ") and not inside:
            parts.append("")
        parts[-1] += line
    return parts


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub and MkDocs make it of plain words."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading.lower())).strip("-")


def _sections(made: Pages) -> Mapping[str, str]:
    """Where the sections of README are, by anchor."""
    return {anchor(title): path for title, path in made.menu["Guide"]}


def _linked(content: str, path: str, made: Pages, sections: Mapping[str, str]) -> str:
    """Let links between files of the repository lead to pages of the site; files that are no page are copied."""
    here = posixpath.dirname(path)

    def target(found: re.Match[str]) -> str:
        shown, link = found.groups()
        name, _, fragment = link.partition("#")
        if ":" in link or posixpath.join(here, name) in {*made.markdown, *made.copied}:
            return found[0]
        if not name:
            own = sections.get(fragment) if _source_of(path) == "README.md" else None
            return f"{shown}({posixpath.relpath(own, here or '.')})" if own else found[0]
        source = posixpath.normpath(posixpath.join(posixpath.dirname(_source_of(path)), name))
        if source == "README.md":
            at, fragment = sections.get(fragment, "index.md"), ""
        elif _page_of(source) in made.markdown:
            at = _page_of(source)
        elif (ROOT / source).is_file():
            at = f"files/{source}"
            made.copied[at] = ROOT / source
        else:
            raise FileNotFoundError(f"{path}: no file {source!r} to link to")
        return f"{shown}({posixpath.relpath(at, here or '.')}{'#' * bool(fragment)}{fragment})"

    parts = re.split(r"(^```.*?^```$)", content, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else LINK.sub(target, part) for part in parts)


def _notebook(path: Path) -> tuple[str, str, str]:
    """Title, path and content of the page of a notebook: its cells, without outputs."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    title = parts[0].splitlines()[0].removeprefix("# ")
    download = f"[Download the notebook]({path.name})"
    return title, f"notebooks/{path.stem}.md", "\n\n".join([parts[0], download, *parts[1:]]) + "\n"


def task_catalogue() -> str:
    """Make the catalogue of tasks from their files: a table, then each file."""
    found = {name: (path, load_task(path)[0]) for name, path in sorted(task_files().items())}
    rows = [
        (
            f"[{escape(name)}](#{name})",
            escape(task.summary),
            escape(task.factor.name),
            escape(", ".join(task.tags)),
            task.control or "",
        )
        for name, (_, task) in found.items()
    ]
    table = grid(("task", "question", "factor", "tags", "control"), rows)
    parts = [
        "# Tasks",
        "Each task varies one training factor. `natfp-bench show TASK` says what a run would do, and at which size.",
        table,
    ]
    for name, (path, task) in found.items():
        source = path.read_text(encoding="utf-8").strip()
        parts += [f"## {name}", escape(task.summary), f"```yaml\n{source}\n```"]
    return "\n\n".join(parts) + "\n"


def baseline_catalogue() -> str:
    """Make the catalogue of baselines from their cards and READMEs: a table, then each README."""
    found = registry.bundled()
    rows = [
        (
            f"[{escape(one.name)}](#{one.name})",
            one.card.version,
            one.card.cost,
            escape(one.card.summary),
            escape(", ".join(one.card.tags)),
        )
        for one in found
    ]
    parts = [
        "# Baselines",
        "The bundled classifiers. `natfp-bench run --baseline NAME` runs one; `fast` runs all fast ones.",
        grid(("baseline", "version", "cost", "what it does", "tags"), rows),
    ]
    for one in found:
        readme = (one.folder / "README.md").read_text(encoding="utf-8").strip()
        parts.append(re.sub(r"^#", "##", readme, flags=re.MULTILINE))
        parts.append(f"Licence: {code(one.card.licence)}. Authors: {escape(', '.join(one.card.authors))}.")
    return "\n\n".join(parts) + "\n"


def command_line() -> str:
    """Make the page of the command line from its own help."""
    parts = ["# Command line", "What `natfp-bench --help` and the help of each command print."]
    for path, text in _helps():
        parts += [f"## {path}", f"```text\n{text.strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def _helps() -> Iterator[tuple[str, str]]:
    """Help of the program and of each command, by the words that one types."""
    root = COMMAND
    waiting = [(root, root.context_class(root, info_name="natfp-bench", terminal_width=100, max_content_width=100))]
    while waiting:
        command, context = waiting.pop(0)
        yield context.command_path, command.get_help(context)
        for name, inner in getattr(command, "commands", {}).items():
            waiting.append((inner, inner.context_class(inner, info_name=name, parent=context)))
