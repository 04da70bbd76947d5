"""The results in docs/results, and what the documents say of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from natfp_bench.attributors import registry
from natfp_bench.pipeline import result_files as results
from natfp_bench.report import hidden_table, site
from natfp_bench.report.finding import finding, scope
from natfp_bench.report.pages import home
from natfp_bench.results import hidden

ROOT = Path(__file__).parents[2]
PATHS = results.find([ROOT / "docs" / "results"])


def plain(path: Path) -> str:
    return " ".join(path.read_text(encoding="utf-8").split())


@pytest.mark.parametrize(
    ("document", "options"),
    [("results.md", ("--figures", "figures/curves")), ("trends.md", ("--trends", "--figures", "figures/trends"))],
    ids=["make figures", "make trends"],
)
def test_a_document_is_what_the_command_writes(
    document: str, options: tuple[str, ...], natfp: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, _, said = natfp("leaderboard", ROOT / "docs" / "results", *options, "--format", "md", "-o", document)
    assert code == 0, said
    assert (tmp_path / document).read_text() == (ROOT / "docs" / document).read_text(encoding="utf-8")
    for figure in tmp_path.rglob("*.svg"):
        assert (ROOT / "docs" / figure.relative_to(tmp_path)).is_file(), figure.name


@pytest.mark.parametrize("task", ["size_id", "lr_id", "seed_id"])
def test_the_readme_says_what_was_found_for_each_family_of_the_paper(task: str) -> None:
    of = results.read(ROOT / "docs" / "results" / task / "result.json.gz")
    said = plain(ROOT / "README.md")
    assert finding(of) in said
    assert scope(of) in said


def test_the_first_page_accounts_for_every_factor(tmp_path: Path) -> None:
    of = site.read(PATHS, tmp_path)
    standing = of.found.standings[0]
    rows = [row for row in standing.factors if row.unseen and not row.control]
    counts = Counter(row.verdict for row in rows)
    said, sure = home.headline(standing, of), home.how_sure(standing)
    assert said.startswith(f"{counts['found']} of the {counts['found'] + counts['not found']} training factors tested")
    for row in rows:
        assert (row.factor in sure) or row.verdict == "found", row.factor
    assert f"corrected for {sum(row.p_adjusted is not None for row in rows)} factors" in sure


def test_nothing_of_the_machine_is_kept() -> None:
    for path in PATHS:
        command = results.read(path).run.command
        assert not [part for part in command if part.startswith(("/", "~"))], path


def test_published_hidden_scores_can_be_checked() -> None:
    """`natfp-bench hidden board docs/hidden/hidden.json --format md -o docs/hidden/README.md` writes the page."""
    folder = ROOT / "docs" / "hidden"
    made = hidden.read(folder / "hidden.json")
    assert made.sealed_by(hidden.read_secret(folder / "secret.txt"))
    assert (folder / "README.md").read_text(encoding="utf-8") == hidden_table.page(made, registry.bundled())
    assert not [why for one in made.scores.values() for why in one.suspicions]
