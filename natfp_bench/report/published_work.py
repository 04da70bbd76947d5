"""What published work says on descent, beside what a result says: where they differ, both, and what differs in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from natfp_bench.pipeline.result import LIKELIHOOD_REFERENCE, Result
from natfp_bench.statistics.intervals import difference

from .finding import best_accuracy, unseen_scores
from .table import in_words, number


def published_work(result: Result, by_task: Mapping[str, Result]) -> Iterator[str]:
    """Compare a result with published work that asks the same; by_task: all results at hand."""
    scores = unseen_scores(result)
    if result.task.name == "teacher_id" and scores:
        names, accuracy = best_accuracy(scores)
        if accuracy.low is not None and accuracy.low > next(iter(scores.values())).chance:
            yield _teachers(names[0], number(accuracy.value, 2))
    if result.task.name == "teacher_same_init_id" and scores and (other := by_task.get("teacher_id")):
        yield from _beginnings(result, other)
    if result.task.name == "base_id":
        yield from _recognised(result)
        yield (
            "Yax et al. (2024, arXiv 2404.04671) draw such trees of released models, by neighbour joining, and find "
            "families of models together. Those families differ in data, size and tokenizer; the bases here differ in "
            "their seeds alone, so a tree that fails here does not contradict that work."
        )


def _teachers(name: str, accuracy: str) -> str:
    return (
        "Wadhwa et al. (2025, arXiv 2502.06659) found that likeness in words, and how well a teacher predicts a text, "
        "do not reliably name the teacher of a student; patterns of parts of speech did better. "
        f"Here {name} names it with accuracy {accuracy}, from nothing but words. The question differs in two ways, "
        "either of which may explain this. There, students begin as trained models and learn "
        "single skills from their teachers; here, they learn everything from one teacher's texts. There, texts are "
        "compared with those of the teachers; here, a classifier has learnt from other students of these teachers."
    )


def _beginnings(result: Result, other: Result) -> Iterator[str]:
    same, apart = unseen_scores(result), unseen_scores(other)
    if not same or not apart:
        return
    with_it, without = best_accuracy(same)[1], best_accuracy(apart)[1]
    adds = difference(with_it, without)
    said = (
        "Cloud et al. (2025, arXiv 2507.14805) found that students take over traits from texts that say nothing of "
        "these traits, but only if teacher and student begin with the same weights. Here students read ordinary texts "
        f"of their teacher, so a trace needs no common beginning. With it, accuracy is {number(with_it.value, 2)}, "
        f"without it {number(without.value, 2)}; the difference is {in_words(adds, 3)}"
    )
    if LIKELIHOOD_REFERENCE in same and LIKELIHOOD_REFERENCE in apart:
        known = difference(
            same[LIKELIHOOD_REFERENCE].metrics["accuracy"], apart[LIKELIHOOD_REFERENCE].metrics["accuracy"]
        )
        said += f", and {in_words(known, 3, label=False)} with the likelihoods of the other models"
    if adds.low is not None and adds.low > 0:
        yield f"{said}. So the beginning adds to the trace, as that work suggests, but it is not what makes it."
    else:
        yield (
            f"{said}. That a classifier finds more with it is not shown, which neither confirms that work nor "
            "contradicts it."
        )


def _recognised(result: Result) -> Iterator[str]:
    """Say how many descendants a classifier recognises by some texts, where a threshold was measured."""
    if result.study is None or result.study.verification is None:
        return
    for one in result.study.verification.found:
        rate = one.others.tpr_at_5_percent_fpr
        if one.attributor == result.study.reference and one.size > 1 and rate:
            yield (
                "Shao et al. (2025, arXiv 2508.19843) found that methods that see nothing but texts of a model easily "
                "lose it when it is fine-tuned. Nikolić et al. (2025, arXiv 2502.00706) test descent by comparing the "
                "next words of two models, and find most descendants, but not all. "
                f"Here {one.attributor} accepts a share of {number(rate.value, 2)} of the descendants by {one.size} "
                "texts, where 5% of other models' descendants are accepted. It has learnt from other fine-tunings of "
                "these bases, which those who check released models rarely have, and the fine-tunings are short. "
                "So this says what can be read in texts, and those works what can be done with less knowledge."
            )
            return
