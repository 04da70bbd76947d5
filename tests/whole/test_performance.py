"""The measuring of performance: its own arithmetic, and a cut-down run. No test judges a time."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
MODULES = ("performance", "performance_ground", "performance_rows", "straight", "straight_studies", "workloads")


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    """The scripts as modules."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture
def ground(modules: dict[str, ModuleType]) -> ModuleType:
    return modules["performance_ground"]


def test_measures_in_turn_and_takes_medians(ground: ModuleType) -> None:
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
def test_a_bar_holds(ground: ModuleType, kind: str, limit: float, value: float, holds: bool) -> None:
    bar = ground.Bar(limit, kind)
    assert bar.holds(value) is holds
    assert ground.Row("x", "1", "2", value, bar).reached is holds


def test_the_table_says_what_was_missed_and_what_has_no_bar(modules: dict[str, ModuleType], ground: ModuleType) -> None:
    rows = [
        ground.Row("training", "30", "20", 1.5, ground.Bar(1.5)),
        ground.Row("sampling", "5", "2", 2.5, ground.Bar(3)),
        ground.Row("memory", "900 MB", "850 MB", 50.4, ground.Bar(200, "under", " MB")),
        ground.Row("compiled", "3", "2", 1.5),
    ]
    parts = {"train": ground.Part(rows, ["A note."])}
    bounds = {"train": "bounded by luck."}
    text = modules["performance"].document(parts, bounds, "python x.py", 61.0, judged=True)
    assert "| training | 30 | 20 | 1.50× | at least 1.5× | yes |" in text
    assert "| sampling | 5 | 2 | 2.50× | at least 3× | **no** |" in text
    assert "| memory | 900 MB | 850 MB | 50 MB | under 200 MB | yes |" in text
    assert "| compiled | 3 | 2 | 1.50× |  |  |" in text
    assert "- `train`: bounded by luck. A note." in text
    assert "**no**" not in modules["performance"].document(parts, bounds, "python x.py", 61.0, judged=False)


def test_the_document_names_no_host_and_no_folder(modules: dict[str, ModuleType]) -> None:
    import platform

    text = "\n".join(modules["performance"].environment_lines())
    assert platform.node() not in text.split()
    assert str(Path.home()) not in text
    assert "torch" in text


def test_every_row_says_what_bounds_it(modules: dict[str, ModuleType]) -> None:
    assert modules["performance_rows"].ROWS.keys() == modules["performance_rows"].BOUNDS.keys()


@pytest.mark.parametrize("code", [0, 1])
def test_a_missed_bar_is_exit_code_1(
    modules: dict[str, ModuleType], ground: ModuleType, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = ground.Part([ground.Row("x", "1", "2", 1.0 - code, ground.Bar(1.0))])
    monkeypatch.setitem(modules["performance_rows"].ROWS, "start", lambda _: part)
    script, output = modules["performance"], tmp_path / "new" / "performance.md"
    assert script.main(["--only", "start", "-o", str(output)]) == code
    assert "| x | 1 | 2 |" in output.read_text()
    output.unlink()
    assert script.main(["--only", "start", "--quick"]) == 0
    assert not output.exists()


def test_an_unknown_row_is_told(modules: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        modules["performance"].main(["--only", "start,speed"])
    assert stopped.value.code == 2
    assert "no row speed" in capsys.readouterr().err


def test_a_training_is_clocked_from_its_warm_step_on(modules: dict[str, ModuleType]) -> None:
    clock = modules["workloads"].Clock(20)
    for done in (10, 20, 30, 40):
        clock(done, 40, "tokens")
    span = clock.span
    assert span.tokens == 20
    assert 0 < span.start <= span.end


def test_text_files_have_the_size_that_is_asked_for_and_lines_that_differ(ground: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    ground.write_text(path, 2_000_000)
    assert path.stat().st_size == 2_000_000
    paragraphs = path.read_text().split("\n\n")
    assert len(set(paragraphs)) == len(paragraphs)


def test_memory_counts_the_whole_family(ground: ModuleType, tmp_path: Path) -> None:
    hold = "import time; kept = bytearray(b'x') * 150_000_000; time.sleep(1)"
    family = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    assert 150 < ground.peak_memory(["-c", family], tmp_path) < 300


def test_a_program_that_fails_is_told(ground: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"exit code 3\n.*woe"):
        ground.printed(["-c", "import sys; print('woe', file=sys.stderr); sys.exit(3)"], tmp_path)


@pytest.mark.slow
def test_the_quick_form_runs_through(modules: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]) -> None:
    assert modules["performance"].main(["--quick", "--only", "train,score,start"]) == 0
    printed = capsys.readouterr().out
    for what in ("training, plain, tokens/s", "likelihood of texts, tokens/s", "`natfp-bench list`, processor time"):
        assert f"| {what} |" in printed
