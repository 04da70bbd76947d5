"""From a task and a preset to a plan: which variants there are, and how their texts are split. It imports `base`.

Reading order:

descent      settings of where a model comes from, and of what is made of its weights
settings     all settings of a variant: how it is trained, served and sampled
defaults     the frozen defaults of the settings; a test compares both
crossing     levels that are every combination of nuisance seeds
task_files   tasks and presets, and the YAML files that hold them
sources      checks of tasks whose models are not trained here
plan         variants and plans, and the check that only one factor varies
history      the models that each variant was made from, and which variants share such a model
ancestors    tasks whose levels are ancestors, and models that descend from none of them
make_plan    the way from a task and a preset to a plan
models_plan  checkpoints that a user names, as a plan
sweep        one task at many values of some settings
split        which texts an attributor is trained on, and which it is tested on
curve        one task at several numbers of training texts
"""
