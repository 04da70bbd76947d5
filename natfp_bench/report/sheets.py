"""Tables as plain cells with a caption, for a terminal and for a page alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from natfp_bench.pipeline.result import FactorStudy, Length, Result
from natfp_bench.results.leaderboard import FactorRow, Standing
from natfp_bench.results.protocols import Board, Row, Setting
from natfp_bench.statistics.metrics import Interval
from natfp_bench.statistics.replication import Test

from .cells import Sheet


def number(value: float, digits: int = 3) -> str:
    """Print a number, a rounded zero without a sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def interval(found: Interval | None, digits: int = 3) -> str:
    """Print an estimate with its 95% interval, where it has one: `0.512 0.497–0.527`."""
    if found is None:
        return ""
    if found.low is None or found.high is None:
        return number(found.value, digits)
    dash = "–" if found.low >= 0 else " to "
    return f"{number(found.value, digits)} {number(found.low, digits)}{dash}{number(found.high, digits)}"


def spread(found: Interval | None, digits: int = 2) -> str:
    """Print an estimate in short: with half its interval's width where that is Student's, `0.51 ± 0.02`, else alone."""
    if found is None:
        return ""
    half = f" ± {number(found.high - found.value, digits)}" if found.method == "t" and found.high is not None else ""
    return number(found.value, digits) + half


def value(found: Interval | None, digits: int = 3) -> str:
    """Print an estimate alone."""
    return "" if found is None else number(found.value, digits)


def p_value(log10_p: float | None) -> str:
    """Print a p-value from its logarithm."""
    if log10_p is None:
        return ""
    return f"{10**log10_p:.3f}" if log10_p > -3 else f"1e{log10_p:.0f}"


def board_sheet(board: Board) -> Sheet:
    """Make the table of one protocol's attributors."""
    title = (
        f"{board.task} ({board.preset}, {board.corpus}): which {board.target} of {board.classes}? "
        f"chance {board.chance:.3f}, {board.n_test or 0} test texts, {board.split}"
    )
    # Narrow enough for 80 columns; --json has every interval.
    columns = ("rank", "attributor", "accuracy, 95%", "ident.", "bits, 95%", "F1", "p")
    rows = [_board_row(row) for row in board.rows]
    return Sheet(title, columns, rows, right=("rank", "ident.", "F1", "p"), wide=("F1",))


def _board_row(row: Row) -> Sequence[str]:
    if row.error:
        return ("", row.attributor, f"failed: {row.error}", "", "", "", "")
    accuracy, bits = interval(row.accuracy), interval(row.bits)
    cells = (accuracy, value(row.identifiability), bits, value(row.macro_f1), p_value(row.log10_p))
    return (str(row.rank or ""), row.attributor, *cells)


def setting_title(setting: Setting) -> str:
    """Name what the figures of a table have in common."""
    texts = [] if setting.texts is None else [f"{setting.texts:,} texts a variant"]
    seed = [f"seed {setting.seed}"] if setting.seed else []
    fixed = ["fixed texts"] if setting.fixed_texts else []
    subset = [] if setting.subset is None else [f"only {setting.subset:,} test texts a class"]
    overrides = [f"{k}={v}" for k, v in setting.overrides.items()]
    return ", ".join([*fixed, setting.preset, setting.corpus, *texts, *subset, *overrides, *seed])


def sheets(standing: Standing) -> list[Sheet]:
    """Make the tables of one setting: the factors, what their figures rest on, and the attributors."""
    found = [factor_sheet(standing), evidence_sheet(standing)]
    return [*found, attributor_sheet(standing)] if standing.attributors else found


def factor_sheet(standing: Standing) -> Sheet:
    """Make the leaderboard of factors."""
    references = ", ".join(sorted({row.reference for row in standing.factors if row.reference}))
    caption = (
        "Identifiability: 0 is chance, 1 is certainty; on unseen runs, fits are tested on a replicate that they have "
        "not seen (± 95% over replicates), and only this is about the factor itself, for on seen runs they may also "
        f"know the models one by one. First comes the reference attributor ({references or 'none'}), then the best "
        "one: for each replicate (on seen runs: each tenth of the prompts) the one that is best on the others, so that "
        "no text is judged by an attributor that it helped to choose. The ceiling is what the models' own likelihoods "
        "reach on seen runs; bits are what the reference attributor reads off a text there, of those that the ceiling "
        "reads."
    )
    columns = ("task", "unseen runs", "best", "seen runs", "best", "ceiling", "bits", "best attributor")
    rows = []
    for row in standing.factors:
        unseen, seen = row.unseen, row.seen
        bits = " of ".join(filter(None, [value(seen.bits, 2), value(seen.ceiling_bits, 2)])) if seen else ""
        cells = [spread(unseen.reference) if unseen else "", value(unseen.best, 2) if unseen else ""]
        cells += [value(seen.reference, 2), value(seen.best, 2), value(seen.ceiling, 2)] if seen else [""] * 3
        main = unseen or seen
        rows.append((row.task, *cells, bits, ", ".join(main.best_attributors) if main else ""))
    right = ("unseen runs", "best", "seen runs", "ceiling", "bits")
    setting = standing.setting
    part = "in these fixed texts" if setting.fixed_texts else "on a part of the test texts" if setting.subset else ""
    limits = f" ({part}, which rank attributors, not factors)" if part else ""
    return Sheet(
        f"factors: how identifiable?{limits}",
        columns,
        _in_sections(standing, rows),
        right,
        ("task",),
        ("best attributor",),
        caption,
    )


def evidence_sheet(standing: Standing) -> Sheet:
    """Make the table of what the figures of the factors rest on."""
    caption = (
        "p: of the factor, by permuting levels within replicates (not testable: so few replicates can give no p below "
        "the one shown, whatever the data); without held-out runs, of these runs alone, by the binomial test. finds: "
        "the least identifiability that would have been found with a power of 0.8; 95% at: the length at which "
        "accuracy reaches 0.95, for the reference attributor / the ceiling / as likelihood ratios predict. parity: the "
        "worst ratio of held-out bits per byte between two models, yes where all are equally good within the margin."
    )
    columns = ("task", "factor", "p", "finds", "95% at (tokens)", "parity")
    rows = []
    for row in standing.factors:
        finds = "" if row.detectable is None else number(row.detectable, 2)
        parity = f"{row.parity.worst_ratio:.3f} {_yes(row.parity.equivalent)}" if row.parity else ""
        unit = f" {row.length.unit}" if row.length and row.length.unit != "tokens" else ""
        rows.append((row.task, row.factor, significance(row), finds, told_at(row.length) + unit, parity))
    right = ("finds", "95% at (tokens)")
    sections = _in_sections(standing, rows)
    return Sheet("factors: on what evidence?", columns, sections, right, ("factor", "p"), caption=caption)


def attributor_sheet(standing: Standing) -> Sheet:
    """Make the leaderboard of attributors."""
    caption = (
        "Mean identifiability over tasks, controls left out, on unseen runs where a task holds some out, with "
        "Student's 95% interval over tasks. Rank: 1 + the attributors that are significantly better, paired over tasks "
        "(sign flips, Holm); none for who did not do every task in one version, nor where the tasks are too few for "
        "any difference to be significant. Seconds are of all fits and of all answers, as measured where they ran."
    )
    columns = ("rank", "attributor", "identifiability", "tasks", "failed", "fit, s", "predict, s")
    rows = []
    for row in standing.attributors:
        counts = [f"{row.tasks} of {standing.tasks}", str(len(row.failed) or "")]
        seconds = [f"{row.fit_seconds:,.1f}", f"{row.predict_seconds:,.1f}"]
        name = row.attributor if len(row.digests) == 1 else f"{row.attributor} ({len(row.digests)} versions)"
        rows.append((str(row.rank or ""), name, spread(row.identifiability, 3), *counts, *seconds))
    right = ("rank", "identifiability", "tasks", "failed", "fit, s", "predict, s")
    return Sheet("attributors: who tells best?", columns, rows, right, caption=caption)


def _in_sections(standing: Standing, rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Put the name of each section above its rows, unless all rows are of the first."""
    found: list[Sequence[str]] = []
    before = "held-out runs"
    for row, cells in zip(standing.factors, rows, strict=True):
        if row.section != before:
            found.append((f"{row.section}:", *[""] * (len(cells) - 1)))
            before = row.section
        found.append(cells)
    return found


def _yes(found: bool) -> str:
    return "yes" if found else "no"


def significance(row: FactorRow) -> str:
    """Print the p-value of a factor, or that there can be none."""
    return p_value(row.log10_p) if row.permutation is None else permuted(row.permutation)


def permuted(test: Test) -> str:
    """Print the p-value of a permutation test, or the least that it could have given."""
    return f"{test.p:.3f}" if test.testable else f"not testable (≥{test.smallest:.2f})"


def told_at(length: Length | None) -> str:
    """Print the length at which texts are told: by the reference attributor, and the ceiling and the prediction."""
    if length is None:
        return ""
    first, last = length.points[0].at, length.points[-1].at

    def at(reached: float | None) -> str:
        return f">{last}" if reached is None else f"≤{first}" if reached <= first else f"{reached:.0f}"

    found = [at(length.to_95)]
    if any(point.ceiling is not None for point in length.points):
        found += [at(length.ceiling_to_95), at(length.predicted_to_95)]
    return " / ".join(found)


def variants_sheet(result: Result) -> Sheet:
    """Make the table of a result's variants: are they equally good?"""
    columns = ["variant", "parameters", "tokens", "epochs", "bits per byte, 95%"]

    def form(value: float | None, how: str) -> str:
        return "" if value is None else format(value, how)

    excess = any(variant.excess_bits_per_byte for variant in result.variants)
    scored = sorted({name for variant in result.variants for name in variant.parity})
    rows = []
    for variant in result.variants:
        name = variant.name if variant.status == "ok" else f"{variant.name} ({variant.status})"
        cells = [name, form(variant.parameters, ","), form(variant.tokens_trained, ",")]
        cells += [form(variant.epochs, ".2f"), interval(variant.heldout_bits_per_byte)]
        cells += [interval(variant.excess_bits_per_byte)] if excess else []
        rows.append([*cells, *(form(variant.parity.get(name), ".4f") for name in scored)])
    right = ("parameters", "tokens", "epochs")
    return Sheet("held-out text", [*columns, *(["over true entropy"] if excess else []), *scored], rows, right)


def findings(study: FactorStudy) -> Iterator[tuple[str, str]]:
    """What a study says of the factor in a sentence each."""
    who = study.reference
    if study.gaps:
        gaps = ", ".join(f"{gap.attributor} {spread(gap.gap, 3)}" for gap in study.gaps)
        yield "replicate gap", f"accuracy on seen runs less that on unseen ones: {gaps}"
    if study.permutation:
        test = study.permutation.test
        drawn = f"{test.permutations} relabelings" + (", all there are" if test.exhaustive else "")
        accuracy = f"accuracy of {who} {study.permutation.observed:.3f} on the part of the texts that it takes"
        yield "permutation", f"{_p_of(test)}; {accuracy}, {drawn}"
    if permanova := study.permanova:
        f, r2 = (("none" if of is None else f"{of:.2f}") for of in (permanova.f, permanova.r2))
        yield "PERMANOVA", f"F {f}, R² {r2}, {_p_of(permanova.test)}; of mean KL between models"
    if parity := study.parity:
        worse, better = parity.worst_pair
        verdict = "equally good models" if parity.equivalent else "not shown to be equally good models"
        ratio = f"{worse} spends {parity.worst_ratio:.3f} times the bits of {better} on held-out text"
        yield "parity", f"{verdict}: {ratio}, margin {parity.margin:.0%}, p = {parity.p:.2g}"
    detectable = [
        *([f"accuracy {study.detectable.instance:.3f} in telling single runs"] if study.detectable.instance else []),
        *([f"identifiability {study.detectable.factor:.3f} on unseen ones"] if study.detectable.factor else []),
    ]
    if detectable:
        yield "detectable", f"{', '.join(detectable)} (power 0.8)"
    if study.length:
        yield "95% told at", f"{told_at(study.length)} {study.length.unit} (reference / ceiling / predicted)"


def _p_of(test: Test) -> str:
    if test.testable:
        return f"p = {test.p:.3f}"
    return f"not testable at this preset (no p below {test.smallest:.2f})"
