"""The room `pipeline`: from a plan to a result, through a store of finished entries and an engine that runs jobs.

Read `result` (what comes out), then where work is done and kept: `engine` (the interface), `local_engine` with `worker`
and `allocator`, `ray_engine`, `store`. Then what work there is: `stages/` (one module for each, `stage` first),
`sources/` (one for each kind of source, `kind` first), `lineage` (names of random streams). Then how a plan is carried
out: `variants` (a plan as stages), `wanted` (which stages), `schedule` (in which order), `workbench` (in a worker),
`evidence` (what the finished ones hold), `scoring`, `score_checks` and `assemble` (what they say), `run` (all of it,
top down). `bundled_texts`, `overview` and `contract_suite` stand beside that path.

It may import base, plan, corpus, models, statistics and attributors.
"""
