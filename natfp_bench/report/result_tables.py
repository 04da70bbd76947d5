"""Tables and sentences about one result: its variants, and what its study says about the factor."""

from __future__ import annotations

from collections.abc import Iterator

from natfp_bench.base.rungs import height, named
from natfp_bench.pipeline.result import LIKELIHOOD_REFERENCE, FactorStudy, Length, Result, Score
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.statistics.replication import PermutationTest

from .crossed_words import crossed_facts, transposed_facts
from .dilution_words import dilution_fact
from .finding import given_texts, main_scores
from .table import ReportTable, interval, log_p, p_words, plain_p, spread, value

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
    title = "held-out text, by the weights that all levels have" if result.same_weights else "held-out text"
    return ReportTable(title, [*columns, *scored], rows, right)


def main_board(result: Result) -> ReportTable:
    """Make the board that the task asks for: held-out replicates with what the same fits reach on seen ones, else p."""
    scores = main_scores(result)
    held_out = any(score.split == UNSEEN_REPLICATE for score in scores.values())
    main = _level(result, UNSEEN_REPLICATE if held_out else UNSEEN_PROMPT)
    seen = _level(result, SEEN_REPLICATE) if held_out else {}
    either = {**seen, **main}
    gaps = {gap.attributor: gap.gap for gap in result.study.gaps} if result.study else {}
    rows = []
    for name in sorted(either, key=lambda name: _place(either[name])) if scores else []:
        score, known = main.get(name), seen.get(name)
        shown = named(name, either[name].attributor.knowledge)
        if either[name].status == "failed":
            rows.append(["", shown, "failed", "", "", ""])
            continue
        of = score.metrics if score else {}
        cells = [str(score.rank or "") if score else "", shown, interval(of.get("accuracy"))]
        cells.append(value(of.get("identifiability"), 2))
        if held_out:
            cells += [value(known.metrics.get("accuracy")) if known else "", spread(gaps.get(name), 3)]
        else:
            cells += [value(of.get("bits"), 2), log_p(score.log10_p) if score else ""]
        rows.append(cells)
    n = len(next(iter(scores.values())).classes) if scores else 0
    what = f"which {result.factor.name if given_texts(result) else 'level'} of {n}?"
    where = " (texts of models that no attributor saw)" if held_out else ""
    columns = ("rank", "attributor", "accuracy, 95%", "ident.", *(("seen", "gap") if held_out else ("bits", "p")))
    return ReportTable(what + where, columns, rows, right=("rank", *columns[3:]), loose=("attributor",))


def board_notes(result: Result) -> list[tuple[str, str]]:
    """Explain each column of the main board: its name, and a sentence."""
    if not (scores := main_scores(result)):
        return []
    one = next(iter(scores.values()))
    held_out, given = one.split == UNSEEN_REPLICATE, given_texts(result)
    several = any(of.attributor.knowledge not in ("texts", "weights") for of in scores.values())
    rungs = ", among those that know as much" * several
    about = "other models with these levels" if held_out else f"other texts {'with these labels' * given}"
    notes = [
        ("rank", f"1 + the number of attributors that are significantly better{rungs}"),
        ("accuracy", f"share of {one.n_test or 0:,} test texts that are named right; the 95% interval is for {about}"),
        ("ident.", "identifiability: accuracy on a scale on which 0 is chance and 1 is certainty"),
    ]
    if not held_out and not given:
        notes[1] = (notes[1][0], f"{notes[1][1]}of these models")
    if held_out:
        notes += [
            ("seen", "accuracy of the same fits on new texts of the models that they learnt from"),
            ("gap", "seen minus unseen, ± the 95% interval: what belongs to single models, not to the factor"),
            ("p-value", _p_note(result.study)),
        ]
    else:
        alone = "about these labels" if given else "about these models alone, not about other runs"
        notes.append(("bits", "information that a text gives the attributor about its source"))
        notes.append(("p", f"probability of guessing at least this well by chance ({one.p_test}); {alone}"))
    if "ceiling" in {*scores, *_level(result, SEEN_REPLICATE)}:
        notes.append(("ceiling", "the best possible attributor, by the models' own likelihoods"))
    if LIKELIHOOD_REFERENCE in scores:
        notes.append((LIKELIHOOD_REFERENCE, "uses the likelihoods of the other models; attributors may exceed it"))
    return notes


def _p_note(study: FactorStudy | None) -> str:
    if not study or not study.permutation:
        why = study.failed.get("permutation", "there was none") if study else "there was none"
        return f"no p-value of the factor: permutation test: {why}"
    test = study.permutation.test
    how = "permutation test of the factor, with naive Bayes on words"
    rest = f"; the smallest possible p is {plain_p(test.smallest)}; not corrected for other tasks" * test.testable
    return f"{_p_of(test)}: {how}{rest}"


def _level(result: Result, split: str) -> dict[str, Score]:
    return {one.attributor.name: one for one in result.scores if (one.target, one.split) == ("level", split)}


def _place(score: Score) -> tuple[bool, int, bool, float, str]:
    """The most accurate attributor of texts first, rung by rung; likelihoods last."""
    found = score.metrics.get("accuracy")
    name, likelihood = score.attributor.name, score.attributor.access == "likelihood"
    return likelihood, height(score.attributor.knowledge), found is None, -found.value if found else 0.0, name


def findings(result: Result, *, given: bool = False) -> Iterator[tuple[str, str]]:
    """Say in one sentence each what was found about the factor; given: the texts were given, without models."""
    if (study := result.study) is None:
        return
    if study.gaps:
        gaps = ", ".join(f"{gap.attributor} {spread(gap.gap, 3)}" for gap in study.gaps)
        yield "replicate gap", f"accuracy on seen minus unseen replicates: {gaps}"
    if study.permutation:
        test = study.permutation.test
        drawn = f"{test.permutations} relabelings" + (", which are all possible ones" if test.exhaustive else "")
        accuracy = f"accuracy of naive Bayes on words {study.permutation.observed:.3f} on unseen replicates"
        yield "permutation", f"{_p_of(test)}; {accuracy}, {drawn}; before any correction for several tasks"
    yield from crossed_facts(study)
    yield from transposed_facts(study)
    if mixed := dilution_fact(study):
        yield "shares of mixed texts", mixed
    if permanova := study.permanova:
        f, r2 = (("none" if of is None else f"{of:.2f}") for of in (permanova.f, permanova.r2))
        yield "PERMANOVA", f"F {f}, R² {r2}, {_p_of(permanova.test)} before any correction; on mean KL between models"
    if found := result.equivalence:
        worse, better = found.worst_pair
        what = "levels" if found.units == "replicates" else "models"
        ratio = f"{worse} needs {found.worst_ratio:.3f} times the bits of {better} on held-out text"
        spread_ = "runs of one level" if found.units == "replicates" else "documents"
        p = found.p_worse if found.answer == "not equally good" else found.p
        yield "equally good", f"{what}: {found.answer}; {ratio}, margin {found.margin:.0%}, p = {p:.2g} over {spread_}"
    smallest = []
    if study.detectable.instance:
        smallest.append(f"accuracy {study.detectable.instance:.3f} on {'labels' if given else 'single models'}")
    if study.detectable.factor:
        smallest.append(f"identifiability {study.detectable.factor:.3f} on unseen replicates, if this is the only test")
    if smallest:
        yield "detectable", f"{', '.join(smallest)} (power 0.8)"
    if study.length:
        yield "95% at", f"{length_to_95(study.length)} {study.length.unit} (reference / ceiling)"


def _p_of(test: PermutationTest) -> str:
    if test.testable:
        return p_words(test.p)
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
