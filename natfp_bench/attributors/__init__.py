"""Baselines: how they are found, fitted, checked and studied. It may import all rooms from base to statistics.

Reading order:

kit               the names that authors of baselines import, in one public module
code_digest       the digest of a baseline: its folder, and the code of this package that it imports
transforms        changes of a text that remove one aspect of it
familiarity       how familiar a text is, for identification
knowledge         what an attributor is given beside labelled texts, as it reads it
registry          find, read and build baselines: the folder is the registry
new_baseline      make the folder of a new baseline
attribute         one fit of one attributor, with checked answers
text_classifier   helpers for baselines: logistic regression, weights of scores, inner folds
neural_text       helpers for baselines: neural models
class_models      helpers for baselines: one language model per class
planted           texts for the checks: planted ones and odd ones
planted_knowledge knowledge for the checks, with a model that is trained for it
contract          the rules for every attributor, as checks
box_messages      what goes between a run and a classifier's process: JSON and numbers, never code
sandbox           bubblewrap around a classifier's process
boxed, box        the inside of a classifier's process, and the side that asks it
study             studies that refit the reference attributor
template/         the files of a new baseline
"""
