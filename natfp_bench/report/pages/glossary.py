"""The page of the glossary."""

from __future__ import annotations

from natfp_bench.report.glossary import TERMS, anchor

from .page import Page


def glossary() -> Page:
    """Make the page with all words of the report, in the order of the alphabet."""
    words = [(term, anchor(term), TERMS[term]) for term in sorted(TERMS, key=str.lower)]
    return Page("glossary.html", "Glossary", "glossary.html", {"words": words})
