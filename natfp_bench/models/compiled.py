"""Functions of tensors with fused kernels, by torch's compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from natfp_bench.base.errors import UserError

MANY_SHAPES = 2**16
"""Shapes that one process may compile for, and models that it may make graphs for: more than it will ever see."""


def compiled(function: Callable[..., Tensor], *, graphs: bool = False) -> Callable[..., Tensor]:
    """Make the same with fused kernels, by torch's compiler: some seconds once a shape, then faster steps.

    graphs: on a GPU, launch all kernels as one CUDA graph; what a call returns is overwritten by the next one.
    The first call raises UserError where the machine cannot compile.
    """
    from torch._dynamo import config
    from torch._inductor import config as inductor

    # Beyond a few shapes torch would go on without kernels, so that a model's numbers hung on those before it.
    config.recompile_limit = config.accumulated_recompile_limit = MANY_SHAPES
    # Each model has weights of its own, whose addresses are part of a graph.
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
                f"numerics.compile: torch's compiler fails ({why})\n"
                "  install a C++ compiler (g++), or --set numerics.compile=false"
            ) from None

    return call
