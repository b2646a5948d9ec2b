# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest
import torch

from c3video.c3.fit.tiles import tiled_map, tiled_sum


def network(x: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return b @ torch.tanh(a @ x)


@pytest.mark.parametrize("tile_size", [1, 3, 7, 100])
def test_tiled_map_and_its_gradients_equal_autograd(tile_size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, a, b, g = (torch.randn(s, generator=generator, dtype=torch.float64) for s in [(3, 7), (5, 3), (2, 5), (2, 7)])
    tensors = [t.requires_grad_() for t in (x, a, b)]
    whole = network(*tensors)
    tiled = tiled_map(network, tile_size, x, [a, b])
    torch.testing.assert_close(tiled, whole)
    expected = torch.autograd.grad(whole, tensors, g)
    for found, wanted in zip(torch.autograd.grad(tiled, tensors, g), expected, strict=True):
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("tile_size", [1, 2, 5])
def test_tiled_sum_and_its_gradients_equal_autograd(tile_size: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y, a = (torch.randn(s, generator=generator, dtype=torch.float64) for s in [(5, 4), (5, 4), (4,)])
    tensors = [t.requires_grad_() for t in (x, y, a)]

    def energy(x: torch.Tensor, y: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return (torch.sin(x * a) * y).sum()

    whole, tiled = energy(x, y, a), tiled_sum(energy, tile_size, [x, y], [a])
    torch.testing.assert_close(tiled, whole)
    expected = torch.autograd.grad(3.0 * whole, tensors)
    for found, wanted in zip(torch.autograd.grad(3.0 * tiled, tensors), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_tiled_sum_without_gradients() -> None:
    with torch.no_grad():
        assert tiled_sum(lambda x, a: (x * a).sum(), 2, [torch.ones(5)], [torch.tensor(2.0)]).item() == 10.0
