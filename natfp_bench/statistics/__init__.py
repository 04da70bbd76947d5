"""Scores, intervals, tests and the likelihood ceiling, as plain functions on arrays. It imports base and corpus only.

Reading order:

intervals        an estimate with its 95% interval: bootstrap over prompts, Wilson, Student's t
paired           tests against chance, and of attributors against each other
per_text         credit, bits and log loss of each text
discrimination   ranking, calibration and order of the answers
metrics          every metric of a result, one function for each
ceiling          the best possible attribution, from the likelihoods of the variants
open_set         which known source wrote a text, and whether it may be none of them
replication      tests of the factor, with the replicate as unit
trees            trees drawn from distances, and their agreement with a known history
wording          words and n-grams that differ between levels
token_evidence   bits by position and by type of token
crossed          which seed of a crossing the differences between models go with
curves           the records of studies: curves, robustness, wording, permutation test
power_law        curves with a limit, and what they say beyond their points
phases           where a curve rises, and where it falls
texts_needed     the number of training texts with which a curve reaches a height
candidates       accuracy against the number of candidates
verification     is a model a descendant of this ancestor?
dilution         what share of a stream of texts is by one of two models?
"""
