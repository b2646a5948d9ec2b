# SPDX-License-Identifier: MIT
"""Pointwise work in tiles that fit a cache: hidden layers never exist for the whole patch at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def tiled_map(fn: Callable[..., Tensor], tile_size: int, inputs: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """fn(inputs, *weights), column tile by column tile; backward computes each tile again.

    Args:
        fn: maps (C_in, n) and the weights to (C_out, n), each column for itself.
        tile_size: columns a tile.
        inputs: (C_in, N).
        weights: what every tile shares.

    Returns:
        (C_out, N).
    """
    return _TiledMap.apply(fn, tile_size, inputs, *weights)


class _TiledMap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, fn: Callable[..., Tensor], tile_size: int, inputs: Tensor, *weights: Tensor) -> Tensor:
        ctx.fn, ctx.tile_size = fn, tile_size
        ctx.save_for_backward(inputs, *weights)
        return torch.cat([fn(tile, *weights) for tile in inputs.split(tile_size, dim=1)], dim=1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        inputs, *weights = ctx.saved_tensors
        grad_inputs = torch.empty_like(inputs)
        grad_weights = [torch.zeros_like(weight) for weight in weights]
        shared = [weight.detach().requires_grad_() for weight in weights]
        tiles = zip(
            inputs.split(ctx.tile_size, dim=1),
            grad_outputs[0].split(ctx.tile_size, dim=1),
            grad_inputs.split(ctx.tile_size, dim=1),
            strict=True,
        )
        for tile, grad_output, grad_input in tiles:
            leaf = tile.detach().requires_grad_()
            with torch.enable_grad():
                output = ctx.fn(leaf, *shared)
            grad_leaf, *grads = torch.autograd.grad(output, (leaf, *shared), grad_output)
            grad_input.copy_(grad_leaf)
            for total, grad in zip(grad_weights, grads, strict=True):
                total += grad
        return (None, None, grad_inputs, *grad_weights)


def tiled_sum(fn: Callable[..., Tensor], tile_size: int, inputs: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """Sum of the scalars fn(*tiles, *weights) over tiles of rows; the gradient comes with the value, in one pass.

    Args:
        fn: maps a tile of each input and the weights to a scalar tensor.
        tile_size: rows a tile.
        inputs: tensors of equal length, split along their first axis.
        weights: what every tile shares.

    Returns:
        Scalar tensor.
    """
    return _TiledSum.apply(fn, tile_size, len(inputs), *inputs, *weights)


class _TiledSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, fn: Callable[..., Tensor], tile_size: int, num_inputs: int, *tensors: Tensor) -> Tensor:
        inputs, weights = tensors[:num_inputs], tensors[num_inputs:]
        total = inputs[0].new_zeros(())
        tiles = zip(*(tensor.split(tile_size) for tensor in inputs), strict=True)
        if not any(ctx.needs_input_grad):
            for tile in tiles:
                total += fn(*tile, *weights)
            return total
        shared = [weight.detach().requires_grad_() for weight in weights]
        grads = [torch.zeros_like(tensor) for tensor in tensors]
        targets = zip(*(grad.split(tile_size) for grad in grads[:num_inputs]), strict=True)
        for tile, target in zip(tiles, targets, strict=True):
            leaves = [tensor.detach().requires_grad_() for tensor in tile]
            with torch.enable_grad():
                value = fn(*leaves, *shared)
            total += value.detach()
            parts = torch.autograd.grad(value, (*leaves, *shared), allow_unused=True)
            for grad, part in zip((*target, *grads[num_inputs:]), parts, strict=True):
                if part is not None:
                    grad += part
        ctx.save_for_backward(*grads)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return (None, None, None, *(grad * grad_outputs[0] for grad in ctx.saved_tensors))
