# SPDX-License-Identifier: MIT
"""Entropy network and synthesis against a second, slow reading of docs/c3v.md in Python integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from c3video.c3.config import C3Config, LatentGrid
from c3video.c3.entropy import predict
from c3video.c3.latents import dequantise, upsample
from c3video.c3.patch_model import Layer, LayerSpec, Precision
from c3video.c3.synthesis import synthesise
from c3video.coding.arithmetic import HIDDEN_BITS


def rs(value: int, shift: int) -> int:
    return (value + ((1 << shift) >> 1)) >> shift


def clip(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def sat(value: int) -> int:
    return clip(value, -32768, 32767)


def act(value: int, bits: int) -> int:
    return rs(value * clip((value << (13 - bits)) + 16384, 0, 32768), 15)


def accumulate(layer: Layer, inputs: list[int]) -> list[int]:
    shift = layer.spec.input_bits + layer.precision.weight_bits - layer.precision.bias_bits
    sums = []
    for row, bias in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True):
        sums.append(sum(w * x for w, x in zip(row, inputs, strict=True)) + (bias << shift))
    return sums


def test_accumulate_hand_worked() -> None:
    spec = LayerSpec("entropy", 0, (1, 2), 8)
    layer = Layer(spec, np.array([[1, -2]]), np.array([3]), Precision(weight_bits=6, bias_bits=12))
    assert layer.accumulate(np.array([[10.0], [4.0]])).tolist() == [[10 - 8 + 3 * 4]]


def test_predict_equals_integer_reading(random_patch: Callable, tiny_model: C3Config) -> None:
    model, _ = random_patch(tiny_model, 6, (4, 8, 8))
    layers = model.entropy_layers(0)
    contexts = np.random.default_rng(3).integers(-500, 500, (40, 50))
    found = np.array(predict(contexts.astype(np.float64), layers)).T
    for column, (step, fraction, scale) in zip(contexts.T, found, strict=True):
        hidden = column.tolist()
        for layer in layers[:-1]:
            shift = layer.spec.input_bits + 8 - HIDDEN_BITS
            hidden = [act(sat(rs(a, shift)), HIDDEN_BITS) for a in accumulate(layer, hidden)]
        location, lowered = accumulate(layers[-1], hidden)
        sixteenths = clip(rs(location, HIDDEN_BITS + 8 - 6), -65536, 65536)
        assert sixteenths == 16 * step + fraction
        assert -8 <= fraction <= 7
        assert scale == clip(5 - rs(lowered, HIDDEN_BITS + 8 - 2), 0, 63)


@pytest.mark.parametrize("time_size", [1, 3])
@pytest.mark.parametrize("max_value", [255, 1023])
def test_synthesise_equals_integer_reading(random_patch: Callable, time_size: int, max_value: int) -> None:
    config = C3Config(
        grids=(LatentGrid(0, 0), LatentGrid(1, 1)),
        synthesis_layers=(8,),
        residual_layers=2,
        residual_time_size=time_size,
    )
    shape = (3, 4, 5)
    model, symbols = random_patch(config, 3, shape)
    found = synthesise(model, symbols, shape, max_value)
    planes = [
        upsample(dequantise(s, config.q_step_256), (g.time_exponent, g.space_exponent), shape).astype(int)
        for g, s in zip(config.grids, symbols, strict=True)
    ]
    first, last = model.pointwise_layers
    values = np.zeros((3, *shape), dtype=int)
    for place in np.ndindex(shape):
        hidden = [int(plane[place]) for plane in planes]
        hidden = [act(sat(rs(a, 8 + 8 - 10)), 10) for a in accumulate(first, hidden)]
        values[(slice(None), *place)] = [sat(rs(a, 10 + 8 - 13)) for a in accumulate(last, hidden)]
    for index, layer in enumerate(model.residual_layers):
        changed = np.zeros_like(values)
        for place in np.ndindex(shape):
            taps = []
            for channel in range(3):
                for offset in np.ndindex(time_size, 3, 3):
                    at = [
                        clip(p + o - n // 2, 0, size - 1)
                        for p, o, n, size in zip(place, offset, (time_size, 3, 3), shape, strict=True)
                    ]
                    taps.append(int(values[(channel, *at)]))
            for channel in range(3):
                weights = layer.weight[channel].ravel().tolist()
                total = sum(w * x for w, x in zip(weights, taps, strict=True)) + (
                    int(layer.bias[channel]) << (13 + 8 - 9)
                )
                value = sat(int(values[(channel, *place)]) + rs(total, 8))
                changed[(channel, *place)] = act(value, 13) if index == 0 else value
        values = changed
    expected = np.vectorize(lambda v: clip(rs(v * max_value, 13), 0, max_value))(values)
    assert np.array_equal(found, expected)
    assert len(np.unique(found)) > 10, "the example must not be all black or white"
