"""Everything that starts from finished results: comparison, ranking, and use of their texts.

Read in this order; the room imports base to pipeline, and never report or cli.

predictions             reads and checks predictions.parquet
protocols, leaderboard  merge the results of one protocol, rank attributors, and tabulate factors
trend_points            the figures of one result, and what they are without each model
trends, many            results that differ in swept settings, and those with many candidates, as curves with laws
regression_reference, regression   write a reference file, and compare results with it
origin                  finds the sample sets of a result again
distances               between all variants of results, with the tree drawn from them and its true history
unlabelled_texts, identification, identify, descent   which variant of a result wrote given texts, or an heir of which
trace                   which of a user's own models wrote given texts
submission              scores of a new baseline on the fixed texts, and its rank
suspicion               scores that no honest classifier reaches
validate_files          checks tasks, presets, baselines and results
export, lm_eval_export, lm_eval_import, evaluate_metrics   exchange with other tools
"""
