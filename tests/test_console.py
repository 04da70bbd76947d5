"""What people see: bars on a terminal, lines elsewhere, and text that is never taken for markup."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from natfp_bench import console
from natfp_bench.engine import Event, Job
from natfp_bench.metrics import Interval

JOB = Job("train a/r0", "train", "m:f", None)


def watched(events: list[Event], *, terminal: bool) -> str:
    file = io.StringIO()
    with console.Watcher(Console(file=file, force_terminal=terminal, width=80, highlight=False)) as watch:
        for event in events:
            watch(event)
        assert watch.started == {}
        assert not watch.bars
    return file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_job_that_starts_twice_ends_once(terminal):
    events = [Event("start", JOB), Event("progress", JOB, 5, 10, "tokens"), Event("start", JOB), Event("end", JOB)]
    assert "train a/r0: 0.0 s" in watched(events, terminal=terminal)


def test_lines_when_piped_and_no_word_of_short_jobs():
    score = Job("score a under b", "score", "m:f", None)
    seen = watched([Event("start", score), Event("end", score)], terminal=False)
    assert seen == ""
    warned = watched([Event("warning", JOB, text="[red]odd[/] \x1b name")], terminal=False)
    assert "warning: [red]odd[/]" in warned


def test_intervals_and_p_values():
    def interval(low, high):
        return Interval(value=0.5, low=low, high=high, method="bootstrap", units="prompts", n_units=9)

    assert console.interval(interval(0.25, 0.75)) == "0.500 0.250–0.750"
    assert console.interval(interval(-0.25, 0.75)) == "0.500 -0.250 to 0.750"
    assert console.interval(interval(None, None)) == "0.500"
    assert console.interval(None) == ""
    assert (console.p_value(-0.301), console.p_value(-300.2), console.p_value(None)) == ("0.500", "1e-300", "")


def test_cells_and_titles_are_never_markup():
    file = io.StringIO()
    Console(file=file, width=80).print(console.table("[b]t[/b]", ("name",), [("[red]x[/red]",)]))
    assert "[b]t[/b]" in file.getvalue()
    assert "[red]x[/red]" in file.getvalue()
