"""Settings of where a model comes from: what it goes on from, whom it learns from, and what is made of its weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from natfp_bench.base.records import Record

from .fields import Count, Extended, Natural, Positive, Share

PARTNER = 1_000
"""Added to the seeds of a run, it gives those of the run that it is merged with."""


class ForkSpec(Record):
    """Copies of one run: until the fork they are one run, and then each goes on in a way of its own.

    `data_order`: the blocks that are left come in another order. `dropout`: dropout has another stream. `last_place`:
    one weight is moved to the next number of its type, and nothing else differs. Branch 0 goes on undisturbed.
    """

    at: float = Field(0.0, description="share of the steps after which the copies part; 0: the run is not forked")
    kind: Literal["data_order", "dropout", "last_place"] = Field("data_order", description="what differs after it")
    branch: Natural = Field(0, description="number of the copy; 0 goes on undisturbed")

    @field_validator("at")
    @classmethod
    def _within_the_run(cls, at: float) -> float:
        if not 0 <= at < 1:
            raise ValueError(f"a fork at {at:g} is beyond the run: take a share of its steps, from 0 to below 1")
        return at

    @model_validator(mode="after")
    def _is_a_fork(self) -> ForkSpec:
        if not self.at and self != ForkSpec.model_construct():
            raise ValueError("fork.kind and fork.branch change nothing while fork.at is 0")
        return self


class FinetuneSpec(Extended):
    """Fine-tuning after pre-training: fresh documents, the same optimiser, a linear decay of the learning rate."""

    later = ("parts", "part", "topics", "file")

    share: Annotated[float, Field(ge=0, le=1)] = Field(0.0, description="tokens, as a share of budget.tokens; 0: none")
    lr: Positive = Field(0.25, description="peak learning rate, as a share of optimizer.lr")
    seed: Natural = Field(0, description="seed of the order in which its blocks are read")
    parts: Count = Field(1, description="parts of fresh blocks, each of which is enough for a fine-tuning")
    part: Natural = Field(0, description="the part that is read")
    topics: str = Field(
        "", description="topics of chronicle (a,b) that the fresh documents are about; empty: as before"
    )
    file: Natural = Field(0, description="number of the file of text:A,B that they are from; 0: as before")

    @model_validator(mode="after")
    def _part_exists(self) -> FinetuneSpec:
        if self.part >= self.parts:
            raise ValueError(
                f"finetune.part {self.part} does not exist: parts count from 0, and there are {self.parts}"
            )
        return self


class TuningSpec(Record):
    """How a released model is fine-tuned (`source.kind: finetune`); the other terms are those of any training."""

    lora_rank: Natural = Field(0, description="rank of LoRA's matrices (Hu et al., 2022); 0: all weights are trained")
    parts: Count = Field(1, description="parts that the training blocks are divided into; a model reads one of them")
    part: Natural = Field(0, description="the part that is read")

    @model_validator(mode="after")
    def _part_exists(self) -> TuningSpec:
        if self.part >= self.parts:
            raise ValueError(f"tuning.part {self.part} does not exist: parts count from 0, and there are {self.parts}")
        return self


class TeacherSpec(Record):
    """The teacher of a model: another run of the same recipe, which writes the texts that the model is trained on."""

    run: int = Field(-1, ge=-1, description="the teacher's run, by the number that is all of its seeds; -1: no teacher")
    same_init: bool = Field(False, description="the student begins with the weights that its teacher began with")


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
