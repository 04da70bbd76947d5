"""Tables and sentences about one result: its variants, and what its study says about the factor."""

from __future__ import annotations

from collections.abc import Iterator

from natfp_bench.pipeline.result import FactorStudy, Length, Result
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.statistics.replication import PermutationTest

from .table import ReportTable, interval, plain_p, spread

SPLITS = {
    UNSEEN_REPLICATE: "unseen replicates",
    SEEN_REPLICATE: "seen replicates",
    UNSEEN_PROMPT: "seen replicates, unseen prompts",
}
"""Names of the splits, the most important one first."""


def variants_table(result: Result) -> ReportTable:
    """Make the table of a result's variants: are they equally good?"""
    excess = any(variant.excess_bits_per_byte for variant in result.variants)
    scored = sorted({name for variant in result.variants for name in variant.parity})
    columns = ["variant", "parameters", "tokens", "epochs", "bits per byte, 95%"]

    def form(value: float | None, how: str) -> str:
        return "" if value is None else format(value, how)

    rows = []
    for variant in result.variants:
        name = variant.name if variant.status == "ok" else f"{variant.name} ({variant.status})"
        cells = [name, form(variant.parameters, ","), form(variant.tokens_trained, ",")]
        cells += [form(variant.epochs, ".2f"), interval(variant.heldout_bits_per_byte)]
        cells += [interval(variant.excess_bits_per_byte)] if excess else []
        rows.append([*cells, *(form(variant.parity.get(name), ".4f") for name in scored)])
    right = ("parameters", "tokens", "epochs")
    columns += ["over true entropy"] if excess else []
    return ReportTable("held-out text", [*columns, *scored], rows, right)


def findings(study: FactorStudy) -> Iterator[tuple[str, str]]:
    """Say in one sentence each what a study found about the factor."""
    if study.gaps:
        gaps = ", ".join(f"{gap.attributor} {spread(gap.gap, 3)}" for gap in study.gaps)
        yield "replicate gap", f"accuracy on seen minus unseen replicates: {gaps}"
    if study.permutation:
        test = study.permutation.test
        drawn = f"{test.permutations} relabelings" + (", which are all possible ones" if test.exhaustive else "")
        accuracy = f"accuracy of naive Bayes on words {study.permutation.observed:.3f} on unseen replicates"
        yield "permutation", f"{_p_of(test)}; {accuracy}, {drawn}; before any correction for several tasks"
    if permanova := study.permanova:
        f, r2 = (("none" if of is None else f"{of:.2f}") for of in (permanova.f, permanova.r2))
        yield "PERMANOVA", f"F {f}, R² {r2}, {_p_of(permanova.test)} before any correction; on mean KL between models"
    if found := study.equivalence:
        worse, better = found.worst_pair
        what = "levels" if found.units == "replicates" else "models"
        ratio = f"{worse} needs {found.worst_ratio:.3f} times the bits of {better} on held-out text"
        spread_ = "runs of one level" if found.units == "replicates" else "documents"
        p = found.p_worse if found.answer == "not equally good" else found.p
        yield "equally good", f"{what}: {found.answer}; {ratio}, margin {found.margin:.0%}, p = {p:.2g} over {spread_}"
    smallest = []
    if study.detectable.instance:
        smallest.append(f"accuracy {study.detectable.instance:.3f} on single models")
    if study.detectable.factor:
        smallest.append(f"identifiability {study.detectable.factor:.3f} on unseen replicates, if this is the only test")
    if smallest:
        yield "detectable", f"{', '.join(smallest)} (power 0.8)"
    if study.length:
        yield "95% at", f"{length_to_95(study.length)} {study.length.unit} (reference / ceiling)"


def _p_of(test: PermutationTest) -> str:
    if test.testable:
        return f"p = {plain_p(test.p)}"
    return f"not testable at this preset (p cannot be below {test.smallest:.2f})"


def length_to_95(length: Length | None) -> str:
    """Print the length at which accuracy reaches 0.95: reference attributor, then the ceiling if known."""
    if length is None:
        return ""
    first, last = length.points[0].at, length.points[-1].at

    def at(reached: float | None) -> str:
        return f">{last}" if reached is None else f"≤{first}" if reached <= first else f"{reached:.0f}"

    found = [at(length.to_95)]
    if any(point.ceiling is not None for point in length.points):
        found.append(at(length.ceiling_to_95))
    return " / ".join(found)


def length_order(length: Length | None) -> float | None:
    """Number that sorts lengths by that of the reference attributor, then of the ceiling."""
    if length is None:
        return None
    beyond = 10.0 * length.points[-1].at
    reached = (length.to_95, length.ceiling_to_95)
    return sum((beyond if at is None else at) * beyond**-place for place, at in enumerate(reached))
