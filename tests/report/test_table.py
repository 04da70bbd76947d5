"""Bars of tables: estimates below chance are drawn where they are, and nothing is cut off."""

from __future__ import annotations

from made_results import plain

from natfp_bench.report.table import BAR, bar_cell


def test_an_estimate_below_zero_is_drawn_below_zero() -> None:
    bar = bar_cell(plain(-0.05, 0.1), 0.02).bar
    assert bar is not None
    assert (bar.at, bar.low, bar.high, bar.mark) == (-0.05 * BAR, -0.15 * BAR, 0.05 * BAR, 0.02 * BAR)


def test_what_does_not_fit_is_printed_instead() -> None:
    for found in (plain(-0.3, 0.1), plain(-0.2, 0.1), plain(0.95, 0.1)):
        cell = bar_cell(found)
        assert cell.bar is None
        assert cell.text.startswith(f"{found.value:.2f} ")
        assert cell.sort == found.value
    assert bar_cell(plain(0.5), 1.2).text == "0.50"
