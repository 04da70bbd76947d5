"""The words of the report, each explained once: the page of the glossary and the tooltips of columns show the same."""

from __future__ import annotations

from collections.abc import Mapping

TERMS: Mapping[str, str] = {
    "accuracy": "Share of the test texts for which the most probable label is the true one. Ties share the credit.",
    "attributor": "A classifier that reads one text and says how probable it is that each model wrote it.",
    "bits": "Information about the label per text, in bits, by the probabilities that the attributor states.",
    "bits per byte": "How well a model predicts text that it did not train on, in bits for each byte. Lower is better.",
    "ceiling": "What the likelihoods of the very models reach on the same texts. No attributor of texts can "
    "exceed it in "
    "expectation, if it has read texts of the same runs.",
    "chance": "Accuracy of a guess that does not look at the text.",
    "corrected p": "p by Holm's method, over all factors of a table that can be found at all. A claim rests on it.",
    "crossing": "A design with one model for every combination of the values of several seeds, such as each "
    "initialisation with each data order. It says which seed differences go with.",
    "detectable": "The smallest identifiability that a preset would find with a power of 0.8.",
    "equally good": "Whether the levels are equally good language models, within a margin. 'not shown' is neither.",
    "F1": "Mean over the labels of F1, the harmonic mean of precision and recall.",
    "factor": "The training condition that a task varies, such as the peak learning rate; a level is one value of it.",
    "failed": "Tasks on which the attributor failed.",
    "fit, s": "Seconds of learning from training texts, as measured where it ran.",
    "floor": "An attributor that does not look at the text. Others are compared with it.",
    "held-out runs": "Training runs of which the attributor has read no text: a score on them is about the factor.",
    "identifiability": "Accuracy on a scale where 0 is chance and 1 is certainty: (accuracy - chance) / (1 - chance).",
    "instance part": "Accuracy on runs that the attributor has read minus accuracy on held-out ones: it "
    "recognises single "
    "runs, whatever the factor.",
    "least p": "The smallest p-value that so few replicates can give.",
    "likelihood reference": "The ceiling's computation with the models of the other runs. It is no bound.",
    "log-odds": "How much more often a word stands in texts of one level than in those of the others, as the "
    "logarithm of "
    "a ratio of odds.",
    "mean KL": "How different two models are: the average bits per token lost when one predicts the other's text.",
    "memory, MB": "Peak memory of the process that fitted the attributor.",
    "p": "Share of the relabelled experiments, levels permuted within replicates, that do at least as well; or, "
    "without "
    "held-out runs, the p-value of the accuracy on these models alone.",
    "predict, s": "Seconds of answering for all test texts, as measured where it ran.",
    "preset": "The size of the whole experiment: smoke shows that all works, quick takes minutes, standard "
    "takes hours.",
    "protocol digest": "A hash of everything that determines a result, attributors apart. Only results with the same "
    "digest rank together.",
    "rank": "1 + the number of attributors that are significantly better, among those that know as much.",
    "reference attributor": "One fast attributor, named by the preset, that all studies fit again.",
    "replicate": "One training run per level, with the same seeds at every level. Replicates differ in their "
    "seeds alone.",
    "rung": "What an attributor knows beside the text: labelled texts, further texts, the corpus, the recipe, the "
    "initial weights, or, for the ceiling, the models themselves. Each rung has what those before it have.",
    "same runs": "Training runs that the attributor has read other texts of: it may recognise single runs.",
    "stress": "How much a map in two dimensions distorts the distances, from 0 (not at all) to 1.",
    "verdict": "found: corrected p is at most 0.05. not found: it is above. not testable: so few replicates "
    "cannot reach "
    "0.05.",
    "95% at": "Length of a text at which accuracy reaches 0.95, by the reference attributor / by the ceiling.",
}
"""Each word with what it means."""

COLUMNS: Mapping[str, str] = {
    "identifiability, 95%": "identifiability",
    "ident.": "identifiability",
    "unseen replicates": "held-out runs",
    "unseen runs": "held-out runs",
    "seen replicates": "same runs",
    "seen runs": "same runs",
    "rank, seen": "rank",
    "accuracy, 95%": "accuracy",
    "bits, 95%": "bits",
    "would find": "detectable",
    "95% at (tokens)": "95% at",
    "bits per byte, 95%": "bits per byte",
    "worst ratio": "equally good",
    "best attributor": "attributor",
    "best": "attributor",
}
"""Columns that show a word of the glossary under another name."""


def anchor(term: str) -> str:
    """The place of a word on the page of the glossary."""
    return "word-" + "-".join("".join(c if c.isalnum() else " " for c in term.lower()).split())


def explained(column: str) -> str:
    """What the heading of a column means; empty if the glossary does not have it."""
    name = " ".join(column.split())
    return TERMS.get(COLUMNS.get(name, name), "")
