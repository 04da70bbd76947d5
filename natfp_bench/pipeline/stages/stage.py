"""What a stage is: a frozen record of one piece of work, with what it needs first and how it is done and read."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from natfp_bench.base.errors import NatfpError
from natfp_bench.base.limits import Limits
from natfp_bench.base.records import Record, digest, fields_of
from natfp_bench.corpus.metas import CorpusMeta
from natfp_bench.models.metas import ModelMeta, Prefix, TrainMeta
from natfp_bench.pipeline.engine import Context, Needs
from natfp_bench.pipeline.store import Entry, Store
from natfp_bench.plan.settings import NumericsSpec
from natfp_bench.plan.text_settings import ServeSpec

if TYPE_CHECKING:
    from natfp_bench.corpus.tokens import TextReader


Where = TypeVar("Where", bound=Record)


@dataclass(frozen=True)
class Located(Generic[Where]):
    """Something that a stage reads from outside the store: what it is, and where it lies; only the first is hashed."""

    content: Any
    where: Where

    @property
    def identity(self) -> Any:
        """What it is, as JSON."""
        return self.content


@dataclass(frozen=True)
class Workplace:
    """Where a stage is made. No key depends on any of it.

    folder: to be filled with the entry's files. start: a finished stage that the work may go on from, to the same end.
    """

    store: Store
    folder: Path
    context: Context
    device: str = "cpu"
    start: Stage | None = None


@dataclass(frozen=True, eq=False)
class Stage(ABC):
    """One unit of work. A subclass's fields are all that its output depends on; a stage among them counts by its key.

    kind: of its entry, and the folder of the store. version: raised whenever the output changes for the same fields.
    name: keeps stages of one kind apart if their fields do not. doing: what users read while it runs. meta_type: the
    note that is kept with the entry. survived: exact types of errors after which a run continues without the entry.
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    name: ClassVar[str] = ""
    doing: ClassVar[str]
    meta_type: ClassVar[type[Record]]
    survived: ClassVar[tuple[type[NatfpError], ...]] = ()

    @cached_property
    def key(self) -> str:
        """SHA-256 of kind, version and fields. Settings that have their default value are left out of it."""
        what = {"stage": self.kind, "version": self.version, **({"name": self.name} if self.name else {})}
        return digest({**what, **fields_of(self)})

    @property
    def identity(self) -> str:
        """What stands for this stage in the key of another one."""
        return self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stage) and (self.kind, self.key) == (other.kind, other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def needs(self) -> tuple[Stage, ...]:
        """Stages whose entries must be there first: those among the fields."""
        return tuple(dict.fromkeys(_stages_in([getattr(self, field.name) for field in dataclasses.fields(self)])))

    def possible(self, metas: Mapping[Stage, Any]) -> bool:  # noqa: ARG002
        """Whether the stage can be made, given the notes on the stages that it needs."""
        return True

    def machine(self, device: str) -> Needs:  # noqa: ARG002
        """What the work takes of a machine; `device` is the one that the user asked for."""
        return Needs()

    @property
    def limits(self) -> Limits | None:
        """Time and memory after which the work is stopped; None if there is no limit."""
        return None

    @abstractmethod
    def run(self, at: Workplace) -> Record:
        """Fill the entry's folder, in a worker; returns the note. Import heavy libraries inside."""

    def entry(self, store: Store) -> Entry:
        """Find the finished entry; raises StoreError if it is gone."""
        return store.require(self.kind, self.key)

    def folder(self, store: Store) -> Path:
        """Folder of the finished entry."""
        return self.entry(store).folder

    def meta(self, entry: Entry) -> Record:
        """Read the note of an entry."""
        return self.meta_type.model_validate(entry.meta, strict=False)


def _stages_in(value: Any) -> Iterator[Stage]:
    if isinstance(value, Stage):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _stages_in(item)
    elif isinstance(value, Mapping):
        yield from _stages_in(list(value.values()))


@dataclass(frozen=True)
class Work:
    """A stage that is to be made, and where: the store, what people call it, the device, and where it may start."""

    stage: Stage
    store: str
    label: str
    device: str
    start: Stage | None = None


class CorpusStage(Stage):
    """A stage that makes texts ready: to train on, or to measure models on."""

    kind, version, doing = "corpus", 1, "corpus"


@dataclass(frozen=True)
class Loaded:
    """A model in memory with its tokenizer; positions: how many it has, None if there is no limit."""

    model: Any
    reader: TextReader
    positions: int | None
    prefix: Prefix = "kept"


def load_folder(folder: Path, at: Workplace, serve: ServeSpec, threads: int, context: int) -> Loaded:
    """Load a checkpoint folder that was written here onto the workplace's device; context: its positions."""
    from natfp_bench.corpus import tokens
    from natfp_bench.models import model as models

    device = models.pick_device(at.device)
    models.set_numerics(NumericsSpec(threads=threads), device)
    return Loaded(models.load(folder, serve, device), tokens.reader(folder, {}), context)


class ModelStage(Stage):
    """A stage that makes, measures or finds what texts come from."""

    kind, version, doing = "model", 2, "train"
    meta_type: ClassVar[type[ModelMeta]] = ModelMeta

    corpus: CorpusStage
    """Its held-out documents measure the model, and their beginnings are the prompts."""

    @property
    def lineage(self) -> str:
        """Name of the model in the random streams that its texts are drawn from; see `pipeline.lineage`."""
        raise NotImplementedError(f"nothing is drawn from a {type(self).__name__}")

    @property
    def title(self) -> str:
        """What messages call the model."""
        return "a model"

    def serving_mb(self, rows: int) -> int:
        """Memory in MB that the model takes while so many texts go through it."""
        raise NotImplementedError(f"no texts go through a {type(self).__name__}")

    def load(self, at: Workplace, serve: ServeSpec, threads: int) -> Loaded:
        """Load the model onto the workplace's device, served as the specification says."""
        raise NotImplementedError(f"a {type(self).__name__} has no weights to load")

    def tokenizer(self, store: Store) -> Any:
        """Load the tokenizer as transformers has it, for other tools."""
        raise NotImplementedError(f"a {type(self).__name__} has no tokenizer")

    def run(self, at: Workplace) -> ModelMeta:  # noqa: ARG002
        """Make, measure or find it. If it gives nothing but texts, nothing is known of it."""
        return ModelMeta()


class Known:
    """What is true of stages of which only the key is known: their entries can be read, and not made."""

    known: str

    @property
    def key(self) -> str:
        """The key that is known."""
        return self.known

    def run(self, at: Workplace) -> Any:
        """A key does not say how to make an entry."""
        raise NotImplementedError(f"{self.known} is a key alone")


@dataclass(frozen=True, eq=False)
class KnownCorpus(Known, CorpusStage):
    """A corpus of which only the key is known."""

    known: str
    meta_type = CorpusMeta


@dataclass(frozen=True, eq=False)
class KnownModel(Known, ModelStage):
    """A model of which only the key is known, for example from a result. That is enough to find its texts."""

    known: str
    corpus: CorpusStage = KnownCorpus("")
    meta_type = TrainMeta
