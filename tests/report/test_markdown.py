"""Leaderboards as Markdown: parsed, the document has the same tables as the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_results import UNSEEN, write_result
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from natfp_bench.base.markdown import code, escape, grid
from natfp_bench.base.text import printable
from natfp_bench.pipeline import result_files as results
from natfp_bench.report import markdown
from natfp_bench.report.leaderboard_tables import standing_tables
from natfp_bench.results.leaderboard import Leaderboards, leaderboards

HOSTILE = "a|b *c* _d_ `e` <b>f</b> [g](h) &amp; $i$ ~~j~~ \\| ![k](l) # \x1b[31m"
"""All markup that a name might be mistaken for."""

SHOWN = HOSTILE.replace("\x1b", "\\x1b")


def parse(text: str) -> SyntaxTreeNode:
    return SyntaxTreeNode(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text))


def said(node: SyntaxTreeNode) -> str:
    """The text of a node, marked if anything in it was parsed as markup."""
    if node.type in ("text", "text_special"):
        return node.content
    if node.type == "html_inline" and node.content in ("<code>", "</code>"):
        return ""
    inner = "".join(said(child) for child in node.children)
    return inner if node.type in ("inline", "th", "td", "paragraph", "heading") else f"!{node.type}!{inner}"


def tables(text: str) -> list[list[list[str]]]:
    """Cells of all tables: tables, rows, cells."""
    found = [node for node in parse(text).walk() if node.type == "table"]
    return [
        [[said(cell) for cell in row.children] for part in table.children for row in part.children] for table in found
    ]


@pytest.fixture
def found(tmp_path: Path) -> Leaderboards:
    """Leaderboards of three tasks, with hostile names."""
    names = {"corpus__name": HOSTILE, "factor__name": HOSTILE, "run__command": ("natfp-bench", "run", HOSTILE)}
    spent = {"run__seconds": {"total": 3600.25}, "run__work": {"train": 7000.0, "study": 1.5}}
    paths = []
    for task, platform in (("a_id", "first"), (HOSTILE, "second"), ("b_id", "first")):
        machine = {"run__environment": {"python": "3.12.1", "platform": platform, "cores": 2}}
        paths.append(write_result(tmp_path, task, {UNSEEN: {HOSTILE: 0.25}}, **names, **spent, **machine))
    return leaderboards(paths)


@pytest.mark.parametrize(
    "text", [HOSTILE, "_init_", "__init__", "lr_id", "a\nb", "\\", "|", "a\\|b", "`", "``x`", "é_é"]
)
def test_text_stands_for_itself(text: str) -> None:
    expected = " ".join(printable(text).split())
    document = f"{escape(text)} end\n\n" + grid(("x", "y"), [[escape(text), "1"], [code(text), "2"]])
    paragraph = next(node for node in parse(document).walk() if node.type == "paragraph")
    assert said(paragraph) == f"{expected} end"
    assert tables(document) == [[["x", "y"], [expected, "1"], [expected, "2"]]]


def test_names_stay_readable() -> None:
    assert escape("finetune_seed_id >32 (a.b) 1-2!") == "finetune_seed_id >32 (a.b) 1-2!"
    assert code("") == ""


def test_tables_are_those_of_the_console(found: Leaderboards) -> None:
    (standing,) = found.standings
    text = markdown.render(found)
    for made, table in zip(standing_tables(standing), tables(text), strict=False):
        plain = made.plain()
        columns = [" ".join(column.split()) for column in plain.columns]
        assert table == [columns, *([printable(cell) for cell in row] for row in plain.texts)]
        assert escape(made.caption) in text
    # Three tables of the setting, two of how they were made.
    assert len(tables(text)) == 5
    assert text.endswith("|\n")


def test_headings_keep_hostile_names(found: Leaderboards) -> None:
    headings = [said(node) for node in parse(markdown.render(found)).walk() if node.type == "heading"]
    assert headings == [
        "Leaderboards",
        f"quick, {SHOWN}, 500 texts per variant",
        "factors: how identifiable?",
        "factors: on what evidence?",
        "attributors: which identifies levels best?",
        "How these were made",
    ]


def test_how_each_result_was_made(found: Leaderboards) -> None:
    *_, made, machines = tables(markdown.render(found))
    header, first, second, third = made
    assert header == ["task", "preset", "corpus", "started", "seconds", "work", "8 cores", "machine", "command"]
    assert first[:5] == ["a_id", "quick", SHOWN, "2026-01-01T00:00:00+00:00", "3,600.2"]
    assert first[5] == "train 7,000.0, study 1.5"
    assert first[6] == "875", "of 7,001.5 seconds, an eighth"
    assert first[8].startswith("natfp-bench run 'a|b ")
    assert [row[7] for row in (first, second, third)] == ["1", "2", "1"]
    assert machines == [
        ["machine", "python", "platform", "cores"],
        ["1", "3.12.1", "first", "2"],
        ["2", "3.12.1", "second", "2"],
    ]


def test_what_was_found_is_said_of_the_newest_protocol_of_a_task(tmp_path: Path) -> None:
    paths = [write_result(tmp_path, "a_id", {UNSEEN: {"x": at}}, protocol_digest=f"{at}") for at in (0.9, 0.2)]
    text = markdown.render(leaderboards(paths), [results.read(path) for path in paths])
    [line] = [line for line in text.split("\n") if line.startswith("- ")]
    assert "accuracy 0.40" in line, "0.2 above a chance of a quarter"
    assert text.count("older protocol") == 2, "its rows stay in both tables of factors"
