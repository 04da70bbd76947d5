"""The documentation site: its links lead somewhere, its code is right, and it names everything that is public."""

from __future__ import annotations

import ast
import inspect
import json
import os
import posixpath
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from fresh_python import ROOT, python
from ruamel.yaml import YAML

import natfp_bench
from natfp_bench.attributors import registry
from natfp_bench.cli.main import COMMAND
from natfp_bench.plan.task_files import task_files

sys.path.insert(0, str(ROOT / "docs/site"))

import pages

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def made() -> pages.Pages:
    return pages.make()


def blocks(made: pages.Pages) -> Iterator[tuple[str, str, str]]:
    """Path, language and content of every code block."""
    for path, content in made.markdown.items():
        for language, code in BLOCK.findall(content):
            yield path, language, code


def test_every_section_and_every_document_is_a_page(made: pages.Pages) -> None:
    listed = [path for group in made.menu.values() for _, path in group]
    assert len(set(listed)) == len(listed)
    assert set(listed) == set(made.markdown)
    headings = re.findall(r"^## (.+)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [title for title, _ in made.menu["Guide"]] == headings
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} <= set(listed)
    for content in made.markdown.values():
        assert content.startswith("# ")


def test_links_lead_to_pages_and_files(made: pages.Pages) -> None:
    for path, content in made.markdown.items():
        for _, link in pages.LINK.findall(BLOCK.sub("", content)):
            name, _, fragment = link.partition("#")
            if ":" in link:
                assert urlsplit(link).scheme == "https", (path, link)
                continue
            at = posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) if name else path
            assert at in made.markdown or made.copied[at].is_file(), (path, link)
            if fragment:
                headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", made.markdown[at]), re.MULTILINE)
                assert fragment in [pages.anchor(heading) for heading in headings], (path, link)


def test_a_link_to_nothing_stops_the_making(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = pages.Pages(markdown={"index.md": ""}, menu={"Guide": []})
    assert pages._linked("[a](LICENSE)", "index.md", made, {}) == "[a](files/LICENSE)"
    assert pages._linked("```\n[a](nothing)\n```", "index.md", made, {}) == "```\n[a](nothing)\n```"
    with pytest.raises(FileNotFoundError, match="no file 'nothing'"):
        pages._linked("[a](nothing)", "index.md", made, {})


def test_sections_are_not_cut_inside_of_code() -> None:
    assert pages.split_sections("a\n## b\n```\n## c\n```\n## d\n") == ["a\n", "## b\n```\n## c\n```\n", "## d\n"]


def test_code_blocks_are_of_known_languages_and_are_valid(made: pages.Pages) -> None:
    languages: set[str] = set()
    for path, language, code in blocks(made):
        languages.add(language)
        if language == "python":
            ast.parse(code, path)
        elif language == "yaml":
            assert list(YAML(typ="safe").load_all(code)), path
        elif language == "json":
            json.loads(code)
    assert languages <= {"python", "yaml", "json", "toml", "console", "bash", "text", ""}
    assert {"python", "yaml", "console"} <= languages


def command_lines(made: pages.Pages) -> Iterator[tuple[str, list[str]]]:
    """Each command of the console blocks, and of the runs of workflows in YAML blocks."""
    for path, language, code in blocks(made):
        lines = code.replace("\\\n", " ").splitlines() if language == "console" else []
        if language == "yaml":
            lines = re.findall(r"^\s*- run: (natfp-bench .*)$", code, re.MULTILINE)
        for line in lines:
            words = shlex.split(line, comments=True)
            if words and words[0] not in ("export", "#"):
                yield path, words


def test_every_command_of_the_documentation_can_be_given(made: pages.Pages) -> None:
    """Commands, options and their number of values are those of the command line; nothing is run."""
    seen = 0
    for path, words in command_lines(made):
        while words and "=" in words[0] and not words[0].startswith("-"):
            words = words[1:]
        if not words or words[0] != "natfp-bench":
            continue
        command: Any = COMMAND
        context, rest = command.context_class(command, info_name="natfp-bench"), words[1:]
        while hasattr(command, "commands"):
            name, *rest = rest
            assert name in command.commands, (path, words)
            command = command.commands[name]
            context = command.context_class(command, info_name=name, parent=context)
        _, extra, _ = command.make_parser(context).parse_args(list(rest))
        assert not extra, (path, words)
        seen += 1
    assert seen > 30


def test_catalogues_have_every_task_and_every_baseline(made: pages.Pages) -> None:
    tasks, baselines = made.markdown["tasks.md"], made.markdown["baselines.md"]
    for name, path in task_files().items():
        assert f"\n## {name}\n" in tasks
        assert path.read_text(encoding="utf-8").strip() in tasks
    for one in registry.bundled():
        assert f"\n## {one.name}\n" in baselines
    assert "](#seed_id)" in tasks


def test_the_command_line_has_a_page(made: pages.Pages) -> None:
    page = made.markdown["reference/command_line.md"]
    for name in ("natfp-bench", "natfp-bench run", "natfp-bench baseline new", "natfp-bench store gc"):
        assert f"\n## {name}\n" in page
    assert "--replicates" in page


def test_every_public_name_has_a_reference_page(made: pages.Pages) -> None:
    shown = set(re.findall(r"^::: (\S+)$", "\n".join(made.markdown.values()), re.MULTILINE))
    for name in natfp_bench.__all__:
        if name not in ("__version__", "report"):
            value = getattr(natfp_bench, name)
            where = value.__name__ if inspect.ismodule(value) else f"{value.__module__}.{value.__qualname__}"
            assert where in shown or where.rpartition(".")[0] in shown, name
    assert "natfp_bench.python.ask.report" in shown


@pytest.mark.parametrize(
    "name",
    ["run", "sweep", "curve", "run_texts", "load_results", "leaderboard", "trends", "distances", "report", "identify"],
)
def test_docstrings_name_every_argument(name: str) -> None:
    of = getattr(natfp_bench, name)
    arguments = list(inspect.signature(of).parameters)
    text = inspect.getdoc(natfp_bench.python.ask.report if name == "report" else of) or ""
    listed = re.findall(r"^    \*{0,2}(\w+): ", text.partition("Args:\n")[2].partition("\n\n")[0], re.MULTILINE)
    assert listed == arguments
    assert "Raises:\n    UserError: " in text


@pytest.mark.slow
def test_the_python_of_the_readme_runs(made: pages.Pages, tmp_path: Path) -> None:
    (code,) = [code for path, language, code in blocks(made) if (path, language) == ("guide/from-python.md", "python")]
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    out = python("script.py", folder=tmp_path, NATFP_STORE=str(tmp_path / "store"))
    assert out.startswith("<Result of seed_id (smoke): ")
    assert re.search(r"^null_id .+\n\s+naive_bayes\s+0\.", out, re.MULTILINE)
    assert (tmp_path / "length.svg").is_file()


class Links(HTMLParser):
    """What a page links to and loads, and the anchors that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = {name: value or "" for name, value in attrs}
        self.anchors |= {of[name] for name in ("id", "name") if name in of}
        if tag == "a" and "href" in of:
            self.links.append(of["href"])
        elif tag in ("script", "img", "link") and of.get("rel") not in ("canonical", "prev", "next"):
            self.loaded += [of[name] for name in ("src", "href") if name in of]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, bench: Any, seed_run: Any) -> Path:
    """The site, with a report, as `make docs` builds it."""
    for module in ("mkdocs", "material", "mkdocstrings"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install 'natfp_bench[docs]'")
    folder = tmp_path_factory.mktemp("docs")
    natfp_bench.report(seed_run[1], folder / "report", store=bench.store)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", "docs/site/mkdocs.yml"]
    environment = {"NATFP_REPORT": str(folder / "report"), "NO_MKDOCS_2_WARNING": "1"}
    command += ["-d", str(folder / "site")]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


@pytest.mark.slow
def test_every_link_of_the_site_leads_somewhere(built: Path) -> None:
    found = {path: Links(path) for path in built.rglob("*.html")}
    assert built / "report/index.html" in found
    for path, links in found.items():
        if path.name == "404.html":
            continue
        for link in [*links.links, *links.loaded]:
            parts = urlsplit(link)
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            at = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            at = at / "index.html" if at.is_dir() else at
            assert at.is_file(), (path, link)
            if parts.fragment and at in found and "report" not in at.parts:
                assert unquote(parts.fragment) in found[at].anchors, (path, link)


@pytest.mark.slow
def test_the_site_loads_nothing_from_other_hosts(built: Path) -> None:
    for path in built.rglob("*.html"):
        assert not [link for link in Links(path).loaded if urlsplit(link).netloc], path


@pytest.mark.slow
def test_reference_pages_show_docstrings(built: Path) -> None:
    page = (built / "reference/functions.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", page)
    for words in ("size of the experiment", "files, folders, or", "as natfp-bench leaderboard does", "UserError"):
        assert words in text
    results = re.sub(r"<[^>]+>", "", (built / "reference/results.html").read_text(encoding="utf-8"))
    for words in ("A finished run", "to_frame", "from_pretrained", "predictions.parquet is beside it"):
        assert words in results
