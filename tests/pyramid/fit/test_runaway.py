# SPDX-License-Identifier: MIT
"""The way back of a fit that runs away."""

from __future__ import annotations

import numpy as np
import pytest

from c3video import native
from c3video.errors import FitError
from c3video.native.pyramid_fit import Adam
from c3video.pyramid.fit.runaway import WayBack
from c3video.pyramid.fit.soap import Soap

pytestmark = pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")


class Fit:
    """Latents and weights that say at which step they were."""

    def __init__(self) -> None:
        self.latents, self.weights = np.zeros(3, np.float32), np.zeros((2, 2), np.float32)
        self.adam, self.soap = Adam(self.latents), Soap({"w": self.weights})
        self.notes: list[str] = []
        self.way_back = WayBack(self.latents, self.weights, self.soap, self.notes)

    def go(self, step: int, loss: float) -> bool:
        self.latents[:], self.weights[:] = step, step
        self.adam.square[:], self.adam.num_steps = step, step
        return self.way_back.look(step, loss, self.adam)


def test_losses_that_fall_and_tremble_lead_nowhere_back() -> None:
    fit, rng = Fit(), np.random.default_rng(0)
    for step in range(400):
        assert not fit.go(step, (1.0 + 9.0 * 0.95**step) * rng.uniform(0.9, 1.25))
    assert fit.way_back.factor == 1.0
    assert not fit.notes


def test_a_runaway_goes_back_to_the_best_place_with_half_the_step() -> None:
    fit = Fit()
    for step in range(101):
        fit.go(step, 2.0 - 0.01 * step)
    soap = fit.soap.moments()
    step, loss = 101, 1.0
    while not fit.go(step, loss):
        step, loss = step + 1, 1.1 * loss
    assert 104 < step < 120
    assert set(fit.latents) == set(fit.weights.ravel()) == {100.0}
    assert fit.adam.num_steps == 100
    assert set(fit.adam.square) == {float(step)}  # what set off goes on by small steps
    assert fit.soap.moments().num_steps == soap.num_steps
    assert fit.way_back.factor == 0.5
    assert len(fit.notes) == 1
    assert f"step {step}" in fit.notes[0]


def test_it_gives_up_where_there_is_no_end() -> None:
    fit = Fit()
    for step in range(41):
        fit.go(step, 1.0)

    def go_on() -> None:
        for step in range(41, 200):
            fit.go(step, 100.0)

    with pytest.raises(FitError, match="ran away 11 times"):
        go_on()
