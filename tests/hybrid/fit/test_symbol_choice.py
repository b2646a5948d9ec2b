# SPDX-License-Identifier: MIT
"""Symbols chosen by rate and distortion."""

from __future__ import annotations

import numpy as np
import pytest

from c3video import native
from c3video.coding.rangecoder import SymbolCounter
from c3video.hybrid.fit.engine import FIT_ENGINES
from c3video.hybrid.fit.symbol_choice import PlaneChoice
from c3video.hybrid.payload import prior
from c3video.hybrid.subbands import dequantise, reference_magnitudes, slice_layouts, subband_steps
from c3video.hybrid.symbol_coding import write_subbands
from c3video.hybrid.wavelet import analyse, synthesise

STEPS = subband_steps(48, 5)
LAYOUT = slice_layouts([(36, 50)], [(0, 0)], 1)[0]
REFERENCE = reference_magnitudes([], LAYOUT)

both_engines = pytest.mark.parametrize("engine", ["numpy", *(["native"] if native.available() else [])])


def picture(seed: int) -> np.ndarray:
    """(36, 50) of smooth shapes and some noise, 14 bits, centred."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:36, :50]
    return 4000.0 * np.sin(x / 7.0) * np.cos(y / 5.0) + 3000.0 * (x > y) + rng.normal(0.0, 300.0, (36, 50))


def choose(engine: str, plane: np.ndarray, slope: float, passes: int) -> list[list[np.ndarray]]:
    symbols = LAYOUT.empty()
    coefficients = list(analyse(plane, 5))
    slopes = [np.full(band.shape, slope) for band in coefficients]
    choice = PlaneChoice(coefficients, STEPS, slopes, prior("subbands"), symbols, REFERENCE, 0, 0)
    bits = FIT_ENGINES[engine].choose(choice, passes)
    counter = SymbolCounter()
    write_subbands(counter, prior("subbands"), symbols, REFERENCE, 0)
    assert bits == pytest.approx(counter.estimated_bits, rel=1e-6, abs=1e-3)
    return symbols


def cost(plane: np.ndarray, symbols: list[list[np.ndarray]], slope: float) -> float:
    """Squared error in squared steps, plus what bits are worth."""
    counter = SymbolCounter()
    write_subbands(counter, prior("subbands"), symbols, REFERENCE, 0)
    decoded = synthesise([dequantise(band, step) for band, step in zip(symbols[0], STEPS, strict=True)])
    step = STEPS[-1] * 201 / 256  # orthonormal
    return float(np.square(decoded - plane).sum()) / step**2 + slope * counter.estimated_bits


@both_engines
def test_choices_cost_less_than_rounding(engine: str) -> None:
    slope = 0.15
    for seed in range(3):
        plane = picture(seed)
        nearest = choose(engine, plane, 0.0, 1)
        chosen = choose(engine, plane, slope, 3)
        assert cost(plane, chosen, slope) < 0.98 * cost(plane, nearest, slope)


@both_engines
def test_free_bits_round_to_the_nearest(engine: str) -> None:
    plane = picture(0)
    for band, values, step in zip(choose(engine, plane, 0.0, 1)[0], analyse(plane, 5), STEPS, strict=True):
        error = np.abs(np.abs(values) / step - np.abs(band))
        # A symbol stands for a sixteenth of a step less than its multiple: from 7/16 below up to 9/16 above may win.
        assert error.max(initial=0.0) <= 0.57


@both_engines
def test_dear_bits_leave_nothing(engine: str) -> None:
    assert not any(band.any() for band in choose(engine, picture(1), 1e6, 2)[0])


@both_engines
def test_signs_are_those_of_the_coefficients(engine: str) -> None:
    plane = picture(2)
    for band, values in zip(choose(engine, plane, 0.1, 2)[0], analyse(plane, 5), strict=True):
        assert (np.sign(band) * np.sign(values) >= 0).all()
