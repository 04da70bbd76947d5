"""What tasks on descent say, question by question, in sentences that need no documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from natfp_bench.base.errors import UserError
from natfp_bench.pipeline.result import LIKELIHOOD_REFERENCE, CrossedSide, Result, Score
from natfp_bench.results.distances import DrawnTree, tree_of
from natfp_bench.results.trends import Trend
from natfp_bench.statistics import replication
from natfp_bench.statistics.curves import MIXED, REWRITTEN
from natfp_bench.statistics.intervals import FEWEST_UNITS
from natfp_bench.statistics.replication import SIGNIFICANT, Judged, PermutationTest

from .finding import best_accuracy, main_scores, scope, text_length, unseen_scores
from .published_work import published_work
from .table import in_words, number, p_words, plain_p
from .verification_words import recognised_sentence

TASKS = (
    *("base_id", "base_far_id", "teacher_id", "teacher_same_init_id"),
    *("merge_id", "merge_bases_id", "average_id", "prune_id", "rounding_id", "quantization_id"),
)
"""Tasks of the page in their order; others with the tag `descent` come after them."""

SHARE = "finetune.share"
"""The setting of a sweep that lets a base fade."""

TREATED = ("derive.", "serve.")
"""Factors that are done to one run: whoever asks from whom a model comes asks for the run."""

LEADS = {
    "found": "Yes.",
    "not found": "Not shown.",
    "not testable": "Cannot be answered with so few models.",
    "not tested": "Not tested.",
}
"""How an answer begins, by its verdict."""

WORDS = {"found": "yes", "not found": "not shown", "not testable": "too few models", "not tested": "not tested"}
"""The same at a glance."""


@dataclass(frozen=True)
class Answer:
    """One answer. lead: the verdict in a word; short: accuracy and chance at a glance."""

    lead: str
    verdict: str
    text: str
    short: str = ""


@dataclass(frozen=True)
class Question:
    """What one result says of descent.

    answer: to the question of its task; elsewhere: the same by results of other training texts. run: from which run a
    model comes, if something is done to runs. tree: how far the tree agrees with history; drawn: the tree itself, None
    without distances. verified: how often texts show that a model descends from one of these ancestors at all; empty if
    that was not studied. disguised: accuracy on changed texts; empty if none were. notes: what published work says.
    """

    result: Result
    answer: Answer
    elsewhere: Sequence[tuple[Result, Answer]]
    run: Answer | None
    tree: str
    drawn: DrawnTree | None
    verified: str
    disguised: str
    notes: Sequence[str]


def about_descent(result: Result) -> bool:
    """Whether a result belongs on the page."""
    return result.task.control is None and ("descent" in result.task.tags or result.task.name in TASKS)


def questions(results: Sequence[Result], elsewhere: Sequence[Result] = ()) -> list[Question]:
    """Answer all questions of some results, one of each task; their p-values are corrected together.

    elsewhere: results of the same tasks whose models learnt from other text.
    """
    ordered = sorted(results, key=lambda of: (TASKS.index(of.task.name) if of.task.name in TASKS else 99, of.task.name))
    drawn: list[DrawnTree | None] = []
    why: list[str] = []
    for result in ordered:
        try:
            drawn.append(tree_of(result))
            why.append("")
        except UserError as error:
            drawn.append(None)
            why.append(f"There is no tree: {str(error).splitlines()[0]}.")
    tests: dict[tuple[int, str], PermutationTest] = {}
    for place, (result, one) in enumerate(zip(ordered, drawn, strict=True)):
        study = result.study
        for other in (result, *_of_task(result, elsewhere)):
            if test := _tested(other):
                tests[place, other.protocol_digest] = test
        if study and study.transposed and _treated(result):
            tests[place, "run"] = study.transposed.permuted.test
        if one and one.agreement:
            tests[place, "tree"] = one.agreement.test
    verdicts = replication.judged([test.p for test in tests.values()], [test.smallest for test in tests.values()])
    judged = dict(zip(tests, verdicts, strict=True))
    by_task = {result.task.name: result for result in ordered}
    found = []
    for place, (result, one) in enumerate(zip(ordered, drawn, strict=True)):
        side = result.study.transposed if result.study and _treated(result) else None
        found.append(
            Question(
                result=result,
                answer=_answer(result, judged.get((place, result.protocol_digest))),
                elsewhere=[
                    (other, _answer(other, judged.get((place, other.protocol_digest))))
                    for other in _of_task(result, elsewhere)
                ],
                run=_which_run(side, result, judged[place, "run"]) if side else None,
                tree=_tree(one, judged.get((place, "tree"))) if one else why[place],
                drawn=one,
                verified=recognised_sentence(result.study),
                disguised=_disguised(result),
                notes=[*published_work(result, by_task)],
            )
        )
    return found


def _of_task(result: Result, elsewhere: Sequence[Result]) -> list[Result]:
    """Those that answer the question of a result."""
    return [other for other in elsewhere if other.task.name == result.task.name and _tested(other)]


def _tested(result: Result) -> PermutationTest | None:
    """The test of the factor, if models were held out."""
    permuted = result.study.permutation if result.study else None
    return permuted.test if permuted and unseen_scores(result) else None


def headline(asked: Sequence[Question]) -> str:
    """Count the answers in one sentence."""
    counts = {verdict: sum(one.answer.verdict == verdict for one in asked) for verdict in LEADS}
    yes, not_shown, few, untested = counts.values()
    said = [f"{yes} answered with yes"] if yes else []
    said += [f"{not_shown} not shown"] if not_shown else []
    said += [f"{few} cannot be answered with so few models"] if few else []
    said += [f"{untested} not tested"] if untested else []
    what = f"{len(asked)} {'question' if len(asked) == 1 else 'questions'} about where models come from"
    return f"{what}: {', '.join(said)}."


def question_scope(result: Result) -> str:
    """Which models and texts an answer is about."""
    return f"{scope(result)}."


def fading_sentences(trend: Trend) -> Iterator[str]:
    """Say how an ancestor fades with the length of the fine-tuning, and at which lengths it is shown."""
    lines = [one for one in trend.lines if (one.figure, one.against) == ("identifiability", SHARE)]
    if lines:
        line = max(lines, key=lambda one: len(one.points))
        (first, high), (last, low) = line.points[0], line.points[-1]
        slope = line.slope
        said = (
            f"From fine-tunings of {first:g} to {last:g} times the training before them, identifiability (0 is chance, "
        )
        said += (
            f"1 is certainty) by {trend.reference} goes from {number(high, 2)} to {number(low, 2)}. With each doubling "
        )
        said += f"it changes by {number(slope.value)}"
        if line.p_adjusted is None or slope.low is None or slope.high is None:
            yield f"{said}; there are too few models to leave out for an interval."
        else:
            shown = "shown" if line.p_adjusted <= SIGNIFICANT else "not shown: it may be chance"
            within = f"95% interval {number(slope.low)} to {number(slope.high)}, {p_words(line.p_adjusted)}"
            yield f"{said} ({within} after correction for all lines of all trends; {shown})."
    lengths = {point.swept[SHARE]: point.p_adjusted for point in trend.points if point.p_adjusted is not None}
    if lengths:
        found = [f"{at}" for at, p in lengths.items() if p is not None and p <= SIGNIFICANT]
        which = f" ({', '.join(found)})" if found else ""
        least = min(p for p in lengths.values() if p is not None)
        yield (
            f"The ancestor is shown after {len(found)} of {len(lengths)} lengths{which}; the smallest p is "
            f"{plain_p(least)} after correction for the points of this sweep."
        )


def _treated(result: Result) -> bool:
    return all(path.startswith(TREATED) for path in result.factor.fields)


def _answer(result: Result, found: Judged | None) -> Answer:
    scores = unseen_scores(result)
    if not scores:
        text = "No models were held out: with two replicates or more (--replicates N), classifiers are tested on some."
        return Answer(LEADS["not tested"], "not tested", text)
    _, accuracy = best_accuracy(scores)
    one = next(iter(scores.values()))
    chance, levels = number(one.chance, 2), len(one.classes)
    said = (
        f"On models that no classifier has met, {text_length(result)} names the {result.factor.name}, out of {levels}"
    )
    said += f", with accuracy {in_words(accuracy)}, where chance is {chance}"
    if other := scores.get(LIKELIHOOD_REFERENCE):
        said += f"; with the likelihoods of the other models it is {_value(other)}"
    test = result.study.permutation.test if result.study and result.study.permutation else None
    short = f"{number(accuracy.value, 2)}, where chance is {chance}"
    if test is None or found is None:
        said += ". There is no p-value, because no labels were permuted."
        return Answer(LEADS["not tested"], "not tested", said, short)
    said += f". {_p(found, test)}{_missed(result, found, one.chance)}"
    return Answer(LEADS[found.verdict], found.verdict, said, short)


def _which_run(side: CrossedSide, result: Result, found: Judged) -> Answer:
    reference = result.study.reference if result.study else ""
    chance = number(1 / side.values, 2)
    said = f"At a level that it has not met, {reference} names the run, out of {side.values}, with accuracy "
    said += f"{in_words(side.accuracy)}, where chance is {chance}"
    said += f"; with the likelihoods of these runs it is {number(side.likelihood.value, 2)}" if side.likelihood else ""
    said += f". {_p(found, side.permuted.test)}"
    return Answer(
        LEADS[found.verdict], found.verdict, said, f"{number(side.accuracy.value, 2)}, where chance is {chance}"
    )


def _tree(drawn: DrawnTree, found: Judged | None) -> str:
    """How far a tree agrees with history, or why nothing can be said."""
    if drawn.agreement is None or found is None:
        return f"Nothing can be said of this tree: {drawn.why}."
    agreement, share = drawn.agreement, drawn.agreement.share
    sets = "set" if agreement.quartets == 1 else "sets"
    many = f"{agreement.quartets:,} {sets} of four models{', drawn from all of them' if agreement.drawn else ''}"
    within = "no interval: two other ancestors would give another tree"
    if share.low is not None and share.high is not None:
        within = f"95% interval over {share.units} {number(share.low, 2)} to {number(share.high, 2)}"
    elif share.n_units >= FEWEST_UNITS:
        within = "too few models for an interval"
    verdict = {"found": "The tree shows descent", "not found": "That the tree shows descent is not shown"}
    lead = verdict.get(found.verdict, "Whether the tree shows descent cannot be answered with so few models")
    return (
        f"{lead}. For {many}, history says which two are the closer relatives; the tree is right "
        f"in {number(share.value, 2)} of them ({within}), where chance is 0.33. {_p(found, agreement.test)}"
    )


CHANGED = {
    "truncated": "on their first halves",
    "temperature 0.7": "on texts drawn at temperature 0.7",
    "temperature 0.8": "on texts drawn at temperature 0.8",
    "top-p 0.9": "on texts drawn with top-p 0.9",
    MIXED: "on texts whose second half is by another model",
    REWRITTEN: "on texts that another model has rewritten",
}
"""Conditions that somebody may bring about to hide who wrote a text."""


def _disguised(result: Result) -> str:
    """Accuracy of a classifier of plain texts on texts that were changed."""
    study = result.study
    found = {one.condition: one for one in study.robustness if one.trained_on == "plain"} if study else {}
    if study is None or "plain" not in found or not (known := [name for name in CHANGED if name in found]):
        return ""
    plain, chance = found["plain"], _chance(result)
    said = f"{study.reference}, which learnt from {plain.train_texts:,} plain texts of each model, has accuracy "
    said += f"{number(plain.accuracy.value, 2)} on plain texts"
    each = [f"{number(found[name].accuracy.value, 2)} {CHANGED[name]}" for name in known]
    return f"Texts that were changed: {said}, {', '.join(each)}; chance is {number(chance, 2)}. None of this is a test."


def _chance(result: Result) -> float:
    scores = main_scores(result)
    return next(iter(scores.values())).chance if scores else 1 / len(result.factor.levels)


def _p(found: Judged, test: PermutationTest) -> str:
    """The corrected p-value, or why none could be small enough."""
    if found.p is None:
        return f"So few models can give no p below {plain_p(test.smallest)}: more replicates are needed."
    tests = f"{found.tests} {'test' if found.tests == 1 else 'tests'}"
    said = f"{p_words(found.p)} after correction for the {tests} of this page ({plain_p(test.p)} before)"
    if found.verdict == "not testable":
        said += f"; before it, so few models can give no p below {plain_p(test.smallest)}, which is not enough"
    return f"{said}."


def _missed(result: Result, found: Judged, chance: float) -> str:
    """How large an effect would have been found."""
    study = result.study
    if found.verdict != "not found" or study is None or study.permutation is None:
        return ""
    levels, replicates = len(result.factor.levels), len({of.replicate for of in result.variants})
    design = (study.permutation.spread / (1 - chance), levels, replicates, study.permutation.test.permutations)
    least = replication.detectable_factor(*design, comparisons=found.tests)
    if least is None:
        return ""
    return f" An accuracy of {number(chance + (1 - chance) * least, 2)} would have been found with power 0.8."


def _value(score: Score) -> str:
    return number(score.metrics["accuracy"].value, 2)
