"""Regression on metrics: what attributors answer now against a reference, on the same texts.

Likelihoods (`ceiling`, `likelihood_reference`) are compared as attributors are. On the same texts of the same models
they have no reason to move, so that one that does tells of a change in the code of likelihoods.

What is compared are answers to these texts by these models; the unit is the prompt, also where replicates are held out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np

from natfp_bench.base.errors import UserError
from natfp_bench.base.records import Record
from natfp_bench.statistics import metrics
from natfp_bench.statistics.metrics import Floats, Interval, Ints

from .regress_reference import STEPS, Answers, Current, Place, Setup

Verdict = Literal["regression", "failed", "missing", "moved", "improvement", "new", "same"]
"""What became of a score, the worst first.

regression, improvement: accuracy moved significantly, and by more than the drop. moved: accuracy significantly but not
so far, or bits, with all of their interval, by more than the drop: at 95% some interval of many always excludes zero.
failed: the attributor failed now. missing: the reference has it and the results lack it; new: the other way round.
"""

Test = Literal["mcnemar", "sign flips"]

SHARES = 5040
"""Parts of a text in which shared credits are counted: those of up to ten tied classes are whole numbers of them."""

LATTICE = 1 << 18
"""Most steps that all differences may take together: many odd shares of many texts are rounded to them."""

LEAST_P = 1e-15
"""Least p-value of the sign flips: the rounding of the transform that adds them up."""

ROUNDING = 1e-9
"""A drop of 0.02 is no drop of more than 0.02, though 0.52 - 0.5 is above it in floating point."""

SEED = 0
"""Of the bootstrap."""

DIGEST, SHOWN = 64, 12
"""Digits of a digest, and how many are shown."""


class Change(Record):
    """How one attributor's answers to n texts changed.

    before, now: accuracy; differing: texts whose credit differs. p_worse, p_better: one-sided, each adjusted by Holm
    over all comparisons. bits: mean change a text, paired, with its 95% interval. code: whether the attributor has the
    version and digest that it had.
    """

    n: int
    before: float
    now: float
    differing: int
    test: Test
    p_worse: float
    p_better: float
    bits: Interval
    code: Literal["same", "changed"]

    @property
    def gain(self) -> float:
        """Accuracy now less accuracy before."""
        return self.now - self.before


class Finding(Record):
    """What became of one score."""

    verdict: Verdict
    place: Place
    change: Change | None = None
    error: str | None = None


class Report(Record):
    """All findings, the worst first, and what was asked."""

    reference: str
    alpha: float
    drop: float
    allow_missing: bool
    findings: tuple[Finding, ...]

    def fails(self, finding: Finding) -> bool:
        """Whether a finding is a failure."""
        return finding.verdict in ("regression", "failed") or (finding.verdict == "missing" and not self.allow_missing)

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not any(map(self.fails, self.findings))

    @property
    def counts(self) -> dict[Verdict, int]:
        """Findings of each verdict, those that there are."""
        found = Counter(finding.verdict for finding in self.findings)
        return {verdict: found[verdict] for verdict in get_args(Verdict) if found[verdict]}


def compare(
    reference: Mapping[Place, Answers],
    current: Current,
    *,
    name: str,
    alpha: float = 0.01,
    drop: float = 0.02,
    allow_missing: bool = False,
) -> Report:
    """Compare answers with those of the reference called `name`.

    A regression is a drop of accuracy by more than `drop` whose one-sided p-value, adjusted by Holm over all
    comparisons, is below `alpha`. Raises UserError where texts are not the same, or where nothing is left to compare.
    """
    _refuse_other_texts(reference, current, name)
    shared = [place for place in reference if place in current.answers]
    if not shared and not current.failed and (allow_missing or not reference):
        raise UserError(f"{name} and the results have no score in common\n  give the results of what it is about")
    findings = [
        *(
            Finding(verdict=_verdict(change, alpha, drop), place=place, change=change)
            for place, change in zip(shared, _changes(shared, reference, current), strict=True)
        ),
        *(Finding(verdict="failed", place=place, error=error) for place, error in current.failed.items()),
        *_absent("missing", reference, [*current.answers, *current.failed]),
        *_absent("new", current.answers, reference),
    ]
    order = get_args(Verdict)
    findings.sort(key=lambda finding: (order.index(finding.verdict), finding.place.order))
    return Report(reference=name, alpha=alpha, drop=drop, allow_missing=allow_missing, findings=tuple(findings))


def flip_p(differences: Ints) -> tuple[float, float]:
    """p-values that a sum of differences is so high, and so low, by chance: the sign-flip test with all 2^C flips.

    differences (C,): whole numbers, one a prompt. If nothing changed, each is as likely to have the other sign. The sum
    of C such signs times numbers is on a lattice, so that its characteristic function, a product of cosines, gives its
    distribution by one Fourier transform (Pagano and Tritchler 1983). Where all differences are -1, 0 or 1 this is
    McNemar's exact test; 10,000 drawn flips could give no p-value small enough to pass Holm over a hundred comparisons.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    total = int(sizes @ counts)
    # The sum is one of 2 total + 1 numbers; a power of two that holds them all is transformed fastest.
    period = 1 << (2 * total).bit_length()
    spectrum = np.ones(period // 2 + 1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        # Reduced as whole numbers: a cosine of millions would lose the digits that matter.
        turns = np.arange(period // 2 + 1) * size % period
        spectrum *= np.cos(turns * (2 * np.pi / period)) ** count
    chance = np.roll(np.fft.irfft(spectrum, n=period), total)[: 2 * total + 1]
    observed = total + int(differences.sum())
    high, low = float(chance[observed:].sum()), float(chance[: observed + 1].sum())
    return min(1.0, max(LEAST_P, high)), min(1.0, max(LEAST_P, low))


def _test(before: Floats, now: Floats, prompts: Ints) -> tuple[Test, float, float]:
    """Which test it is, and its p-values of being worse and of being better.

    McNemar's exact test knows hits and misses of independent texts. It is for credits that are all 0 or 1 where each
    text has a prompt of its own; one credit that is shared between tied classes and the sign flips take over, to which
    1/m is 1/m.
    """
    own = len(np.unique(prompts)) == len(prompts)
    if own and np.isin(np.concatenate([before, now]), (0.0, 1.0)).all():
        worse, better = (metrics.paired_p(*pair, prompts, SEED) for pair in ((before, now), (now, before)))
        return "mcnemar", worse, better
    by_prompt = metrics.prompt_sums((now - before)[:, None], prompts)[:, 0]
    sums = np.rint(by_prompt * SHARES).astype(np.int64)
    step = max(int(np.gcd.reduce(sums)), -(-int(np.abs(sums).sum()) // LATTICE), 1)
    better, worse = flip_p(np.rint(sums / step).astype(np.int64))
    return "sign flips", worse, better


def _changes(places: Sequence[Place], reference: Mapping[Place, Answers], current: Current) -> list[Change]:
    """Measure the change at each place."""
    pairs = [(reference[place], current.answers[place], *current.texts[place]) for place in places]
    gains = [
        (metrics.bits(new.steps / STEPS, truth) - metrics.bits(old.steps / STEPS, truth), prompts)
        for old, new, truth, prompts in pairs
    ]
    found = [_change(*pair, bits) for pair, bits in zip(pairs, metrics.mean_intervals(gains, SEED), strict=True)]
    worse, better = (metrics.holm(p) for p in ([of.p_worse for of in found], [of.p_better for of in found]))
    adjusted = zip(found, worse, better, strict=True)
    return [one.model_copy(update={"p_worse": down, "p_better": up}) for one, down, up in adjusted]


def _change(old: Answers, new: Answers, truth: Ints, prompts: Ints, bits: Interval) -> Change:
    """Make the change of one score, its p-values not adjusted yet."""
    before, now = (metrics.credits(one.steps / STEPS, truth) for one in (old, new))
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


def _verdict(change: Change, alpha: float, drop: float) -> Verdict:
    far = drop + ROUNDING
    if change.p_worse < alpha and change.gain < -far:
        return "regression"
    if change.p_better < alpha and change.gain > far:
        return "improvement"
    low, high = change.bits.low, change.bits.high
    bits_moved = low is not None and high is not None and (low > far or high < -far)
    return "moved" if bits_moved or min(change.p_worse, change.p_better) < alpha else "same"


def _absent(verdict: Verdict, have: Iterable[Place], known: Iterable[Place]) -> list[Finding]:
    """Findings of places that are not known; one for all of a task of which nothing is."""
    there = set(known)
    tasks = {place.protocol_digest for place in there}
    absent = [
        place
        if place.protocol_digest in tasks
        else Place(task=place.task, preset=place.preset, protocol_digest=place.protocol_digest)
        for place in have
        if place not in there
    ]
    return [Finding(verdict=verdict, place=place) for place in dict.fromkeys(absent)]


def _refuse_other_texts(reference: Mapping[Place, Answers], current: Current, name: str) -> None:
    """Raise UserError, with all that differs, unless whatever both have is about the same texts."""
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
            "  one protocol wrote other texts on another machine or library: --fixed-texts are the same everywhere"
        )
    lines.append(f"  give results of the same texts, or renew: natfp-bench regress --reference {name} --update")
    raise UserError("\n".join(lines))


def _differences(old: Setup, new: Setup) -> list[str]:
    """A line for each field in which two setups differ."""
    pairs = zip(old, new, strict=True)
    return [line for (field, before), (_, now) in pairs for line in _difference(field.replace("_", " "), before, now)]


def _difference(what: str, before: object, now: object) -> list[str]:
    if before == now:
        return []
    shown = [str(value)[:SHOWN] if len(str(value)) == DIGEST else str(value) for value in (before, now)]
    return [f"{what}: {shown[0]} in the reference, {shown[1]} in the results"]
