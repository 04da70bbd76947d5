"""Functions on tensors with fused kernels, made by torch's compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from natfp_bench.base.errors import UserError

MANY_SHAPES = 2**16
"""Limit of shapes that one process compiles for, and of models that it makes graphs for: never reached."""


def compiled(function: Callable[..., Tensor], *, graphs: bool = False) -> Callable[..., Tensor]:
    """Compile a function to fused kernels: takes some seconds for each new shape, then runs faster.

    graphs: on a GPU, launch all kernels as one CUDA graph; each call then overwrites the result of the call before.
    The first call raises UserError if the machine cannot compile.
    """
    from torch._dynamo import config
    from torch._inductor import config as inductor

    # After a few shapes torch would run uncompiled, and a model's numbers would depend on the models before it.
    config.recompile_limit = config.accumulated_recompile_limit = MANY_SHAPES
    # Each model has its own weights, and their addresses are part of a graph.
    inductor.triton.cudagraph_unexpected_rerecord_limit = MANY_SHAPES
    made = torch.compile(function, dynamic=False, fullgraph=True, mode="reduce-overhead" if graphs else None)

    def call(*arguments: Any) -> Tensor:
        from torch._dynamo.exc import BackendCompilerFailed

        if graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        try:
            return made(*arguments)
        except BackendCompilerFailed as error:
            why = str(error).splitlines()[0]
            raise UserError(
                f"numerics.compile or serve.compile: torch's compiler fails ({why})\n"
                "  install a C++ compiler (g++), or --set numerics.compile=false and take no task of serve.compile"
            ) from None

    return call
