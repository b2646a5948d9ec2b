# SPDX-License-Identifier: MIT
"""The float twin against the exact integers, and its pieces against slow readings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from c3video import native
from c3video.c3.config import C3Config, LatentGrid
from c3video.c3.context import causal_offsets, previous_offsets
from c3video.c3.fit.network import (
    PatchNetwork,
    causal_taps,
    default_windows,
    shifted,
    wide_correlation,
    window_taps,
)
from c3video.c3.grid_coding import code_grid
from c3video.c3.patch_model import PatchModel
from c3video.c3.synthesis import synthesise
from c3video.coding.arithmetic import HIDDEN_BITS, activation
from c3video.coding.fit.activation import activate
from c3video.coding.rangecoder import SymbolWriter

SHAPE = (5, 12, 14)


def twin_of(model: PatchModel, symbols: tuple[np.ndarray, ...]) -> tuple[PatchNetwork, torch.Tensor]:
    """A network with the weights of an integer model, and its latents in steps."""
    network = PatchNetwork(
        model.config,
        model.num_channels,
        SHAPE,
        torch.zeros(model.num_channels),
        model.windows,
        torch.Generator(),
    )
    weights = []
    for layer in model.layers:
        weights.append(torch.from_numpy(layer.weight / 2.0**layer.precision.weight_bits).float())
        weights.append(torch.from_numpy(layer.bias / 2.0**layer.precision.bias_bits).float())
    with torch.no_grad():
        for parameter, weight in zip(network.weights, weights, strict=True):
            parameter.copy_(weight)
    return network, torch.cat([torch.from_numpy(s).flatten().float() for s in symbols])


def test_activation_of_the_twin_is_the_exact_one() -> None:
    x = np.arange(-4096, 4096, 7)
    exact = activation(x.astype(np.float64), HIDDEN_BITS) / 2**HIDDEN_BITS
    np.testing.assert_allclose(activate(torch.from_numpy(x / 2**HIDDEN_BITS)).numpy(), exact, atol=2.0**-HIDDEN_BITS)


@pytest.mark.parametrize("time_size", [1, 3])
def test_samples_of_the_twin_are_the_exact_ones_up_to_rounding(random_patch: Callable, time_size: int) -> None:
    config = C3Config(
        grids=(LatentGrid(0, 0), LatentGrid(0, 1, True), LatentGrid(2, 1), LatentGrid(5, 3)),
        synthesis_layers=(8, 8),
        residual_time_size=time_size,
    )
    model, symbols = random_patch(config, 6, SHAPE)
    exact = synthesise(model, symbols, SHAPE, 1023)
    network, steps = twin_of(model, symbols)
    with torch.no_grad():
        twin = network(steps).samples.clamp(0, 1).numpy() * 1023
    assert np.abs(twin - exact).max() < 8
    assert np.abs(twin - exact).mean() < 1
    assert exact.std() > 50


def sharing(config: C3Config) -> C3Config:
    """The same with one entropy network for all grids, which all have a window then."""
    grids = tuple(replace(grid, previous_window=True) for grid in config.grids)
    return replace(config, grids=grids, shared_entropy=True)


@pytest.mark.parametrize("shared", [False, True])
def test_bits_of_the_twin_are_what_the_tables_take(random_patch: Callable, tiny_model: C3Config, shared: bool) -> None:
    """With weights small enough that no latent costs more than the twin's limit of 16 bits."""
    tiny_model = sharing(tiny_model) if shared else tiny_model
    model, symbols = random_patch(tiny_model, 6, SHAPE)
    tame = [
        replace(
            layer,
            weight=layer.weight // 16,
            bias=np.array([0, -3072]) if len(layer.bias) == 2 else layer.bias * 0,
        )
        for layer in model.layers
    ]
    model = replace(model, layers=tuple(tame))
    network, steps = twin_of(model, symbols)
    with torch.no_grad():
        twin_bits = network(steps).grid_bits.tolist()
    for index, grid_symbols in enumerate(symbols):
        writer = SymbolWriter()
        code_grid(
            writer,
            tiny_model,
            model.entropy_layers(index),
            grid_symbols.shape,
            model.windows[index],
            grid_symbols,
        )
        assert twin_bits[index] == pytest.approx(writer.estimated_bits, rel=0.005)
        assert twin_bits[index] > 20


@pytest.mark.parametrize("window", [(30, 31), (0, 61), (61, 0), (50, 32)])
def test_taps_equal_looked_up_neighbours(window: tuple[int, int]) -> None:
    config = C3Config()
    frames = torch.randn(2, 6, 9, generator=torch.Generator().manual_seed(0))
    offsets = previous_offsets(config, window)
    previous = window_taps(frames, offsets[0], config.previous_size)
    current = causal_taps(frames, config.context_size)

    def at(b: int, y: int, x: int) -> float:
        return frames[b, y, x].item() if 0 <= y < 6 and 0 <= x < 9 else 0.0

    for b, y, x in np.ndindex(2, 6, 9):
        assert previous[b, :, y * 9 + x].tolist() == [at(b, y + dy, x + dx) for dy, dx in offsets]
        assert current[b, :, y * 9 + x].tolist() == [at(b, y + dy, x + dx) for dy, dx in causal_offsets(7)]


def test_wide_correlation_equals_the_window_over_the_whole_range() -> None:
    frames = torch.randn(2, 7, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kernels = torch.randn(3, 65, 65, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    taps = window_taps(frames, (-32, -32), 65)
    expected = (kernels.flatten(1) @ taps).view(2, 3, 7, 6)
    torch.testing.assert_close(wide_correlation(frames, kernels), expected, atol=1e-9, rtol=1e-9)


def test_shifted_far_outside_is_zero() -> None:
    assert shifted(torch.ones(1, 3, 4), (20, -30), 4).tolist() == torch.zeros(1, 6, 7).tolist()


def test_gradients_agree_with_finite_differences_in_float64(tiny_model: C3Config) -> None:
    shape = (3, 4, 4)
    network = PatchNetwork(
        tiny_model,
        3,
        shape,
        torch.full((3,), 0.5),
        default_windows(tiny_model),
        torch.Generator().manual_seed(0),
    ).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in network.weights:
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator, dtype=torch.float64))
    steps = torch.randn(sum(network.grid_sizes), generator=generator, dtype=torch.float64)
    target = torch.rand(3, *shape, generator=generator, dtype=torch.float64)

    def loss(steps: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        output = network(steps, weights)
        return (output.samples - target).square().sum() + 0.01 * output.grid_bits.sum()

    inputs = [steps.requires_grad_(), *(w.detach().clone().requires_grad_() for w in network.weights)]
    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True, atol=1e-6)


@pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")
@pytest.mark.parametrize("time_size", [1, 3])
def test_engines_agree_on_loss_and_gradients(time_size: int) -> None:
    """One step of a fit, native against torch: loss and every gradient."""
    config = C3Config(
        grids=(LatentGrid(5, 0), LatentGrid(2, 0), LatentGrid(0, 1, True), LatentGrid(1, 2)),
        residual_time_size=time_size,
    )
    results = {}
    for engine in ("native", "torch"):
        generator = torch.Generator().manual_seed(3)
        network = PatchNetwork(
            config, 6, SHAPE, torch.full((6,), 0.5), default_windows(config), generator, engine=engine
        )
        assert network.is_native == (engine == "native")
        with torch.no_grad():
            for weight in network.weights:
                weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
            network.latents.copy_(torch.randn(network.latents.shape, generator=generator))
        target = torch.rand(6, *SHAPE, generator=generator)
        output = network(network.quantise(0.4, None, generator))
        loss = network.distortion(output.samples, target) + 1e-4 * output.grid_bits.sum()
        loss.backward()
        results[engine] = (loss.detach(), [p.grad for p in (network.latents, *network.weights)])
    torch.testing.assert_close(results["native"][0], results["torch"][0], rtol=1e-5, atol=0)
    for found, expected in zip(results["native"][1], results["torch"][1], strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")
def test_a_shared_network_gets_the_gradients_of_all_its_grids(tiny_model: C3Config) -> None:
    config = sharing(tiny_model)
    found = {}
    for engine in ("torch", "native"):
        network = PatchNetwork(
            config, 6, SHAPE, torch.zeros(6), default_windows(config), torch.Generator().manual_seed(1), engine=engine
        )
        assert sum(spec.network == "entropy" for spec in network.specs) == len(config.entropy_layers) + 1
        if engine == "torch":
            network.double()  # the reference; the kernels know float32 alone
        generator = torch.Generator().manual_seed(2)
        steps = torch.randn(sum(network.grid_sizes), generator=generator).to(network.latents.dtype)
        bits = network.rate(steps, list(network.weights))
        bits.sum().backward()
        found[engine] = [bits.detach(), *(weight.grad for weight in network.weights if weight.grad is not None)]
    assert len(found["torch"]) == 1 + 2 * (len(config.entropy_layers) + 1)
    for ours, reference in zip(found["native"], found["torch"], strict=True):
        assert float((ours - reference).abs().max()) <= 1e-4 * float(reference.abs().max())


def test_a_shared_network_is_one_a_grid_with_equal_weights(tiny_model: C3Config) -> None:
    config = sharing(tiny_model)
    shared, apart = (
        PatchNetwork(c, 6, SHAPE, torch.zeros(6), default_windows(c), torch.Generator().manual_seed(1))
        for c in (config, replace(config, shared_entropy=False))
    )
    num_layers = len(config.entropy_layers) + 1
    with torch.no_grad():
        for index, weight in enumerate(list(apart.weights)[: 2 * num_layers * len(config.grids)]):
            weight.copy_(shared.weights[index % (2 * num_layers)])
    steps = torch.randn(len(shared.latents), generator=torch.Generator().manual_seed(3)).round()
    torch.testing.assert_close(shared.rate(steps, list(shared.weights)), apart.rate(steps, list(apart.weights)))
    assert shared.context_weight(2) is shared.weights[0]
