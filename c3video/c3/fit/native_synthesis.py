# SPDX-License-Identifier: MIT
"""The synthesis of `PatchNetwork` and its distortion on the native engine, forward and backward, float32 on the CPU.

Each function equals the torch code that its docstring names, to float rounding. Threads: torch.get_num_threads().
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from c3video import native

Exponents = tuple[int, int]
"""(time, space) exponents of a latent grid."""


def _empty(*shape: int) -> Tensor:
    """For results as long as the patch: out of a pool, which saves the page faults of fresh memory."""
    return native.extension().fit_empty(shape)


def _plain(tensor: Tensor) -> Tensor:
    """As the engine reads it: contiguous, without history."""
    return tensor.detach().contiguous()


def upsample_grids(
    latents: Tensor, exponents: Sequence[Exponents], shape: tuple[int, int, int], scale: float = 1.0
) -> Tensor:
    """All latent grids times `scale` at the resolution of the cells, by model.latents.interpolation_matrix.

    Args:
        latents: (L,) the grids one after the other.
        exponents: of each of the G grids.
        shape: (T, H, W) of the patch in cells.

    Returns:
        (G, T, H, W).
    """
    return _Upsample.apply(latents, [list(pair) for pair in exponents], shape, scale)


def upsample(grid: Tensor, exponents: Exponents, shape: tuple[int, int, int]) -> Tensor:
    """One grid (t, h, w) to (T, H, W)."""
    return upsample_grids(grid.flatten(), [exponents], shape)[0]


class _Upsample(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, latents: Tensor, exponents: list[list[int]], shape: tuple[int, int, int], scale: float
    ) -> Tensor:
        ctx.num_latents, ctx.exponents, ctx.scale = len(latents), exponents, scale
        planes = _empty(len(exponents), *shape)
        native.extension().fit_upsample(
            _plain(latents), planes, exponents, scale, torch.get_num_threads(), native.isa()
        )
        return planes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        grad = _empty(ctx.num_latents)
        native.extension().fit_upsample_backward(
            _plain(grad_outputs[0]), grad, ctx.exponents, ctx.scale, torch.get_num_threads(), native.isa()
        )
        return grad, None, None, None


def pointwise(inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Columns (C_in, N) through pointwise layers, `activate` between them: fit.network._pointwise.

    Args:
        weights: of each layer weight (C_out, C_in), then bias (C_out,).

    Returns:
        (C_out, N).
    """
    return _Pointwise.apply(inputs, *weights)


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, *weights: Tensor) -> Tensor:
        inputs, weights = _plain(inputs), tuple(_plain(weight) for weight in weights)
        ctx.save_for_backward(inputs, *weights)
        outputs = _empty(len(weights[-1]) if weights else 0, inputs.shape[-1])
        native.extension().fit_pointwise(inputs, list(weights), outputs, torch.get_num_threads(), native.isa())
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        inputs, *weights = ctx.saved_tensors
        grad_inputs = _empty(*inputs.shape) if ctx.needs_input_grad[0] else None
        grads = [torch.empty_like(weight) for weight in weights]
        native.extension().fit_pointwise_backward(
            inputs, weights, _plain(grad_outputs[0]), grad_inputs, grads, torch.get_num_threads(), native.isa()
        )
        return grad_inputs, *grads


def residuals(samples: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Residual convolutions, `activate` between them: samples + fit.network._convolve(samples), layer after layer.

    Args:
        samples: (C, T, H, W), C = 1..6.
        weights: of each layer weight (C, C, kt, 3, 3), kt = 1 or 3, then bias (C,).

    Returns:
        (C, T, H, W); `samples` themselves if there are no layers.
    """
    for index in range(0, len(weights), 2):
        samples = _Residual.apply(samples, weights[index], weights[index + 1], index > 0)
    return samples


class _Residual(torch.autograd.Function):
    """One layer, of the activated samples if `active_input`: that way only sums are stored, no activations."""

    @staticmethod
    def forward(ctx: Any, samples: Tensor, weight: Tensor, bias: Tensor, active_input: bool) -> Tensor:
        samples, weight, bias = _plain(samples), _plain(weight), _plain(bias)
        outputs = _empty(*samples.shape)
        native.extension().fit_residual(
            samples, weight, bias, active_input, outputs, torch.get_num_threads(), native.isa()
        )
        ctx.save_for_backward(samples, weight, bias)
        ctx.active_input = active_input
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        samples, weight, bias = ctx.saved_tensors
        grad_samples = _empty(*samples.shape) if ctx.needs_input_grad[0] else None
        grad_weight, grad_bias = torch.empty_like(weight), torch.empty_like(bias)
        native.extension().fit_residual_backward(
            samples,
            weight,
            bias,
            ctx.active_input,
            _plain(grad_outputs[0]),
            grad_samples,
            grad_weight,
            grad_bias,
            torch.get_num_threads(),
            native.isa(),
        )
        return grad_samples, grad_weight, grad_bias, None


def clipped_mse(samples: Tensor, target: Tensor) -> Tensor:
    """(samples.clamp(0, 1) - target).square().mean() in one pass, the gradient of `samples` with it."""
    return _ClippedMse.apply(samples, target)


class _ClippedMse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, samples: Tensor, target: Tensor) -> Tensor:
        if samples.shape != target.shape:
            raise ValueError(f"samples {tuple(samples.shape)} and target {tuple(target.shape)} differ in shape")
        samples, target = _plain(samples), _plain(target)
        grad = _empty(*samples.shape) if ctx.needs_input_grad[0] else None
        flat_grad = None if grad is None else grad.view(-1)
        mse = native.extension().fit_clipped_mse(
            samples.view(-1), target.view(-1), flat_grad, torch.get_num_threads(), native.isa()
        )
        ctx.grad = grad
        return torch.tensor(mse, dtype=torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        grad, ctx.grad = ctx.grad, None
        if grad is not None and grad_outputs[0] != 1.0:  # it is where the loss is this plus something else
            grad.mul_(grad_outputs[0])
        return grad, None
