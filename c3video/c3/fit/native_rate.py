# SPDX-License-Identifier: MIT
"""What a fit does with latents, on the native engine: rate, noise and rounding, float32 on the CPU.

Each function equals the torch code that its docstring names, to float rounding. Threads: torch.get_num_threads(). A
sum's last bits depend on their number; noise does not, nor does anything that belongs to one latent alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from c3video import native

Shape = tuple[int, int, int]
Corner = tuple[int, int] | None
"""Offset (dy, dx) of the previous-frame window's first tap from its latent; None for a grid without a window."""


def _plain(tensor: Tensor) -> Tensor:
    """As the engine reads it: contiguous, without history."""
    return tensor.detach().contiguous()


class _Plan:
    """What stays the same from step to step: the engine's own plan, and the shapes of the weights."""

    def __init__(
        self,
        shapes: tuple[Shape, ...],
        corners: tuple[Corner, ...],
        context_size: int,
        previous_size: int,
        q_step: float,
        hidden: tuple[int, ...],
    ) -> None:
        plan = native.extension().RatePlan
        self.native = plan([list(s) for s in shapes], list(corners), context_size, previous_size, q_step, list(hidden))
        self.grid_sizes = [t * h * w for t, h, w in shapes]
        self.weight_shapes: list[tuple[int, ...]] = []
        self.network_sizes = []
        for corner in corners:
            start = len(self.weight_shapes)
            num_inputs = context_size**2 // 2 + (0 if corner is None else previous_size**2)
            for width in (*hidden, 2):
                self.weight_shapes += [(width, num_inputs), (width,)]
                num_inputs = width
            self.network_sizes.append(sum(math.prod(shape) for shape in self.weight_shapes[start:]))


_plan = lru_cache(maxsize=64)(_Plan)


def patch_bits(
    steps: Tensor,
    shapes: Sequence[Shape],
    corners: Sequence[Corner],
    context_size: int,
    previous_size: int,
    q_step: float,
    weights: Sequence[Tensor],
) -> Tensor:
    """Bits of each latent grid under its entropy network: PatchNetwork.rate without the wide windows.

    The gradient is computed with the value, in one pass.

    Args:
        steps: (L,) the grids one after the other, in quantisation steps.
        shapes: (t, h, w) of each of the G grids.
        corners: where the window in the previous latent frame lies, one a grid.
        context_size: odd side of the causal window.
        previous_size: side of the window in the previous frame.
        q_step: quantisation step; a tap is a step times it.
        weights: grid by grid and layer by layer weight (C_out, C_in) and bias (C_out,); hidden widths are the same in
            all grids. Grids that share a network have the same tensors.

    Returns:
        (G,) bits.
    """
    num_layers = len(weights) // (2 * len(shapes))
    hidden = tuple(len(bias) for bias in weights[1 : 2 * (num_layers - 1) : 2])
    plan = _plan(tuple(shapes), tuple(corners), context_size, previous_size, q_step, hidden)
    found = [tuple(weight.shape) for weight in weights]
    if found != plan.weight_shapes:
        raise ValueError(f"weights of shapes {found}: must be {plan.weight_shapes}")
    return _PatchBits.apply(plan, steps, *weights)


def grid_bits(
    grid: Tensor, corner: Corner, previous_size: int, context_size: int, q_step: float, layers: Sequence[Tensor]
) -> Tensor:
    """Bits of one grid (t, h, w), a scalar: PatchNetwork._grid_bits. Arguments as those of `patch_bits`."""
    shape = (grid.shape[0], grid.shape[1], grid.shape[2])
    return patch_bits(grid.flatten(), [shape], [corner], context_size, previous_size, q_step, layers)[0]


class _PatchBits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: _Plan, steps: Tensor, *weights: Tensor) -> Tensor:
        steps, flat = _plain(steps), torch.cat([weight.detach().flatten() for weight in weights])
        bits = torch.empty(len(plan.grid_sizes), dtype=torch.float64)
        ctx.plan, ctx.grads = plan, (None, None)
        if any(ctx.needs_input_grad):
            ctx.grads = (torch.empty_like(steps), torch.empty_like(flat))
        native.extension().fit_grid_bits(
            plan.native, steps, flat, bits, *ctx.grads, torch.get_num_threads(), native.isa()
        )
        return bits.float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        plan, factors = ctx.plan, grad_outputs[0]
        (grad_steps, grad_weights), ctx.grads = ctx.grads, (None, None)
        if grad_steps is None:
            raise RuntimeError("a second backward pass: the gradient of the bits is kept for one")
        if bool((factors == factors[0]).all()):  # as in a fit, where only the sum counts
            grad_steps *= factors[0]
            grad_weights *= factors[0]
        else:
            grad_steps *= factors.repeat_interleave(torch.tensor(plan.grid_sizes))
            grad_weights *= factors.repeat_interleave(torch.tensor(plan.network_sizes))
        parts = grad_weights.split([math.prod(shape) for shape in plan.weight_shapes])
        return None, grad_steps, *(part.view(shape) for part, shape in zip(parts, plan.weight_shapes, strict=True))


def add_noise(
    x: Tensor,
    temperature: float,
    a: float,
    seed: int,
    sizes: Sequence[int] | None = None,
    steps_per_unit: Sequence[float] | None = None,
    uniform: Tensor | None = None,
) -> Tensor:
    """Stage 1's noise, fit.quantize.add_noise, on x times the factors `steps_per_unit`.

    Args:
        x: (L,).
        temperature, a: of the soft rounding and of the Kumaraswamy noise.
        seed: 0 .. 2^64 - 1; seed and position determine a latent's noise.
        sizes, steps_per_unit: lengths of the parts of x and the factor of each; one part and 1 without them.
        uniform: (L,) on (0, 1) in place of those that follow from the seed.

    Returns:
        (L,) noisy values.
    """
    return _Quantise.apply(x, temperature, sizes, steps_per_unit, (a, seed, uniform))


def straight_through(
    x: Tensor,
    temperature: float,
    sizes: Sequence[int] | None = None,
    steps_per_unit: Sequence[float] | None = None,
) -> Tensor:
    """Stage 2's rounding, fit.quantize.straight_through, on x times the factors. Arguments as those of `add_noise`."""
    return _Quantise.apply(x, temperature, sizes, steps_per_unit, None)


class _Quantise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        temperature: float,
        sizes: Sequence[int] | None,
        steps_per_unit: Sequence[float] | None,
        noise: tuple[float, int, Tensor | None] | None,
    ) -> Tensor:
        x = _plain(x)
        steps = torch.empty_like(x)
        slopes = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        parts = [len(x)] if sizes is None else list(sizes)
        factors = [1.0] * len(parts) if steps_per_unit is None else list(steps_per_unit)
        if noise is None:
            native.extension().fit_straight_through(
                x, parts, factors, temperature, steps, slopes, torch.get_num_threads(), native.isa()
            )
        else:
            a, seed, uniform = noise
            given = None if uniform is None else _plain(uniform)
            native.extension().fit_add_noise(
                x, parts, factors, temperature, a, seed, given, steps, slopes, torch.get_num_threads(), native.isa()
            )
        ctx.save_for_backward(slopes)
        return steps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return slopes.mul_(grad_outputs[0]), None, None, None, None  # a second pass would raise: torch sees the change
