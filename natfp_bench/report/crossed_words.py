"""A crossing of seeds in words and tables: which seed the differences between models go with."""

from __future__ import annotations

from collections.abc import Iterator

from natfp_bench.pipeline.result import Crossed, CrossedSide, FactorStudy
from natfp_bench.statistics.crossed import REST, Parts

from .table import Heading, ReportTable, TableRow, in_words, interval, number, p_words, plain_p

SEEDS = {"seeds.init": "initialisation", "seeds.data_order": "data order", "seeds.dropout": "dropout"}
"""What the seeds of a crossing are called."""

ALONE = "no seed alone"
"""What the interaction is called."""

ABOUT_PARTS = (
    "For each token, the logarithm of its probability varies from model to model. The part of a seed is what models "
    "with one value of it share, whatever their other seeds; the rest belongs to single models. Each text is scored by "
    "models that share no seed with its writer. Intervals are about other values of the seeds, and wider than they "
    "have to be. The estimate of a small part may be below 0."
)


def seed_name(part: str) -> str:
    """Name a part of the variance: a seed, or what is left."""
    return ALONE if part == REST else SEEDS.get(part, part)


def crossed_finding(found: Crossed, reference: str) -> str:
    """Say what a crossing found, as the rest of a sentence: the parts, and how well each seed is guessed."""
    said = []
    if found.variance:
        shares = {part.part: in_words(part.share) for part in found.variance.whole.parts}
        seeds = [f"{shares[seed]} goes with the {seed_name(seed)}" for seed in found.seeds]
        said.append(
            f"of the variance between models in the log-probability of a token, {', '.join(seeds)} and "
            f"{shares[REST]} with {ALONE}"
        )
    if found.sides:
        guesses = [f"the {seed_name(side.seed)} with accuracy {_guess(side)}" for side in found.sides]
        said.append(f"from texts of models whose other seeds it has not met, {reference} names {' and '.join(guesses)}")
    return "; ".join(said) or "nothing could be measured"


def _guess(side: CrossedSide) -> str:
    test = side.permuted.test
    p = f"permutation test: uncorrected {p_words(test.p)}, smallest possible {plain_p(test.smallest)}"
    return f"{in_words(side.accuracy)}, where chance is {number(1 / side.values, 2)} ({p})"


def crossed_sentences(study: FactorStudy | None) -> Iterator[str]:
    """Explain a crossing to a reader who knows nothing of it, one sentence at a time."""
    if study is None or (found := study.crossed) is None:
        return
    names = [seed_name(seed) for seed in found.seeds]
    every = f"{', '.join(names[:-1])} and {names[-1]}"
    yield (
        f"There is one model for every combination of {every}, so models that share one seed can be compared while the "
        "other seeds vary. All else, the training data included, is the same."
    )
    if found.variance:
        whole = found.variance.whole
        yield (
            f"The probability that two models give to a token differs: its logarithm has a standard deviation of "
            f"{number(max(whole.whole, 0.0) ** 0.5, 2)} bits over models ({whole.tokens:,} tokens)."
        )
        for part in whole.parts:
            if part.part == REST:
                yield (
                    f"{in_words(part.share)} of it goes with {ALONE}: it belongs to single models. It holds what seeds "
                    "do only together, and chaos, which fork_id measures."
                )
            else:
                yield (
                    f"{in_words(part.share)} of this variance goes with the {seed_name(part.part)}: models that share "
                    "this seed, and no other one, have this much in common."
                )
    for side in found.sides:
        others = " and ".join(seed_name(seed) for seed in side.held_out)
        said = (
            f"Which {seed_name(side.seed)}? {study.reference} learns from models with all values of {others} but one, "
            f"and is tested on models with that one. Its accuracy is {in_words(side.accuracy)} among {side.values} "
            f"values, where chance is {number(1 / side.values, 2)}"
        )
        if side.likelihood:
            said += f"; the likelihoods of the same models reach {in_words(side.likelihood)}"
        yield f"{said}. {_test_of(side)}"


def _test_of(side: CrossedSide) -> str:
    """What the permutation test of a side says."""
    test = side.permuted.test
    which = "all" if test.exhaustive else "drawn at random"
    return (
        f"Against {test.permutations:,} relabelings ({which}) among models that share the other seeds, naive Bayes on "
        f"words has {p_words(test.p)}; the smallest possible p is {plain_p(test.smallest)}."
    )


def crossed_facts(study: FactorStudy) -> Iterator[tuple[str, str]]:
    """Facts about a crossing in short, for the list of what is known of the factor."""
    if (found := study.crossed) is None:
        return
    if found.variance:
        parts = [f"{seed_name(part.part)} {interval(part.share, 2)}" for part in found.variance.whole.parts]
        yield "parts of the variance between models", f"{'; '.join(parts)} (95% intervals)"
    for side in found.sides:
        reach = f"; likelihoods {interval(side.likelihood)}" if side.likelihood else ""
        p = f"{p_words(side.permuted.test.p)} (smallest {plain_p(side.permuted.test.smallest)}), uncorrected"
        yield (
            f"which {seed_name(side.seed)}?",
            f"{study.reference} {interval(side.accuracy)} on models whose other seeds it has not met, chance "
            f"{number(1 / side.values, 2)}{reach}; {p}",
        )


def transposed_facts(study: FactorStudy) -> Iterator[tuple[str, str]]:
    """How accurately replicates are identified at unseen levels, for the list of what is known of the factor."""
    if side := study.transposed:
        test, reach = side.permuted.test, f"; likelihoods {interval(side.likelihood)}" if side.likelihood else ""
        yield (
            "turned round",
            f"which of {side.values} replicates wrote the text? {study.reference} {interval(side.accuracy)} at levels "
            f"that it has not learnt from, chance {number(1 / side.values, 2)}{reach}; {p_words(test.p)} (smallest "
            f"{plain_p(test.smallest)}), uncorrected",
        )


def crossed_table(study: FactorStudy | None) -> ReportTable | None:
    """Make the table of the parts of the variance: of all tokens, by type, and by position."""
    variance = study.crossed.variance if study and study.crossed else None
    if variance is None:
        return None
    names = [seed_name(part.part) for part in variance.whole.parts]

    def row(of: Parts) -> TableRow:
        return [of.which, f"{of.tokens:,}", number(of.whole, 3), *(interval(part.share, 2) for part in of.parts)]

    groups = (("by type of token", variance.by_type), ("by position in the text", variance.by_position))
    rows: list[TableRow] = [row(variance.whole)]
    for title, found in groups:
        rows += [Heading(title), *map(row, found)] if found else []
    columns = ("tokens of", "tokens", "variance, bits²", *names)
    title = "which seed the differences between models go with (shares, 95%)"
    return ReportTable(title, columns, rows, right=columns[1:3], caption=ABOUT_PARTS)
