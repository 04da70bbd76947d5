"""Tables of what attributors read, from figures made by hand: rungs in order, and what was not reached is said."""

from __future__ import annotations

from pathlib import Path

from made_results import PROMPT, studied, write_result

from natfp_bench.pipeline import result_files as results
from natfp_bench.report.reading_tables import reading_tables
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.reading import PartRead, Reading


def part(name: str, share: float, bits_share: float = 0.5) -> PartRead:
    found = Interval(value=share, low=share - 0.1, high=share + 0.1, method="least squares", units="prompts", n_units=9)
    return PartRead(part=name, share=found, bits_share=bits_share)


def reading(name: str, share: float, needed: float | None) -> Reading:
    return Reading(
        attributor=name,
        whole=part("all", share, 1.0),
        by_type=(part("name", share + 0.1), part("content", share - 0.1)),
        by_position=(part("1", share), part("2", share)),
        texts_to_99=needed,
        most_texts=48,
    )


def test_attributors_stand_by_what_they_read(tmp_path: Path) -> None:
    study = studied(readings=(reading("weak", 0.2, None), reading("strong", 0.6, 7.26)))
    path = write_result(tmp_path, "any_id", {PROMPT: {"weak": 0.3, "strong": 0.5, "ceiling": 0.9}}, study=study)
    by_type, by_position = reading_tables(results.read(path))
    assert by_type.columns == ("attributor", "all tokens", "name (50%)", "content (50%)", "texts for 99%")
    assert by_type.texts == [
        ["strong", "0.60 0.50–0.70", "0.70 0.60–0.80", "0.50 0.40–0.60", "7.3"],
        ["weak", "0.20 0.10–0.30", "0.30 0.20–0.40", "0.10 0.00–0.20", "> 48"],
    ]
    assert by_position.columns == ("attributor", "1 (50%)", "2 (50%)")
    assert [row[0] for row in by_position.texts] == ["strong", "weak"]


def test_a_result_without_readings_has_no_table(tmp_path: Path) -> None:
    path = write_result(tmp_path, "any_id", {PROMPT: {"weak": 0.3}}, study=studied())
    assert list(reading_tables(results.read(path))) == []
