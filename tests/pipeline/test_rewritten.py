"""The disguise by another model: who rewrites."""

from __future__ import annotations

from natfp_bench.pipeline.stages.rewritten import Rewritten
from natfp_bench.pipeline.variants import resolve
from natfp_bench.plan.make_plan import make_plan
from natfp_bench.statistics.curves import REWRITTEN


def test_one_model_rewrites_the_texts_of_all_variants() -> None:
    for task in ("lr_id", "quantization_id"):
        made = resolve(make_plan(task, "smoke", overrides={"analysis.disguises": "true"}))
        stages = [of.transfer[REWRITTEN] for of in made]
        rewriters = {stage.rewriter for stage in stages if isinstance(stage, Rewritten)}
        assert len(rewriters) == 1
        assert not rewriters & {of.model for of in made}
        assert len({stage.key for stage in stages}) == len(made)
        assert not any(REWRITTEN in of.transfer for of in resolve(make_plan(task, "smoke")))
