"""What people see: bars on a terminal, lines elsewhere, and text that is never interpreted as markup."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from natfp_bench.cli import console, progress, terminal
from natfp_bench.corpus.metas import CorpusFile
from natfp_bench.pipeline.engine import Event, Job
from natfp_bench.pipeline.result import (
    CorpusResult,
    Detectable,
    FactorResult,
    FactorStudy,
    Gap,
    Length,
    LengthPoint,
    Permuted,
    Result,
    Robustness,
    RunInfo,
    Wording,
)
from natfp_bench.report import leaderboard_tables, result_tables
from natfp_bench.report import table as report_table
from natfp_bench.results.leaderboard import AttributorMean, AttributorRow, FactorRow, Identified, Leaderboards, Standing
from natfp_bench.results.protocols import Setting
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.replication import Equivalence, Permanova
from natfp_bench.statistics.replication import PermutationTest as Permutation
from natfp_bench.statistics.token_evidence import TypeRatio
from natfp_bench.statistics.wording import TellingWord

JOB = Job("train a/r0", "train", "m:f", None)


def watched(events: list[Event], *, terminal: bool) -> str:
    file = io.StringIO()
    with progress.Watcher(Console(file=file, force_terminal=terminal, width=80, highlight=False)) as watch:
        for event in events:
            watch(event)
        assert watch.started == {}
        assert not watch.bars
    return file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_a_job_that_starts_twice_ends_once(terminal):
    events = [Event("start", JOB), Event("progress", JOB, 5, 10, "tokens"), Event("start", JOB), Event("end", JOB)]
    assert "train, 1 job in 0.0 s" in watched(events, terminal=terminal)


def test_piped_output_gets_one_line_per_stage_with_the_name_of_the_task():
    file = io.StringIO()
    jobs = [Job(f"train {level}/r0", "train", "m:f", None) for level in "abc"]
    with progress.Watcher(Console(file=file, width=80)) as watch:
        watch.begin("seed_id", "3 models")
        watch(Event("planned", Job("", "train", "", None), total=3))
        for job in jobs:
            watch(Event("start", job))
            watch(Event("end", job))
        watch(Event("warning", JOB, text="odd"))
    assert file.getvalue().splitlines() == [
        "seed_id: 3 models",
        "seed_id: train, 3 jobs in 0.0 s",
        "warning: seed_id: odd",
    ]


def test_a_terminal_shows_jobs_done_of_all_and_the_time_left():
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    watch = progress.Watcher(screen)
    watch.begin("seed_id", "4 models")
    watch(Event("planned", Job("", "train", "", None), total=4))
    watch(Event("start", JOB))
    watch.stages["train"].started -= 60  # half of one job of four took a minute
    watch(Event("progress", JOB, 5, 10, "tokens"))
    with screen.capture() as shown:
        screen.print(watch.progress.get_renderable())
    lines = Text.from_ansi(shown.get()).plain.splitlines()
    assert re.search(r"seed_id: train +[━╸╺]+ +0 of 4 jobs, 7 min left", "\n".join(lines))
    assert re.search(r"seed_id: train a/r0 +[━╸╺]+ +50% ", "\n".join(lines))


def test_something_is_said_before_the_libraries_are_imported():
    file = io.StringIO()
    with progress.Watcher(Console(file=file, width=80), "reading tasks"):
        assert file.getvalue() == "reading tasks\n"


@pytest.mark.parametrize(("seconds", "said"), [(4.24, "4.2 s"), (48.4, "48 s"), (170, "3 min"), (7800, "2 h 10 min")])
def test_times_as_people_say_them(seconds: float, said: str) -> None:
    assert progress.duration(seconds) == said


def test_a_warning_is_never_markup():
    warned = watched([Event("warning", JOB, text="[red]odd[/] \x1b name")], terminal=False)
    assert "warning: [red]odd[/] \\x1b name" in warned


def test_intervals_and_p_values():
    def interval(low, high):
        return Interval(value=0.5, low=low, high=high, method="bootstrap", units="prompts", n_units=9)

    assert report_table.interval(interval(0.25, 0.75)) == "0.500 0.250–0.750"
    assert report_table.interval(interval(-0.25, 0.75)) == "0.500 -0.250 to 0.750"
    assert report_table.interval(interval(None, None)) == "0.500"
    assert report_table.interval(None) == ""
    assert [report_table.log_p(p) for p in (-0.301, -300.2, None)] == ["0.500", "< 1e-16", ""]


def test_cells_and_titles_are_never_markup():
    file = io.StringIO()
    Console(file=file, width=80).print(terminal.table("[b]t[/b]", ("name",), [("[red]x[/red]",)]))
    assert "[b]t[/b]" in file.getvalue()
    assert "[red]x[/red]" in file.getvalue()


def test_control_characters_are_escaped():
    file = io.StringIO()
    hostile = report_table.ReportTable("\x1b]0;title\x07", ("name",), [("\x1b[2J\u202ex",)], caption="\x1b[1m")
    terminal.print_table(Console(file=file, width=80), hostile)
    assert "\x1b" not in file.getvalue()
    assert "\\x1b[2J\\u202ex" in file.getvalue()


def test_numbers_in_short():
    t = Interval(value=0.5, low=0.4, high=0.6, method="t", units="replicates", n_units=3)
    assert report_table.spread(t) == "0.50 ± 0.10"
    assert report_table.spread(t.model_copy(update={"method": "bootstrap"})) == "0.50"
    assert report_table.spread(None) == ""
    assert report_table.number(-1e-17) == "0.000"
    assert report_table.number(-0.0051, 2) == "-0.01"


ONLY_BY_CHANCE = Permutation(p=1 / 6, smallest=1 / 6, permutations=5, exhaustive=True, testable=False)
TESTED = Permutation(p=0.028, smallest=1 / 36, permutations=35, exhaustive=True, testable=True)


EQUALLY_GOOD: dict[str, Any] = {"margin": 0.01, "units": "replicates", "worst_ratio": 1.117, "p": 1.0}
EQUALLY_GOOD |= {"p_worse": 0.2, "answer": "not shown"}


def plain(value: float, **more: Any) -> Interval:
    return Interval(
        **{"value": value, "low": None, "high": None, "method": "none", "units": "replicates", **more}, n_units=3
    )


def length(*accuracy: float, ceiling: bool = True, unit: str = "tokens", **reached: float | None) -> Length:
    points = tuple(
        LengthPoint(at=4 * 2**i, accuracy=plain(a), ceiling=0.9 if ceiling else None) for i, a in enumerate(accuracy)
    )
    return Length(unit=unit, points=points, **{"to_95": None, "ceiling_to_95": None, **reached})


def test_lengths_at_which_accuracy_reaches_95_percent():
    assert result_tables.length_to_95(None) == ""
    assert result_tables.length_to_95(length(0.4, 0.5)) == ">8 / >8"
    assert result_tables.length_to_95(length(0.4, 0.5, ceiling_to_95=5.6)) == ">8 / 6"
    # If no ceiling is known, none is printed.
    assert result_tables.length_to_95(length(0.4, 0.5, ceiling=False)) == ">8"


def factor_row(**parts: Any) -> FactorRow:
    nothing: dict[str, Any] = dict.fromkeys(FactorRow.model_fields)
    named = {"task": "lr_id", "factor": "peak learning rate", "protocol_digest": "0123456789", "levels": 3}
    return FactorRow(**{**nothing, **named, "replicates": 3, "current": True, **parts})


def test_the_significance_of_a_factor():
    assert leaderboard_tables.factor_p(factor_row(p=0.028)) == "0.028"
    assert leaderboard_tables.factor_p(factor_row(p=1 / 1296)) == "0.0008"
    assert leaderboard_tables.factor_p(factor_row(log10_p=-12.4)) == "1e-12"
    assert leaderboard_tables.factor_p(factor_row()) == ""


@pytest.fixture
def found() -> Leaderboards:
    """Leaderboards with a row of every section, as wide as they come."""
    t = plain(-0.123, low=-0.2, high=-0.046, method="t")
    shared = {"reference": t, "best": t, "best_attributors": ("char_ngram",), "bits": t}
    unseen = Identified(split="unseen_replicate", **shared, ceiling=None, ceiling_bits=None)
    seen = Identified(split="seen_replicate", **shared, ceiling=plain(0.845), ceiling_bits=plain(1.26))
    equivalence = Equivalence(**EQUALLY_GOOD, worst_pair=("a", "b"))
    whole = {"length": length(*[0.4] * 6), "detectable": 0.123, "reference": "naive_bayes"}
    whole |= {"unseen": unseen, "seen": seen, "equivalence": equivalence}
    p = {"p": 0.028, "p_floor": 1 / 36, "p_adjusted": 0.056}
    alone = {**whole, "unseen": None, "log10_p": -130.4}
    rows = (
        factor_row(**whole, **p, verdict="not found"),
        factor_row(**whole, **p, verdict="not testable", task="schedule_id", factor="learning-rate schedule"),
        factor_row(**alone, task="finetune_seed_id", factor="fine-tuning seed"),
        factor_row(**whole, task="data_id", factor="training topics", control="positive"),
        factor_row(**alone, task="null_run_id", factor="rerun", control="negative"),
        factor_row(**whole, task="weight_decay_id", current=False),
    )
    mean = plain(0.512, low=0.4, high=0.624, method="t")
    attributors = tuple(
        AttributorRow(
            attributor=name,
            floor=False,
            digests=digests,
            unseen=AttributorMean(identifiability=mean, rank=rank, tasks=13),
            seen=AttributorMean(identifiability=mean, rank=rank, tasks=21),
            failed=("lr_id",),
            fit_seconds=12345.6,
            predict_seconds=1234.5,
        )
        for name, rank, digests in (("neural_transformer", 1, ("0",)), ("char_ngram", None, ("0", "1")))
    )
    setting = Setting(preset="quick", corpus="chronicle", overrides={"optimizer.lr": 0.01}, seed=3, texts=4000)
    standing = Standing(setting=setting, factors=rows, attributors=attributors, tasks=21, held_out=13)
    return Leaderboards(standings=(standing,), boards=(), origins=(), faults=())


def printed(width: int, *arguments: Any, show: Any = console.print_leaderboards) -> str:
    file = io.StringIO()
    show(Console(file=file, width=width, highlight=False), *arguments)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def test_leaderboards_fit_eighty_columns(found):
    seen = printed(80, found)
    for part in ("quick, chronicle", "4,000 texts", "optimizer.lr=0.01", "seed 3"):
        assert part in seen.splitlines()[0]
    assert max(map(len, seen.splitlines())) <= 80
    for part in ("-0.12 ± 0.08", "-0.12 of 1.26", "< 1e-16", "not shown", "control:", "not testable", "0.056"):
        assert part in seen
    assert seen.count("weight_decay_id ") == 2
    assert "char_ngram (2 versions)" in seen
    assert "  best attributor" not in seen
    assert "shown from 110 columns on: best attributor" in seen


def test_a_roomy_console_shows_the_wide_columns(found):
    seen = printed(200, found)
    assert "best attributor" in seen
    assert "1.117" in seen
    assert ">128 / >128" in seen
    assert "char_ngram (2 versions)" in seen


@pytest.fixture
def result() -> Result:
    """What is printed of a result, with every part of a study."""
    words = [
        ("a", "[b]bold[/b]", 1.0, True, True),
        ("a", "never", -1.0, True, None),
        ("a", "unconfirmed", 1.0, False, True),
        ("b", "disagreeing", 1.0, True, False),
        *(("b", f"word{i}", 1.0, True, True) for i in range(12)),
    ]
    study = FactorStudy(
        reference="naive_bayes",
        permutation=Permuted(test=ONLY_BY_CHANCE, observed=0.501, spread=0.05),
        permanova=Permanova(f=2.568, r2=0.631, test=TESTED),
        gaps=(Gap(attributor="char_ngram", gap=plain(0.143, low=0.043, high=0.243, method="t"), p=0.9),),
        equivalence=Equivalence(**EQUALLY_GOOD, worst_pair=("a", "b")),
        detectable=Detectable(instance=0.225, factor=0.12),
        length=length(0.417, 0.451, ceiling_to_95=6.0),
        curves=(),
        robustness=(
            Robustness(condition="plain", trained_on="plain", train_texts=1000, accuracy=plain(0.498)),
            Robustness(condition="lower_case", trained_on="plain", train_texts=1000, accuracy=plain(0.538)),
            Robustness(condition="lower_case", trained_on="transformed", train_texts=1000, accuracy=plain(0.521)),
        ),
        wording=Wording(
            telling_words=tuple(
                TellingWord(
                    label=label, word=word, log_odds=odds, z_train=9.0, z_test=9.0, q=0.0, confirmed=sure, agrees=agrees
                )
                for label, word, odds, sure, agrees in words
            ),
            jensen_shannon=(),
        ),
        by_position=(),
        by_type=(
            TypeRatio(
                type="end", bits=None, standard_error=None, tokens=0, token_share=0.0, bits_share=None, impossible=0
            ),
        ),
        failed={},
    )
    run = RunInfo(id="1", command=(), started="", seconds={"total": 1.0}, work={}, attributors={}, environment={})
    factor = FactorResult(name="peak [i]rate[/i]", fields=("optimizer.lr",), levels=("a", "b"))
    files = (CorpusFile(name="a[b].txt", bytes=1234, digest="0123abc"), CorpusFile(name="b.txt"))
    corpus = CorpusResult(name="text:", digest="", documents=1, bytes=1, tokens=1, files=files, revision="v1")
    return Result.model_construct(
        variants=(), likelihood=(), mean_kl=None, study=study, run=run, factor=factor, scores=(), corpus=corpus
    )


def test_a_run_prints_everything_about_its_factor(result):
    seen = printed(80, result, [], show=console.print_details)
    assert max(map(len, seen.splitlines())) <= 80
    flowing = " ".join(seen.split())
    for part in (
        "corpus file a[b].txt: 1,234 bytes, SHA-256 0123abc",
        "corpus file b.txt: size and digest unknown",
        "corpus revision v1",
        "the factor: peak [i]rate[/i]",
        "char_ngram 0.143 ± 0.100",
        "0.501",
        "F 2.57, R² 0.63, p = 0.028",
        "1.117 times the bits of b",
        "0.225",
        "0.120",
        ">8 / 6 tokens",
        "4 0.417 0.900",
        "lower_case 0.538 0.521",
        "a [b]bold[/b] never",
    ):
        assert part in flowing


def test_at_most_ten_confirmed_words_of_a_level_are_shown(result):
    seen = printed(80, result, [], show=console.print_details)
    assert "unconfirmed" not in seen
    assert "disagreeing" not in seen
    assert "word9" in seen
    assert "word10" not in seen


def test_a_study_that_found_nothing_prints_nothing_of_it(result):
    bare = dict.fromkeys(("permutation", "permanova", "equivalence", "length", "wording"))
    bare |= dict.fromkeys(("gaps", "robustness", "by_type"), ())
    study = result.study.model_copy(update={**bare, "detectable": Detectable(instance=None, factor=None)})
    seen = printed(80, result.model_copy(update={"study": study}), [], show=console.print_details)
    assert seen.split("the factor: peak [i]rate[/i]")[1].split() == []


def test_eight_jobs_are_readable_on_eighty_columns() -> None:
    """Each on one line, with its bar and its rate, below the line of its stage."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    watch = progress.Watcher(screen)
    jobs = [Job(f"attribute level by stylometry (without replicate {n})", "train", "a:b", None) for n in range(8)]
    for job in jobs:
        watch(Event("start", job))
        watch(Event("progress", job, 1_234_567, 2_000_000, "tokens"))
    with screen.capture() as shown:
        screen.print(watch.progress.get_renderable())
    whole, *lines = Text.from_ansi(shown.get()).plain.splitlines()
    assert "train" in whole
    assert len(lines) == 8
    for line in lines:
        assert len(line) <= 80
        assert re.search(r"attribute level by stylometry .*… [━╸╺]{8,} +62% +\S+[MGk]? tokens/s *$", line)


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0.4, "0"), (87, "87"), (999.4, "999"), (999.6, "1.0k"), (3210, "3.2k"), (45_200, "45k"), (1_050_000, "1.1M")],
)
def test_rates_are_short(number: float, shown: str) -> None:
    assert progress._short(number) == shown
