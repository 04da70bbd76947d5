"""What `identify` finds, as public records: `--json` prints an `Identification`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from natfp_bench.base.records import Record
from natfp_bench.pipeline.result import AttributorId
from natfp_bench.pipeline.stages.left_out import Noticed
from natfp_bench.plan.plan import Target
from natfp_bench.statistics.intervals import Interval
from natfp_bench.statistics.verification import ALPHA


class Verdict(Record):
    """Which class most likely wrote a text (or several texts), and whether any of the classes did.

    posterior: probabilities of the classes, in their order; the prior is each class's share of the training texts. p:
    p-value of "one of these classes wrote it": computed for each class, the largest is reported. If it is below 0.05,
    the text is unlike the texts of every class.
    """

    most_likely: str
    posterior: tuple[float, ...]
    p: float


class TextVerdict(Verdict):
    """The verdict on one text: its file, its row there from 1 on (None if the file is one text), its length."""

    file: str
    row: int | None
    characters: int


class Accuracy(Record):
    """Share of held-out bundles of `size` texts whose most likely class is the true one, and their temperature."""

    size: int
    accuracy: float
    temperature: float
    smallest_p: float = Field(description="no p-value for so many texts can be smaller")


class Identification(Record):
    """Everything that `identify` found.

    pooled: the verdict on all texts together, if one source wrote them all; None for a single text. held_out: for
    single texts, then for as many texts as were given. power: by class, for the same sizes; empty for two classes, of
    which neither can be left out. notes: limits of these verdicts.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    run: str
    task: str
    preset: str
    target: Target
    attributor: AttributorId
    classes: tuple[str, ...]
    prior: tuple[float, ...]
    texts: tuple[TextVerdict, ...]
    pooled: Verdict | None
    held_out: tuple[Accuracy, ...]
    power: tuple[Noticed, ...]
    notes: tuple[str, ...]


class Pair(Record):
    """How far given texts support descent from one ancestor.

    support: mean over texts of the logarithm of the ancestor's probability over the mean of the others', in nats. p: of
    "the texts are of no descendant of this ancestor", if it alone was named beforehand; p_adjusted: if one looks at all
    ancestors, as one does here.
    """

    ancestor: str
    support: float
    p: float
    p_adjusted: float


class Descent(Record):
    """Everything that `identify --descent` found about texts of one source.

    texts: how many were given, and judged: how many of these were judged, the first ones. pairs: the ancestor with the
    most support first. smallest_p: no p-value against so many strangers is smaller. recognised, false_alarms: shares of
    held-out descendants whose own ancestor is shown by so many texts, and of which another one is; None if no p-value
    can be small. notes: limits of the answer.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    run: str
    task: str
    preset: str
    attributor: AttributorId
    texts: int
    judged: int
    strangers: int
    smallest_p: float
    pairs: tuple[Pair, ...]
    recognised: Interval | None
    false_alarms: Interval | None
    notes: tuple[str, ...]

    @property
    def shown(self) -> Pair | None:
        """The ancestor whose descendant is shown to have written the texts; None if there is none."""
        best = self.pairs[0]
        return best if best.p_adjusted <= ALPHA else None
