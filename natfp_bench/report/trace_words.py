"""What `trace` found, in words and a table."""

from __future__ import annotations

from natfp_bench.results.trace import Trace

from .table import ReportTable, number, p_words, plain_p


def trace_table(found: Trace) -> ReportTable:
    """Make the table of the likelihoods of given texts under each model."""
    rows = [
        (
            one.label,
            one.model,
            number(one.bits_per_token),
            number(one.bits_per_byte),
            number(one.own_bits_per_byte),
            plain_p(one.p),
        )
        for one in found.models
    ]
    caption = (
        "How surprising the texts are to each model, on average per token and per byte, and how surprising its own "
        "texts are to it. p: p-value of 'this model wrote the texts', by their mean bits per byte against that of its "
        "own texts, for each model alone; too few bits count against it as well as too many."
    )
    columns = ("name", "model", "bits per token", "bits per byte", "its own", "p")
    return ReportTable("how likely the texts are", columns, rows, right=columns[2:], loose=("model",), caption=caption)


def trace_conclusion(found: Trace) -> list[str]:
    """Say which model wrote the texts, or that none of them may have."""
    first, verdict = found.models[0], found.verdict
    subject = "the text" if found.texts == 1 else f"all {found.texts:,} texts together, if one source wrote them all"
    which = first.label if len(found.models) == 1 else "one of these"
    if not found.likely:
        doubt = (
            f"{subject}: {p_words(found.p)}, so perhaps none of these models wrote it. If {which} had, a p-value "
            "as small as this would be seen at most one time in twenty"
        )
        if verdict is None:
            return [doubt]
        return [doubt, f"of these models, {verdict.most_likely} is the most likely one"]
    if verdict is None or found.identification is None:
        return [f"{subject}: nothing speaks against {first.label} ({p_words(found.p)}); other models may fit as well"]
    posterior = number(max(verdict.posterior))
    by = found.identification.attributor.name
    said = f"{subject}: most likely {verdict.most_likely} (posterior {posterior}, by {by})"
    agree = "and so say the likelihoods" if first.label == verdict.most_likely else f"but by likelihood {first.label}"
    return [f"{said}, {agree}", f"{p_words(found.p)}: no sign that another source wrote it"]
