"""Names of the random streams that texts are drawn from.

A stream is named after what its variant is, with every setting of the first release written out; a setting that was
added later appears only if it does not have its default. So neither a new option nor a stage's version changes a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from natfp_bench.base.records import Record, canonical, digest
from natfp_bench.plan.defaults import DEFAULTS
from natfp_bench.plan.descent import TuningSpec
from natfp_bench.plan.settings import Recipe
from natfp_bench.plan.text_settings import DrawSpec, ServeSpec, SourceSpec

CORPUS, MODEL = {"stage": "corpus", "version": 1}, {"stage": "model", "version": 2}
"""How the first release named a corpus and a model; no version of a stage."""

GONE: dict[str, Any] = {"numerics": {"stack": 0}}
"""Settings of the first release that are gone since, with the value that every model had."""


def of_trained(recipe: Recipe, seed: int, corpus: dict[str, Any]) -> str:
    """Name of a model that is trained here; corpus: the identity of its documents and how they are packed."""
    named = {**CORPUS, **corpus, "tokenizer": _written_out("tokenizer", recipe.tokenizer)}
    sections = {name: _written_out(name, getattr(recipe, name)) for name in Recipe.model_fields if name in DEFAULTS}
    later = {name: value for name, value in canonical(recipe).items() if name not in DEFAULTS}
    return digest({**MODEL, "recipe": {"seed": seed, **sections, **later, "corpus": digest(named)}})


def of_checkpoint(checkpoint: Any, serve: ServeSpec, threads: int, heldout: dict[str, Any]) -> str:
    """Name of a checkpoint by its identity, as it is served; heldout: identity of the held-out documents."""
    served = {"serve": _written_out("serve", serve), "threads": threads}
    return digest({**MODEL, "checkpoint": checkpoint, **served, "corpus": digest({**CORPUS, **heldout})})


def of_tuned(recipe: Recipe, tuning: TuningSpec, seed: int, base: Any, corpus: dict[str, Any]) -> str:
    """Name of a released model that is fine-tuned here; base: its identity, corpus: that of what it reads."""
    named = {"recipe": canonical(recipe), "tuning": canonical(tuning), "seed": seed}
    return digest({**MODEL, "tuned": {**named, "base": base, "corpus": digest({**CORPUS, **corpus})}})


def of_derived(parents: Sequence[str], shares: Sequence[float], pruned: float) -> str:
    """Name of a model that is made of others' weights; parents: their names, with the share of each."""
    return digest({**MODEL, "derived": [list(parents), list(shares), pruned]})


def of_backend(source: SourceSpec, heldout: dict[str, Any]) -> str:
    """Name of a backend of lm-eval, which is known by its arguments alone."""
    known = [source.model, source.filled(source.model_args)]
    return digest({**MODEL, "lm_eval": known, "corpus": digest({**CORPUS, **heldout})})


def stream(model: str, draw: DrawSpec, serve: ServeSpec, threads: int, seed: int) -> tuple[str | int, ...]:
    """Name of a variant's stream, given its model's name: variants that differ share no random number."""
    shaping = {name: getattr(draw, name) for name in ("temperature", "top_k", "top_p", "prompt_characters")}
    later = {
        name: value for name, value in canonical(draw).items() if name not in (*DEFAULTS["sampling"], "max_tokens")
    }
    how = {**shaping, **later, "serve": _written_out("serve", serve), "threads": threads}
    return (seed, "sample", model, digest(how), draw.stream)


def _written_out(name: str, section: Record | Any) -> Any:
    """A section of the settings in full, as of the first release."""
    if not isinstance(section, Record):
        return section
    return {**DEFAULTS[name], **GONE.get(name, {}), **canonical(section)}
