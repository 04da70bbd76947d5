"""The script that times the tests: it adds up a report of pytest."""

from __future__ import annotations

from pathlib import Path

import pytest
import times

REPORT = """<testsuites><testsuite name="pytest">
<testcase classname="tests.models.test_train" name="test_a[x.y]" time="2.5" />
<testcase classname="tests.models.test_train" name="test_b" time="0.25"><skipped /></testcase>
<testcase classname="tests.plan.test_plan.TestPlan" name="test_c" time="7.0" />
</testsuite></testsuites>"""


def test_times_are_those_of_the_report_by_room(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    lines = times.table("test", 61.0, times.read(tmp_path / "report.xml"), 2).splitlines()
    assert lines[0] == "make test: 61 s by the clock, 3 tests"
    assert [line.split() for line in lines[1:3]] == [
        ["7.0", "s", "plan,", "1", "tests"],
        ["2.8", "s", "models,", "2", "tests"],
    ]
    assert [line.split()[2] for line in lines[4:]] == [
        "plan/test_plan.TestPlan::test_c",
        "models/test_train::test_a[x.y]",
    ]


def test_only_targets_that_it_can_time(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        times.main(["lint"])
    assert stopped.value.code == 2
    assert "unknown target lint" in capsys.readouterr().err
