# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest
import torch

from c3video.c3.fit.precision import on_grid, search_precisions, to_layers
from c3video.c3.patch_model import LayerSpec, Precision
from c3video.errors import FitError

SPECS = [LayerSpec("entropy", 0, (4, 6), 8), LayerSpec("synthesis", -1, (3, 4), 10)]


def random_weights(scale: float = 0.3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [shape for spec in SPECS for shape in (spec.weight_shape, spec.bias_shape)]
    return [scale * torch.randn(shape, generator=generator) for shape in shapes]


def test_weights_on_their_grid_are_the_integers() -> None:
    precisions = {"entropy": Precision(7, 5), "synthesis": Precision(10, 12)}
    weights = random_weights()
    layers = to_layers(SPECS, weights, precisions)
    rounded = on_grid(SPECS, weights, precisions)
    for layer, weight, bias in zip(layers, rounded[::2], rounded[1::2], strict=True):
        np.testing.assert_allclose(weight.numpy() * 2.0**layer.precision.weight_bits, layer.weight, atol=1e-4)
        np.testing.assert_allclose(bias.numpy() * 2.0**layer.precision.bias_bits, layer.bias, atol=1e-4)


def test_rounding_of_weights_passes_gradients() -> None:
    weights = [w.requires_grad_() for w in random_weights()]
    rounded = on_grid(SPECS, weights, {"entropy": Precision(7, 7), "synthesis": Precision(7, 7)})
    for grad in torch.autograd.grad(sum((w * 3.0).sum() for w in rounded), weights):
        assert (grad == 3.0).all()


def test_search_spends_bits_where_the_loss_wants_them() -> None:
    weights = random_weights()

    def loss(rounded: list[torch.Tensor], bits: float) -> float:
        return bits * 1e-7 + sum(float((a - b).square().sum()) for a, b in zip(rounded[2:], weights[2:], strict=True))

    found = search_precisions(SPECS, weights, loss)
    assert found["entropy"] == Precision(5, 5), "nothing is lost by the coarsest entropy weights here"
    assert found["synthesis"].weight_bits >= 8


def test_search_refuses_weights_past_the_integers() -> None:
    with pytest.raises(FitError, match="another seed"):
        search_precisions(SPECS, random_weights(scale=1e5), lambda weights, bits: bits)
