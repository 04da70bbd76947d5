"""The fast bundled baselines."""

from natfp_bench.attributors import registry

NAMES = [
    *("majority", "unigram", "char_ngram", "word_ngram", "naive_bayes", "ngram_lm", "stylometry", "compression"),
    "ensemble",
]


def build(name, seed=0):
    return registry.build(registry.find(name)[0], seed)
