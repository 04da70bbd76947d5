"""Regression on metrics: current answers of attributors against a reference, on the same texts.

Likelihoods (`ceiling`, `likelihood_reference`) are compared in the same way. On the same texts of the same models they
should not change; if they do, the code of the likelihoods has changed.

The comparison is about these texts by these models: the unit is the prompt, even if replicates are held out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record
from natfp_bench.statistics import intervals, paired, per_text
from natfp_bench.statistics.intervals import Floats, Interval, Ints

from .regression_reference import STEPS, Current, RegressionSetup, ScorePlace, SteppedAnswers

RegressionVerdict = Literal["regression", "failed", "missing", "moved", "improvement", "new", "same"]
"""What happened to a score, the worst first.

regression, improvement: accuracy changed significantly, and by more than the drop. moved: accuracy changed
significantly but by less, or the whole interval of bits lies beyond the drop (among many 95% intervals, some always
exclude zero). failed: the attributor failed now. missing: in the reference but not in the results; new: the reverse.
"""

PairedTest = Literal["mcnemar", "sign flips"]

SHARES = 5040
"""Credits are counted in 1/5040 of a text: the shares of up to ten tied classes are whole numbers of these."""

LATTICE = 1 << 18
"""Most steps that all differences may take together; if there would be more, differences are rounded."""

LEAST_P = 1e-15
"""Least p-value of the sign flips: the rounding error of the Fourier transform."""

ROUNDING = 1e-9
"""Tolerance: 0.52 - 0.5 is above 0.02 in floating point, but not a drop of more than 0.02."""

SEED = 0
"""Seed of the bootstrap."""

DIGEST, SHOWN = 64, 12
"""Length of a digest, and how many of its digits are shown."""


class Change(Record):
    """How one attributor's answers to n texts changed.

    before, now: accuracy; differing: texts whose credit differs. p_worse, p_better: one-sided, each adjusted by Holm
    over all comparisons. bits: mean paired change per text, with its 95% interval. code: whether version and digest of
    the attributor are the same as in the reference.
    """

    n: int
    before: float
    now: float
    differing: int
    test: PairedTest
    p_worse: float
    p_better: float
    bits: Interval
    code: Literal["same", "changed"]

    @property
    def gain(self) -> float:
        """Accuracy now minus accuracy before."""
        return self.now - self.before


class RegressionFinding(Record):
    """What happened to one score."""

    verdict: RegressionVerdict
    place: ScorePlace
    change: Change | None = None
    error: str | None = None


class RegressionReport(Record):
    """All findings, the worst first, and the options of the comparison."""

    reference: str
    alpha: float
    drop: float
    allow_missing: bool
    findings: tuple[RegressionFinding, ...]

    def fails(self, finding: RegressionFinding) -> bool:
        """Whether a finding is a failure."""
        return finding.verdict in ("regression", "failed") or (finding.verdict == "missing" and not self.allow_missing)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not any(map(self.fails, self.findings))

    @property
    def counts(self) -> dict[RegressionVerdict, int]:
        """Number of findings of each verdict that occurs."""
        found = Counter(finding.verdict for finding in self.findings)
        return {verdict: found[verdict] for verdict in get_args(RegressionVerdict) if found[verdict]}


def compare(
    reference: Mapping[ScorePlace, SteppedAnswers],
    current: Current,
    *,
    name: str,
    alpha: float = 0.01,
    drop: float = 0.02,
    allow_missing: bool = False,
) -> RegressionReport:
    """Compare answers with those of the reference called `name`.

    A regression is a drop of accuracy by more than `drop` whose one-sided p-value, adjusted by Holm over all
    comparisons, is below `alpha`. Raises UserError if texts are not the same, or if there is nothing to compare.
    """
    _refuse_other_texts(reference, current, name)
    shared = [place for place in reference if place in current.answers]
    if not shared and not current.failed and (allow_missing or not reference):
        raise UserError(
            f"{name} and the results have no score in common\n  give results of the tasks that the reference has"
        )
    findings = [
        *(
            RegressionFinding(verdict=_verdict(change, alpha, drop), place=place, change=change)
            for place, change in zip(shared, _changes(shared, reference, current), strict=True)
        ),
        *(RegressionFinding(verdict="failed", place=place, error=error) for place, error in current.failed.items()),
        *_absent("missing", reference, [*current.answers, *current.failed]),
        *_absent("new", current.answers, reference),
    ]
    order = get_args(RegressionVerdict)
    findings.sort(key=lambda finding: (order.index(finding.verdict), finding.place.order))
    return RegressionReport(
        reference=name, alpha=alpha, drop=drop, allow_missing=allow_missing, findings=tuple(findings)
    )


def flip_p(differences: Ints) -> tuple[float, float]:
    """p-values that a sum of differences is so high, and so low, by chance: the sign-flip test with all 2^C flips.

    differences (C,): whole numbers, one per prompt. If nothing changed, each is equally likely to have the other sign.
    The sum of C such signed numbers lies on a lattice. Its characteristic function is a product of cosines and gives
    its distribution by one Fourier transform (Pagano and Tritchler 1983). If all differences are -1, 0 or 1, this is
    McNemar's exact test. Random flips would need far more than 10,000 draws for p-values that pass Holm over a hundred
    comparisons.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    total = int(sizes @ counts)
    # The sum has 2 total + 1 possible values; the transform is fastest for a power of two above that.
    period = 1 << (2 * total).bit_length()
    spectrum = np.ones(period // 2 + 1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        # Reduced as whole numbers: a cosine of millions would lose the significant digits.
        turns = np.arange(period // 2 + 1) * size % period
        spectrum *= np.cos(turns * (2 * np.pi / period)) ** count
    chance = np.roll(np.fft.irfft(spectrum, n=period), total)[: 2 * total + 1]
    observed = total + int(differences.sum())
    high, low = float(chance[observed:].sum()), float(chance[: observed + 1].sum())
    return min(1.0, max(LEAST_P, high)), min(1.0, max(LEAST_P, low))


def _test(before: Floats, now: Floats, prompts: Ints) -> tuple[PairedTest, float, float]:
    """Choose the test; returns its name and its p-values of being worse and of being better.

    McNemar's exact test takes hits and misses of independent texts: all credits are 0 or 1, and each text has a prompt
    of its own. The sign-flip test takes all other cases, such as a credit of 1/m that m tied classes share.
    """
    own = len(np.unique(prompts)) == len(prompts)
    if own and np.isin(np.concatenate([before, now]), (0.0, 1.0)).all():
        worse, better = (paired.paired_p(*pair, prompts, SEED) for pair in ((before, now), (now, before)))
        return "mcnemar", worse, better
    by_prompt = intervals.prompt_sums((now - before)[:, None], prompts)[:, 0]
    sums = np.rint(by_prompt * SHARES).astype(np.int64)
    step = max(int(np.gcd.reduce(sums)), -(-int(np.abs(sums).sum()) // LATTICE), 1)
    better, worse = flip_p(np.rint(sums / step).astype(np.int64))
    return "sign flips", worse, better


def _changes(
    places: Sequence[ScorePlace], reference: Mapping[ScorePlace, SteppedAnswers], current: Current
) -> list[Change]:
    """Measure the change of each score, with p-values adjusted by Holm."""
    pairs = [(reference[place], current.answers[place], *current.texts[place]) for place in places]
    gains = [
        (per_text.bits(new.steps / STEPS, truth) - per_text.bits(old.steps / STEPS, truth), prompts)
        for old, new, truth, prompts in pairs
    ]
    found = [_change(*pair, bits) for pair, bits in zip(pairs, intervals.mean_intervals(gains, SEED), strict=True)]
    worse, better = (paired.holm(p) for p in ([of.p_worse for of in found], [of.p_better for of in found]))
    adjusted = zip(found, worse, better, strict=True)
    return [one.model_copy(update={"p_worse": down, "p_better": up}) for one, down, up in adjusted]


def _change(old: SteppedAnswers, new: SteppedAnswers, truth: Ints, prompts: Ints, bits: Interval) -> Change:
    """Measure the change of one score, without adjusting its p-values."""
    before, now = (per_text.credits(one.steps / STEPS, truth) for one in (old, new))
    test, p_worse, p_better = _test(before, now, prompts)
    return Change(
        n=len(truth),
        before=float(before.mean()),
        now=float(now.mean()),
        differing=int(np.count_nonzero(before != now)),
        test=test,
        p_worse=p_worse,
        p_better=p_better,
        bits=bits,
        code="same" if (old.who.version, old.who.digest) == (new.who.version, new.who.digest) else "changed",
    )


def _verdict(change: Change, alpha: float, drop: float) -> RegressionVerdict:
    far = drop + ROUNDING
    if change.p_worse < alpha and change.gain < -far:
        return "regression"
    if change.p_better < alpha and change.gain > far:
        return "improvement"
    low, high = change.bits.low, change.bits.high
    bits_moved = low is not None and high is not None and (low > far or high < -far)
    return "moved" if bits_moved or min(change.p_worse, change.p_better) < alpha else "same"


def _absent(
    verdict: RegressionVerdict, have: Iterable[ScorePlace], known: Iterable[ScorePlace]
) -> list[RegressionFinding]:
    """Findings for unknown places; a task of which no score is known has a single finding."""
    there = set(known)
    tasks = {place.protocol_digest for place in there}
    absent = [
        place
        if place.protocol_digest in tasks
        else ScorePlace(task=place.task, preset=place.preset, protocol_digest=place.protocol_digest)
        for place in have
        if place not in there
    ]
    return [RegressionFinding(verdict=verdict, place=place) for place in dict.fromkeys(absent)]


def _refuse_other_texts(reference: Mapping[ScorePlace, SteppedAnswers], current: Current, name: str) -> None:
    """Raise UserError, with all differences, unless the scores that both have are about the same texts."""
    faults: dict[str, dict[str, None]] = {}
    setups = {place.protocol_digest: answers.setup for place, answers in reference.items()}
    for protocol, setup in setups.items():
        if protocol not in current.setups:
            others = [
                of for of in current.setups.values() if of.task == setup.task and of.protocol_digest not in setups
            ]
            if others:
                nearest = min((_differences(setup, of) for of in others), key=len)
                faults[f"{setup.task} ({setup.preset})"] = dict.fromkeys(nearest)
    elsewhere = False
    for place, old in reference.items():
        new = current.answers.get(place)
        if new is None or (old.rows, old.setup.texts) == (new.rows, new.setup.texts):
            continue
        elsewhere = elsewhere or old.setup.texts != new.setup.texts
        rows = _difference(f"rows ({place.target}, {place.split})", old.rows, new.rows)
        faults.setdefault(f"{place.task} ({place.preset})", {}).update(
            dict.fromkeys([*_differences(old.setup, new.setup), *rows])
        )
    if not faults:
        return
    lines = [f"{name} and the results are not about the same texts"]
    for task, differences in faults.items():
        lines += [f"  {task}:", *(f"    {difference}" for difference in differences)]
    if elsewhere:
        lines.append(
            "  the same protocol gives other texts on another machine or library; --fixed-texts are the same everywhere"
        )
    lines.append(
        f"  give results of the same texts, or renew the reference: natfp-bench regress --reference {name} --update"
    )
    raise UserError("\n".join(lines))


def _differences(old: RegressionSetup, new: RegressionSetup) -> list[str]:
    """A line for each field in which two setups differ."""
    pairs = zip(old, new, strict=True)
    return [line for (field, before), (_, now) in pairs for line in _difference(field.replace("_", " "), before, now)]


def _difference(what: str, before: object, now: object) -> list[str]:
    if before == now:
        return []
    shown = [str(value)[:SHOWN] if len(str(value)) == DIGEST else str(value) for value in (before, now)]
    return [f"{what}: {shown[0]} in the reference, {shown[1]} in the results"]
