"""The command `regress`: exit codes, messages, and every format as its reader sees it."""

from __future__ import annotations

import functools
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fresh_python import loaded_by
from markdown_it import MarkdownIt
from planted_answers import (
    HOSTILE,
    TRUTH,
    Given,
    planted,
    skilled,
    weakened,
)

from natfp_bench.report import regression_formats as regress_formats
from natfp_bench.results import regression
from natfp_bench.results.regression import RegressionReport
from natfp_bench.statistics import per_text


@pytest.fixture
def called(natfp: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    """Call `natfp-bench regress`."""
    return functools.partial(natfp, "regress")


BEFORE: Given = {"u": skilled(1), "good": skilled(2), "gone": skilled(3), HOSTILE: skilled(4), "still": skilled(5)}
NOW: Given = {
    "u": weakened(skilled(1), 0.1),
    "good": skilled(2, 2.5),
    HOSTILE: weakened(skilled(4), 0.2),
    "still": skilled(5),
    "broken": "fit raised\n100% of it",
    "fresh": skilled(6),
}


@pytest.fixture
def ready(called: Any, tmp_path: Path) -> Path:
    """A folder with `ref.parquet`, and `results` in which much has moved."""
    planted(tmp_path / "before", BEFORE)
    code, out, err = called("--reference", "ref.parquet", "--results", "before", "--update")
    assert (code, err) == (0, "")
    size = (tmp_path / "ref.parquet").stat().st_size
    assert out == f"ref.parquet: 5 scores of 1 tasks, {size:,} bytes\n"
    planted(tmp_path / "results", NOW)
    return tmp_path


def test_exit_codes(called: Any, ready: Path) -> None:
    code, out, _ = called("--reference", "ref.parquet", "--results", "before")
    assert (code, out) == (0, "ok: 5 comparisons with ref.parquet (5 same)\n")
    assert called("--reference", "ref.parquet")[0] == 1
    planted(ready / "allowed", {"u": skilled(1)})
    assert called("--reference", "ref.parquet", "--results", "allowed")[0] == 1
    assert called("--reference", "ref.parquet", "--results", "allowed", "--allow-missing")[0] == 0
    planted(ready / "dropped", {**BEFORE, "u": weakened(skilled(1), 0.1)})
    assert called("--reference", "ref.parquet", "--results", "dropped")[0] == 1
    assert called("--reference", "ref.parquet", "--results", "dropped", "--drop", "0.11")[0] == 0
    assert called("--reference", "ref.parquet", "--results", "dropped", "--alpha", "1e-300")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--reference", "none.parquet"], ["no reference at 'none.parquet'", "--update"]),
        (["--reference", "ref.parquet", "--format", "xml"], ["unknown format 'xml'"]),
        (["--reference", "ref.parquet", "--format", "jnit"], ["did you mean: junit"]),
        (["--reference", "ref.parquet", "--results", "nowhere"], ["no results at 'nowhere'"]),
        (["--reference", "ref.parquet", "--results", "empty"], ["no results in empty"]),
        (
            ["--reference", "ref.parquet", "--results", "other"],
            ["preset: quick in the reference, smoke in the results"],
        ),
        (["--reference", "ref.parquet", "--alpha", "2"], ["--alpha"]),
        (["--reference", "empty"], ["empty is a folder"]),
        (["--reference", "empty", "--results", "before", "--update"], ["empty is a folder"]),
        (
            ["--reference", "ref.parquet", "--update"],
            ["a reference cannot be made", "broken on seed_id (quick)", "fit raised"],
        ),
        ([], ["--reference"]),
    ],
)
def test_wrong_input_gets_one_message(called: Any, ready: Path, arguments: list[str], said: list[str]) -> None:
    (ready / "empty").mkdir()
    planted(ready / "other", {"u": skilled(1)}, preset="smoke", protocol_digest="q" * 64)
    before = (ready / "ref.parquet").read_bytes()
    code, out, err = called(*arguments)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    for part in said:
        assert part in err
    assert (ready / "ref.parquet").read_bytes() == before


def test_the_table_tells_what_moved(called: Any, ready: Path) -> None:
    code, out, _ = called("--reference", "ref.parquet")
    assert code == 1
    lines = out.splitlines()
    words = [line.split()[0] for line in lines if line.split()]
    assert [words.count(word) for word in ("regression", "failed", "missing", "improvement", "new", "same")] == [
        2, 1, 1, 1, 1, 0
    ]  # fmt: skip
    (row,) = (line for line in lines if line.split()[:2] == ["regression", "u"])
    change = per_text.credits(skilled(1), TRUTH).mean()
    assert f"{change:.3f} → {change - 0.1:.3f}" in row
    assert "-0.100" in row
    assert "\x1b" not in out
    assert lines[-1] == (
        "FAILED: 4 comparisons with ref.parquet (2 regression, 1 failed, 1 missing, 1 improvement, 1 new, 1 same)"
    )


def test_json_has_everything(called: Any, ready: Path) -> None:
    code, out, _ = called("--reference", "ref.parquet", "--format", "json")
    found = json.loads(out)
    assert (code, found["ok"]) == (1, False)
    assert set(found) == {"ok", "counts", "reference", "alpha", "drop", "allow_missing", "findings"}
    assert found["counts"] == {"regression": 2, "failed": 1, "missing": 1, "improvement": 1, "new": 1, "same": 1}
    by_name = {finding["place"]["attributor"]: finding for finding in found["findings"]}
    assert set(by_name["u"]) == {"verdict", "place", "change", "error"}
    assert set(by_name["u"]["place"]) == {"task", "preset", "protocol_digest", "target", "split", "attributor"}
    assert set(by_name["u"]["change"]) == set(regression.Change.model_fields)
    assert by_name["broken"]["error"] == NOW["broken"]
    assert by_name[HOSTILE]["verdict"] == "regression"


def test_markdown_is_a_table(called: Any, ready: Path) -> None:
    code, out, _ = called("--reference", "ref.parquet", "--format", "md")
    assert code == 1
    tokens = MarkdownIt("commonmark").enable("table").parse(out)
    assert [token.type for token in tokens if token.type == "html_block"] == []
    cells = [token.content for before, token in itertools.pairwise(tokens) if before.type in ("td_open", "th_open")]
    columns = len(regress_formats.table_of(RegressionReport(
        reference="", alpha=0.01, drop=0.02, allow_missing=False, findings=()
    )).columns)  # fmt: skip
    assert len(cells) == columns * 7  # a header, and six that moved
    assert [cells[i] for i in range(columns, len(cells), columns)] == [
        "regression", "regression", "failed", "missing", "improvement", "new"
    ]  # fmt: skip
    called("--reference", "ref.parquet", "--results", "before", "--format", "md")
    same = called("--reference", "ref.parquet", "--results", "before", "--format", "md")
    assert same[1] == "**ok: 5 comparisons with ref.parquet (5 same)**\n"


def test_junit_is_read_by_a_parser(called: Any, ready: Path) -> None:
    code, out, _ = called("--reference", "ref.parquet", "--format", "junit")
    assert code == 1
    root = ElementTree.fromstring(out.encode())
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    totals = {"tests": "7", "failures": "2", "errors": "2", "skipped": "1"}
    assert {name: suite.attrib[name] for name in totals} == totals
    cases = {case.attrib["name"]: case for case in suite}
    assert cases["u"].attrib["classname"] == "seed_id.quick.level.unseen_prompt"
    assert {name: [child.tag for child in case] for name, case in cases.items() if "x|y" not in name} == {
        "u": ["failure"], "broken": ["error"], "gone": ["error"], "good": ["system-out"], "fresh": ["skipped"],
        "still": ["system-out"],
    }  # fmt: skip
    failure = cases["u"].find("failure")
    assert failure is not None
    assert failure.attrib["type"] == "regression"
    assert failure.text == failure.attrib["message"]
    assert "200 of 2,000 texts" in (failure.text or "")
    (hostile,) = (name for name in cases if "x|y" in name)
    assert hostile.startswith("x|y <b> ::error::100%, \\x1b[31m\\r")
    allowed = called("--reference", "ref.parquet", "--allow-missing", "--format", "junit")[1]
    assert ElementTree.fromstring(allowed.encode())[0].attrib["skipped"] == "2"


def test_github_gets_commands_that_it_can_read(called: Any, ready: Path) -> None:
    code, out, _ = called("--reference", "ref.parquet", "--format", "github")
    assert code == 1
    *commands, last = out.splitlines()
    assert last.startswith("FAILED: 4 comparisons")
    levels = [command.split(" ")[0] for command in commands]
    assert levels == ["::error"] * 4 + ["::notice"] * 2
    for command in commands:
        head, title, message = command.split("::", 2)[0:1] + command.split("::", 2)[1:]
        assert head == ""
        assert title.split(" title=", 1)[1].count(",") == title.split(" title=", 1)[1].count(":") == 0
        assert message.isprintable()
    (broken,) = (command for command in commands if "broken" in command)
    assert broken.endswith("failed: fit raised%0A100%25 of it")
    assert broken.startswith("::error title=failed%3A broken::broken on seed_id (quick), level, unseen_prompt ")
    (hostile,) = (command for command in commands if "x|y" in command)
    assert hostile.startswith("::error title=regression%3A x|y <b> %3A%3Aerror%3A%3A100%25%2C \\x1b[31m\\r%0A&::")
    _, allowed, _ = called("--reference", "ref.parquet", "--format", "github", "--allow-missing")
    assert any(line.startswith("::warning title=missing%3A gone::") for line in allowed.splitlines())


def test_a_real_run_against_itself_and_weakened(called: Any, seed_run: Any, tmp_path: Path) -> None:
    _, folder = seed_run
    reference = ("--reference", tmp_path / "ref.parquet")
    assert called(*reference, "--results", folder, "--update")[0] == 0
    code, out, _ = called(*reference, "--results", folder, "--format", "json")
    assert (code, json.loads(out)["counts"]) == (0, {"same": 5})
    changed = tmp_path / "changed"
    shutil.copytree(folder, changed)
    table = pq.read_table(changed / "predictions.parquet")
    rows = table.to_pylist()
    for row in rows:
        if row["attributor"] == "ceiling":
            row["proba"] = row["proba"][1:] + row["proba"][:1]  # every class gets its neighbour's
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), changed / "predictions.parquet")
    code, out, _ = called(*reference, "--results", changed, "--format", "json")
    findings = json.loads(out)["findings"]
    assert code == 1
    assert [finding["place"]["attributor"] for finding in findings if finding["verdict"] == "regression"] == ["ceiling"]


def test_the_command_loads_no_machine_learning(ready: Path) -> None:
    assert loaded_by("regress", "--reference", "ref.parquet", "--results", "before", folder=ready) == ["scipy"]
