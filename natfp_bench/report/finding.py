"""What a result says, in one sentence that a person would say, and the scope within which it is true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from natfp_bench.base.errors import UserError
from natfp_bench.base.rungs import Rung
from natfp_bench.pipeline.result import Result, Score
from natfp_bench.plan.plan import cut_to
from natfp_bench.plan.split import SEEN_REPLICATE, UNSEEN_PROMPT, UNSEEN_REPLICATE
from natfp_bench.plan.task_files import NO_TRACE
from natfp_bench.results.leaderboard import RungScore, best, by_rung, lowest_rung
from natfp_bench.results.origin import settings_of
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.replication import SIGNIFICANT

from .crossed_words import crossed_finding
from .dilution_words import dilution_finding
from .table import in_words, number, plain_p

CEILING = "ceiling"

CORPORA = {"chronicle": "chronicle (synthetic stories)"}
"""Corpora whose names do not say what they are."""

KNOWN: dict[Rung, str] = {
    "texts": "labelled texts",
    "unlabelled": "further texts",
    "corpus": "the training corpus",
    "recipe": "the training recipe",
    "origin": "the initial weights",
    "weights": "the models themselves",
}
"""What an attributor of each rung knows, in short."""

NAMED = 4
"""At most this many attributors that share the first rank are named."""

PRESETS_TO_TRY = ("smoke",)
"""Presets that only show that everything works."""


def finding(result: Result) -> str:
    """Say in one sentence what a result found; names of factors and of attributors are as written, not escaped."""
    scores = main_scores(result)
    if not scores:
        why = result.failures[0] if result.failures else "no attributor answered"
        return f"{_title(result)}: nothing was measured: {why}."
    if result.task.control == "negative":
        return _negative_control(result, scores)
    if given_texts(result):
        named = f"a text names its {result.factor.name}, of {_levels(scores)},"
        return f"{_title(result)}: {named} {_how_well(scores)}{_test(scores)}{_who(scores)}."
    if result.study and result.study.crossed:
        return f"{_title(result)}: {crossed_finding(result.study.crossed, result.study.reference)}."
    if next(iter(scores.values())).split == UNSEEN_REPLICATE:
        return _about_factor(result, scores)
    return _about_models(result, scores)


def scope(result: Result) -> str:
    """Say in one line what a finding is about: which models, how large, trained on what, and how many runs."""
    sound = [one for one in result.variants if one.status == "ok"]
    per = result.samples.per_variant if result.samples else 0
    notes = [f"preset {result.preset}" + (", which is too small to mean anything" * (result.preset in PRESETS_TO_TRY))]
    notes += [f"{path}={value}" for path, value in result.overrides.items() if path != "corpus.name"]
    notes += [f"seed {result.seed}"] if result.seed else []
    if given_texts(result):
        return "; ".join([f"{len(sound)} labels, {per:,} texts of each", "your texts: no model was trained", *notes])
    models = len({one.key for one in sound})
    what = f"{models:,} {'model' if models == 1 else 'models'}"
    if sizes := [one.parameters for one in sound if one.parameters]:
        what += f" of {_range([f'{size:,}' for size in sorted(sizes)])} parameters"
    if lengths := [one.tokens_trained for one in sound if one.tokens_trained]:
        corpus = CORPORA.get(result.corpus.name, short_corpus(result.corpus.name))
        if "teacher" in sound[0].settings:
            corpus = f"texts by models of {corpus}"
        what += f", {'each ' * (models > 1)}after {_range([_tokens(n) for n in sorted(lengths)])} tokens of {corpus}"
    runs = len({one.replicate for one in sound})
    parts = [what, f"{runs} {'run' if runs == 1 else 'runs'} per level", f"{per:,} texts per run"]
    if result.fixed_texts:
        parts[2:] = [f"{per:,} fixed texts per run"]
    return "; ".join([*parts, *notes])


def short_corpus(name: str) -> str:
    """Name of a corpus; of text files, without their folders."""
    kind, _, files = name.partition(":")
    return f"{kind}:{','.join(file.rpartition('/')[2] for file in files.split(','))}" if kind == "text" else name


def given_texts(result: Result) -> bool:
    """Whether the texts were given with labels, so that no model is known."""
    return {one.source for one in result.variants} == {"texts"}


def main_scores(result: Result) -> dict[str, Score]:
    """Scores of the level on the split that the task is about, by attributor; none unless one answered from texts."""
    found: dict[str, dict[str, Score]] = {}
    for score in result.scores:
        if score.target == "level" and score.status == "ok" and "accuracy" in score.metrics:
            found.setdefault(score.split, {})[score.attributor.name] = score
    main = found.get(UNSEEN_REPLICATE) or found.get(UNSEEN_PROMPT) or {}
    return main if any(score.attributor.access == "text" for score in main.values()) else {}


def unseen_scores(result: Result) -> Mapping[str, Score]:
    """Scores on models that no attributor has met; none if the task held none out."""
    scores = main_scores(result)
    return scores if scores and next(iter(scores.values())).split == UNSEEN_REPLICATE else {}


def _about_factor(result: Result, scores: Mapping[str, Score]) -> str:
    """The sentence of a task that holds out replicates."""
    study = result.study
    test = study.permutation.test if study and study.permutation else None
    found = f"{_title(result)}:"
    if test and test.testable and test.p > SIGNIFICANT:
        found = f"{_title(result)} was not found:"
    found += f" on models that no attributor saw, {text_length(result)} names the right level of {_levels(scores)} "
    rest = _missed(result) + _instance(result, scores) + _who(scores) + _positive(result) + _served(result)
    return f"{found}{_how_well(scores)} ({_permutation(result)}){rest}."


def _about_models(result: Result, scores: Mapping[str, Score]) -> str:
    """The sentence of a task that holds out no replicates: it is about the models at hand."""
    runs = len({one.replicate for one in result.variants})
    what = f"names its model, of {_levels(scores)}," if runs == 1 else f"names the right level of {_levels(scores)}"
    seeds = all(path.startswith(NO_TRACE) for path in result.factor.fields)
    alone = "; attributors saw these very models, so it may be the single models and not the factor"
    alone = "" if seeds else _served(result) or alone
    rest = alone + _who(scores) + _positive(result)
    if mixed := dilution_finding(result.study):
        rest += f"; {mixed}"
    return f"{_title(result)}: {text_length(result)} {what} {_how_well(scores)}{rest}."


def _negative_control(result: Result, scores: Mapping[str, Score]) -> str:
    """The sentence of a task where nothing can be found."""
    texts = [score for score in scores.values() if score.attributor.access == "text"]
    highest = max(texts, key=lambda score: score.metrics["accuracy"].value)
    unseen = highest.split == UNSEEN_REPLICATE
    where = " on models that no attributor saw" if unseen else ""
    failed = [check for check in result.checks if not check.ok]
    test = result.study.permutation.test if result.study and result.study.permutation else None
    outcome = "and nothing was"
    if failed:
        outcome = f"but a check failed, {failed[0].name} ({failed[0].detail})"
    elif unseen and test and test.testable and test.p <= SIGNIFICANT:
        outcome = "and the p-value is small, as that of one control in twenty is by chance"
    p = f" ({_permutation(result)})" if unseen else ""
    return (
        f"Negative control ({result.factor.name}): nothing should be found{where}, {outcome}: the highest accuracy is "
        f"{in_words(highest.metrics['accuracy'])}, where chance is {number(highest.chance, 2)}{p}."
    )


def _how_well(scores: Mapping[str, Score]) -> str:
    """Accuracy of the best attributor with its interval, chance, and the ceiling of the same question if known."""
    chance = next(iter(scores.values())).chance
    said = f"with accuracy {in_words(best_accuracy(scores)[1])}, where chance is {number(chance, 2)}"
    ceiling = scores.get(CEILING)
    said += f" and the ceiling {number(ceiling.metrics['accuracy'].value, 2)}" if ceiling else ""
    known = [
        f"{number(chance + (1 - chance) * one.identifiability.value, 2)} with {KNOWN[one.rung]}"
        for one in _rises(scores)
    ]
    least = next(iter(lowest_rung(scores).values())).attributor.knowledge
    said += f", to who knows {KNOWN[least]}" if least != "texts" else ""
    return said + (f"; it is {' and '.join(filter(None, (', '.join(known[:-1]), known[-1])))}" if known else "")


def _rises(scores: Mapping[str, Score]) -> Iterator[RungScore]:
    """The rungs between the lowest one and the ceiling whose best attributor does better than all of lower rungs.

    Who knows more may do what those do who know less, so that a worse attributor does not say what its rung is worth.
    """
    rungs = [one for one in by_rung(scores) if one.rung != "weights"]
    for lower, one in enumerate(rungs[1:], 1):
        if one.identifiability.value > max(other.identifiability.value for other in rungs[:lower]):
            yield one


def best_accuracy(scores: Mapping[str, Score]) -> tuple[Sequence[str], Interval]:
    """Names and accuracy of the best attributor, chosen on other texts than it is measured on, if there are enough."""
    names, identified = best(scores)
    chance = next(iter(scores.values())).chance
    if identified is None:
        texts = lowest_rung(scores)
        name = max(texts, key=lambda one: (texts[one].metrics["accuracy"].value, one))
        return [name], texts[name].metrics["accuracy"]

    def accuracy(at: float | None) -> float | None:
        return None if at is None else chance + (1 - chance) * at

    ends = {"low": accuracy(identified.low), "high": accuracy(identified.high)}
    return names, identified.model_copy(update={"value": accuracy(identified.value), **ends})


def _who(scores: Mapping[str, Score]) -> str:
    """Who does best: the attributors of rank 1, the most accurate first."""
    asked = lowest_rung(scores)
    first = [score for score in asked.values() if score.rank == 1]
    first.sort(key=lambda score: (-score.metrics["accuracy"].value, score.attributor.name))
    names = [score.attributor.name for score in first if not score.attributor.floor]
    if not names:
        return ""
    if len(names) < len(first):
        return "; no attributor does significantly better than guessing one level"
    # The figures before may be of those who know more, who are not ranked among these.
    outsiders = first[0].attributor.knowledge == "texts" and any(_rises(scores))
    among = "with labelled texts alone, " if outsiders else ""
    if len(names) == 1:
        return "" if len(asked) == 1 else f"; {among}{names[0]} does best"
    if len(names) > NAMED:
        names[NAMED - 1 :] = [f"{len(names) - NAMED + 1} others"]
    return f"; {among}{', '.join(names[:-1])} and {names[-1]} do best, without a significant difference"


def _test(scores: Mapping[str, Score]) -> str:
    """The reason why texts of one label are no independent trials, if there is no p-value because of it."""
    score = scores[best_accuracy(scores)[0][0]]
    return f" ({score.p_test})" if score.log10_p is None and score.p_test else ""


def _permutation(result: Result) -> str:
    """The p-value of the permutation test, or the reason why there is none."""
    runs = len({one.replicate for one in result.variants if one.status == "ok"})
    if result.study is None or result.study.permutation is None:
        why = result.study.failed.get("permutation") if result.study else None
        return f"no p-value: {f'the permutation test failed, {why}' if why else 'there was no permutation test'}"
    test = result.study.permutation.test
    if not test.testable:
        return f"not testable at this preset: with {runs} runs per level, p cannot be below {plain_p(test.smallest)}"
    p, smallest = plain_p(test.p), plain_p(test.smallest)
    return f"permutation test, with naive Bayes on words: uncorrected p = {p}, smallest possible {smallest}"


def _instance(result: Result, scores: Mapping[str, Score]) -> str:
    """How much higher accuracy is on models that attributors saw, which says nothing about the factor."""
    name = best_accuracy(scores)[0][0]
    gap = next((one.gap for one in result.study.gaps if one.attributor == name), None) if result.study else None
    if gap is None:
        seen = any(score.split == SEEN_REPLICATE for score in result.scores)
        return "" if seen else "; no models that attributors saw were tested"
    if gap.low is not None and gap.low <= 0:
        return f"; {name} is not significantly better on models that it saw ({in_words(gap, label=False)} higher)"
    size = in_words(gap, label=False)
    return f"; on models that it saw, {name} is {size} more accurate, and this part is only the instance"


def _missed(result: Result) -> str:
    """How large a factor would have been found, if it was not."""
    study = result.study
    if not study or not study.permutation or not study.detectable.factor:
        return ""
    if not study.permutation.test.testable or study.permutation.test.p <= SIGNIFICANT:
        return ""
    return f"; an identifiability of {number(study.detectable.factor, 2)} would have been found with power 0.8"


def _positive(result: Result) -> str:
    """Whether a positive control is as easy as it should be."""
    bar = [check for check in result.checks if check.name.endswith("is above the bar")]
    if result.task.control != "positive" or not bar:
        return ""
    outcome = "passed" if bar[0].ok else "failed"
    return f"; as a positive control it should be easy, and its check {outcome} ({bar[0].detail})"


def _served(result: Result) -> str:
    """What a difference between ways to serve one model is no evidence of."""
    if not all(path.startswith("serve.") for path in result.factor.fields):
        return ""
    return (
        "; all levels have the same weights, so a difference is due to how they were served, and is no evidence about "
        "who trained or copied a model"
    )


def text_length(result: Result) -> str:
    """How long the texts are that are attributed."""
    if result.samples is None or result.samples.max_tokens is None:
        return "a text"
    try:
        cut = cut_to(result.factor.fields, settings_of(result.variants[0])) if result.variants else None
    except UserError:  # settings of another version: texts were then cut by tokens, as most are
        cut = None
    return f"a text of {cut:,} bytes" if cut else f"a text of up to {result.samples.max_tokens:,} tokens"


def _title(result: Result) -> str:
    """The factor's name, as a beginning of a sentence; for given texts, where they come from."""
    if given_texts(result):
        return result.corpus.name.removeprefix("texts:")
    return result.factor.name[:1].upper() + result.factor.name[1:]


def _levels(scores: Mapping[str, Score]) -> int:
    return len(next(iter(scores.values())).classes)


def _range(sorted_: Sequence[str]) -> str:
    """The first of some formatted numbers, and the last if it is another."""
    return sorted_[0] if sorted_[0] == sorted_[-1] else f"{sorted_[0]} to {sorted_[-1]}"


def _tokens(n: int) -> str:
    return f"{n / 1e9:.1f} B" if n >= 1e9 else f"{n / 1e6:.1f} M" if n >= 1e5 else f"{n / 1e3:.0f} k"
