"""A site: its files, the folder that it is written to, and the command `report`."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from natfp_bench.base.errors import UserError
from natfp_bench.pipeline.result_files import find
from natfp_bench.report import site as report

Natfp = Callable[..., tuple[int, str, str]]


def test_data_is_saved_in_full(site: Any) -> None:
    folder, made = site
    for one in made:
        for figure in one.figures:
            path = folder / report.data_path(one, figure)
            rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
            assert rows[0] == list(figure.columns.values())
            assert len(rows) == 1 + len(figure.rows)


def test_spaces_are_kept_and_control_characters_are_spelled_out() -> None:
    shown = report._shown
    assert shown("a\u00a0b\u3000c\td\ne\u200df") == "a\u00a0b\u3000c\td\ne\u200df"
    assert shown("\x00\u202e\u2066") == "\\x00\\u202e\\u2066"
    assert shown(3) == 3


def test_a_folder_of_foreign_files_is_refused(tmp_path: Path) -> None:
    made = report.Site({"index.html": "one", "data/a.csv": "x"})
    folder = tmp_path / "site"
    report.write(made, folder)
    # Files of an earlier report are not foreign.
    report.write(report.Site({"index.html": "two"}), folder)
    assert (folder / "index.html").read_text() == "two"
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", report.MANIFEST]
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match=r"to no report: thesis\.tex\n.*--overwrite"):
        report.write(made, folder)
    assert (folder / "index.html").read_text() == "two"
    report.write(made, folder, overwrite=True)
    assert (folder / "index.html").read_text() == "one"
    assert (folder / "thesis.tex").read_text() == "mine"
    with pytest.raises(UserError, match="is a file"):
        report.write(made, folder / "thesis.tex")


def test_a_manifest_cannot_name_files_outside_of_its_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "site", tmp_path / "precious.txt"
    outside.write_text("mine")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.csv").write_text("mine")
    folder.mkdir()
    (folder / "data").symlink_to(tmp_path / "elsewhere")
    named = ["../precious.txt", str(outside), "data/b.csv", 7]
    (folder / report.MANIFEST).write_text(json.dumps({"files": named[:3]}))
    report.write(report.Site({"index.html": "x"}), folder, overwrite=True)
    assert outside.read_text() == "mine"
    assert (tmp_path / "elsewhere" / "b.csv").read_text() == "mine"
    (folder / report.MANIFEST).write_text(json.dumps({"files": named}))
    with pytest.raises(UserError, match="to no report"):
        report.write(report.Site({"index.html": "x"}), folder)


@pytest.mark.parametrize("linked", ["data", "data/deep", "data/deep/a.csv", "index.html", report.MANIFEST])
def test_links_are_replaced_and_never_followed(tmp_path: Path, linked: str) -> None:
    folder, outside = tmp_path / "site", tmp_path / "elsewhere"
    (outside / "deep").mkdir(parents=True)
    for name in ("a.csv", "deep/a.csv"):
        (outside / name).write_text("mine")
    place = folder / linked
    place.parent.mkdir(parents=True)
    place.symlink_to(outside / "a.csv" if place.suffix else outside)
    before = {path: path.read_text() for path in outside.rglob("*") if path.is_file()}
    made = report.Site({"index.html": "x", "data/deep/a.csv": "new", "data/b.csv": "new"})
    report.write(made, folder, overwrite=True)
    assert {path: path.read_text() for path in outside.rglob("*") if path.is_file()} == before
    assert (folder / "data" / "deep" / "a.csv").read_text() == "new"
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    report.write(made, folder)


def test_the_command_makes_a_site(natfp: Natfp, seed_run: Any, bench: Any, tmp_path: Path) -> None:
    code, out, err = natfp("report", seed_run[1], "-o", "site", "--store", bench.store)
    assert (code, err) == (0, "reading results\ndrawing figures and pages\nwriting 10 pages\n")
    assert "factors: how identifiable?" in out
    assert "attributors: which identifies levels best?" in out
    assert re.search(r"10 pages, \d\.\d MB: site/index\.html", out)
    assert (tmp_path / "site" / "index.html").is_file()
    assert natfp("report", seed_run[1], "-o", "site", "--store", bench.store)[0] == 0
    (tmp_path / "site" / "foreign").touch()
    code, _, err = natfp("report", seed_run[1], "-o", "site", "--store", bench.store)
    assert code == 2
    assert "foreign" in err


def test_the_command_writes_markdown(natfp: Natfp, seed_run: Any, tmp_path: Path) -> None:
    code, out, err = natfp("report", seed_run[1], "--format", "md")
    assert (code, err) == (0, "reading results\n")
    assert "| task |" in out
    assert "| rank | attributor |" in out
    assert natfp("report", seed_run[1], "--format", "md", "-o", "docs/table.md")[0] == 0
    assert (tmp_path / "docs" / "table.md").read_text() == out
    assert natfp("report", seed_run[1], "--format", "md", "-o", "docs/table.md")[0] == 0
    (tmp_path / "docs" / "thesis.tex").write_text("mine")
    code, _, err = natfp("report", seed_run[1], "--format", "md", "-o", "docs/thesis.tex")
    assert (code, (tmp_path / "docs" / "thesis.tex").read_text()) == (2, "mine")
    assert "docs/thesis.tex was not written by this command" in err
    code, _, err = natfp("report", seed_run[1], "--format", "md", "-o", "docs")
    assert code == 2
    assert "docs: cannot be written" in err


def test_the_command_writes_figures_for_papers(natfp: Natfp, seed_run: Any, bench: Any, tmp_path: Path) -> None:
    code, out, _ = natfp("report", seed_run[1], "--figures", "figures", "--store", bench.store)
    assert code == 0
    drawn = sorted((tmp_path / "figures").glob("*.svg"))
    assert f"{len(drawn)} figures" in out
    assert len(drawn) > 10
    for path in drawn:
        root = ET.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert float(root.attrib["width"]) < 900
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")


def test_the_command_writes_chosen_figures(natfp: Natfp, seed_run: Any, bench: Any, tmp_path: Path) -> None:
    few = ("report", seed_run[1], "--figures", "figures", "--store", bench.store, "--only")
    code, out, _ = natfp(*few, "index-factors,*-length")
    assert code == 0
    assert "2 figures" in out
    names = {path.stem.rsplit("-", 1)[1] for path in (tmp_path / "figures").glob("*.svg")}
    assert names == {"factors", "length"}
    next((tmp_path / "figures").glob("*-length.svg")).unlink()
    assert natfp(*few, "index-factors")[0] == 0, "its own figures are replaced"
    listed = json.loads((tmp_path / "figures" / report.MANIFEST).read_text())["files"]
    assert sorted(listed) == sorted(path.name for path in (tmp_path / "figures").glob("*.[ps][dv][fg]"))
    (tmp_path / "figures" / report.MANIFEST).unlink()
    drawn = next((tmp_path / "figures").glob("*-factors.svg"))
    drawn.write_text("mine")
    code, _, err = natfp(*few, "index-factors")
    assert (code, drawn.read_text()) == (2, "mine")
    assert f"belong to no report: {drawn.with_suffix('.pdf').name}, {drawn.name}\n" in err
    assert natfp(*few, "index-factors", "--overwrite")[0] == 0
    assert drawn.read_text() != "mine"
    code, _, err = natfp(*few, "index-factor")
    assert code == 2
    assert "unknown figure 'index-factor'" in err
    assert "did you mean: index-factors" in err
    code, _, err = natfp("report", seed_run[1], "-o", "site", "--only", "index-factors")
    assert code == 2
    assert "--figures FOLDER" in err


def test_only_the_pages_of_chosen_figures_are_made_and_progress_is_told(site: Any, bench: Any) -> None:
    folder, made = site
    of = report.read(find([folder.parent / "results"]), bench.store)
    told: list[tuple[str, int, int]] = []
    few = list(report.pages(of, ["index-*"], lambda *said: told.append(said)))
    assert [one.path for one in few] == ["index.html"]
    assert told == [("index.html", 0, 1)]
    some = list(report.pages(of, ["tasks-seed_id-*-length", "attributors-unigram-tasks"]))
    assert {one.path.split("/")[0] for one in some} == {"tasks", "attributors"}
    assert len(some) < len(made)
    assert set(report.chosen_figures(made, ["*-length"])) == set(
        report.chosen_figures(report.pages(of, ["*-length"]), ["*-length"])
    )


@pytest.mark.slow
def test_several_processes_make_the_same_site(site: Any, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MANY", 2)
    of = report.read(find([site[0].parent / "results"]), bench.store)
    assert report.render(list(report.pages(of, workers=2)), "x") == report.render(site[1], "x")


def test_bad_input_is_reported(natfp: Natfp, seed_run: Any, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    bad = tmp_path / "bad" / "result.json"
    bad.parent.mkdir()
    bad.write_text("{}")
    for arguments, said in (
        (("nothing", "-o", "site"), "no results found"),
        (("missing", "-o", "site"), "no results at 'missing'"),
        (("bad", "-o", "site"), "not a result of schema 1"),
        ((seed_run[1],), "add -o site"),
        ((seed_run[1], "-o", "site", "--format", "pdf"), "unknown format 'pdf'"),
        ((seed_run[1], "-o", "site", "--format", "text"), "cannot be combined with --format text"),
    ):
        code, _, err = natfp("report", *arguments)
        assert code == 2, arguments
        assert said in err
        assert not (tmp_path / "site").exists()
    code, out, err = natfp("report", seed_run[1], "bad", "--format", "text")
    assert code == 1
    assert f"skipped: {bad.relative_to(tmp_path)}" in err
    assert "seed_id" in out
