"""Settings of what is made of a trained model's weights: an average, a merge with another model, fewer weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from natfp_bench.base.records import Record

from .fields import Count, Share

PARTNER = 1_000
"""Added to the seeds of a run, it gives those of the run that it is merged with."""


class DeriveSpec(Record):
    """What is made of the weights after training, without training: levels can differ in it, or share it.

    `average`: the mean of several checkpoints of one run, the last of which is its end (Izmailov et al., 2018); with
    `fading` below 1, earlier ones count less, as in an exponential moving average. `merge`: the weighted mean of the
    run and a partner (Wortsman et al., 2022). `prune`: the smallest weights of each matrix are set to zero (Han et al.,
    2015).
    """

    average: Count = Field(1, description="checkpoints of the run that are averaged, the last one its end")
    spacing: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.05, description="distance of these checkpoints, as a share of the run's steps"
    )
    fading: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="weight of a checkpoint, as a share of the next one's; 1: all count alike"
    )
    merge: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="share of the partner's weights in the mean of both; 0: there is no partner"
    )
    partner: Literal["finetuning", "run"] = Field(
        "finetuning", description="the partner: another fine-tuning of the same base, or a run of other seeds"
    )
    prune: Share = Field(0.0, description="share of the weights of each matrix that are set to zero")

    @property
    def active(self) -> bool:
        """Whether anything is made of the weights."""
        return self.average > 1 or self.merge > 0 or self.prune > 0

    @property
    def shares(self) -> tuple[float, ...]:
        """Weights of the checkpoints in their average, or of the run and its partner, the run's end first; sum 1."""
        if self.merge:
            return (1 - self.merge, self.merge)
        each = [self.fading**back for back in range(self.average)]
        return tuple(one / sum(each) for one in each)

    @property
    def stops(self) -> tuple[float, ...]:
        """Where the run stands at each checkpoint of the average, as a share of its steps, its end first."""
        return tuple(round(1 - back * self.spacing, 12) for back in range(self.average))

    @model_validator(mode="after")
    def _can_be_made(self) -> DeriveSpec:
        if self.average > 1 and self.merge:
            raise ValueError(
                "derive.average and derive.merge cannot be combined: set derive.average 1, or derive.merge 0"
            )
        if self.stops[-1] <= 0:
            raise ValueError(
                f"derive: {self.average} checkpoints that are {self.spacing:g} of the run apart begin before the run"
            )
        return self
