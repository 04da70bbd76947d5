"""The script that measures performance: its arithmetic, and a short run. No test judges a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import performance
import performance_ground as ground
import performance_rows as rows
import pytest
import workloads


def test_measures_in_turn_and_takes_medians() -> None:
    ours, theirs, order = iter([10.0, 1000.0, 12.0]), iter([4.0, 6.0, 0.0]), []

    def measured(name: str, values: Iterator[float]) -> float:
        order.append(name)
        return next(values)

    found = ground.alternate(lambda: measured("a", ours), lambda: measured("b", theirs), 3)
    assert found == (12.0, 4.0)
    assert "".join(order) == "ababab"


@pytest.mark.parametrize(
    ("kind", "limit", "value", "holds"),
    [
        ("at least", 1.5, 1.5, True),
        ("at least", 1.5, 1.49, False),
        ("under", 2.0, 1.99, True),
        ("under", 2.0, 2.0, False),
        ("under", 200.0, -7.0, True),
    ],
)
def test_a_bar_holds(kind: str, limit: float, value: float, holds: bool) -> None:
    bar = ground.Bar(limit, kind)
    assert bar.holds(value) is holds
    assert ground.Row("x", "1", "2", value, bar).reached is holds


def test_the_table_says_what_was_missed_and_what_has_no_bar() -> None:
    table = [
        ground.Row("training", "30", "20", 1.5, ground.Bar(1.5)),
        ground.Row("sampling", "5", "2", 2.5, ground.Bar(3)),
        ground.Row("memory", "900 MB", "850 MB", 50.4, ground.Bar(200, "under", " MB")),
        ground.Row("compiled", "3", "2", 1.5),
    ]
    parts = {"train": ground.Part(table, ["A note."])}
    limits = {"train": "Limited by luck."}
    text = performance.document(parts, limits, "python x.py", 61.0, judged=True)
    assert "| training | 30 | 20 | 1.50× | at least 1.5× | yes |" in text
    assert "| sampling | 5 | 2 | 2.50× | at least 3× | **no** |" in text
    assert "| memory | 900 MB | 850 MB | 50 MB | under 200 MB | yes |" in text
    assert "| compiled | 3 | 2 | 1.50× |  |  |" in text
    assert "- `train`: Limited by luck. A note." in text
    assert "**no**" not in performance.document(parts, limits, "python x.py", 61.0, judged=False)


def test_the_document_names_no_host_and_no_folder() -> None:
    import platform

    text = "\n".join(performance.environment_lines())
    assert platform.node() not in text.split()
    assert str(Path.home()) not in text
    assert "torch" in text


def test_every_row_says_what_limits_it() -> None:
    assert rows.ROWS.keys() == rows.LIMITS.keys()


@pytest.mark.parametrize("code", [0, 1])
def test_a_missed_bar_is_exit_code_1(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = ground.Part([ground.Row("x", "1", "2", 1.0 - code, ground.Bar(1.0))])
    monkeypatch.setitem(rows.ROWS, "start", lambda _: part)
    output = tmp_path / "new" / "performance.md"
    assert performance.main(["--only", "start", "-o", str(output)]) == code
    assert "| x | 1 | 2 |" in output.read_text()
    output.unlink()
    assert performance.main(["--only", "start", "--quick"]) == 0
    assert not output.exists()


def test_an_unknown_row_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        performance.main(["--only", "start,speed"])
    assert stopped.value.code == 2
    assert "no row speed" in capsys.readouterr().err


def test_a_training_is_timed_from_its_warm_step_on() -> None:
    clock = workloads.Clock(20)
    for done in (10, 20, 30, 40):
        clock(done, 40, "tokens")
    span = clock.span
    assert span.tokens == 20
    assert 0 < span.start <= span.end


def test_text_files_have_their_size_and_lines_that_differ(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    ground.write_text(path, 2_000_000)
    assert path.stat().st_size == 2_000_000
    paragraphs = path.read_text().split("\n\n")
    assert len(set(paragraphs)) == len(paragraphs)


def test_memory_counts_the_whole_family(tmp_path: Path) -> None:
    hold = "import time; kept = bytearray(b'x') * 150_000_000; time.sleep(1)"
    family = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    assert 150 < ground.peak_memory(["-c", family], tmp_path) < 300


def test_a_program_that_fails_is_reported(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"exit code 3\n.*woe"):
        ground.printed(["-c", "import sys; print('woe', file=sys.stderr); sys.exit(3)"], tmp_path)


def test_the_guard_asks_for_half_and_fails_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in rows.GUARDED:
        monkeypatch.setitem(rows.ROWS, name, lambda _: ground.Part([]))
    for value, code in ((1.0, 0), (0.99, 1)):
        part = ground.Part([ground.Row("x", "1", "2", value, ground.Bar(2.0))])
        monkeypatch.setitem(rows.ROWS, "score", lambda _, part=part: part)
        assert performance.main(["--guard"]) == code
    assert ground.Bar(2.0, "under").loose() == ground.Bar(4.0, "under")


def test_the_document_says_how_the_time_grows() -> None:
    part = ground.Part([], growth=[["`run`: variants, from 2 on", "20 s", "1.0×", "1.5×", "2.0×", "3.9×"]])
    text = performance.document({"growth": part}, {"growth": "Each once."}, "python x.py", 61.0, judged=True)
    assert "| what grows | time | 1× | 2× | 4× | 8× |\n|---|---|---|---|---|---|\n" in text
    assert "| `run`: variants, from 2 on | 20 s | 1.0× | 1.5× | 2.0× | 3.9× |" in text
