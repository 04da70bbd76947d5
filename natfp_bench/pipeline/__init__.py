"""The room `pipeline`: from a plan to a result, through a store of finished entries and an engine that runs jobs.

Read `result` and `prediction_columns` (what comes out), then where work is done and kept: `engine` (the interface),
`local_engine` with `job_output`, `warm`, `worker` and `allocator`, `ray_engine`, `store`. Then what work there is:
`stages/` (one module for each, `stage` first), `sources/` (one for each kind of source, `kind` first), `lineage` (names
of random streams). Then how a plan is carried out: `workbench` (what a worker does), `variants` (a plan as stages),
`evidence` (what finished stages hold), `schedule` (in which order they are made), `ladder` (what attributors may know),
`wanted` (which stages a plan takes), `scoring`, `score_checks`, `crossed_study`, `verification`, `dilution`,
`factor_study` and `assemble` (what they say), `run` (all of it, top down: to follow one run, begin there). `curve` with
`curve_result` does so with more and more training texts. `bundled_texts`, `overview` and `contract_suite` stand beside
that path.

It may import base, plan, corpus, models, statistics and attributors.
"""
