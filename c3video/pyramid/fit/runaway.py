# SPDX-License-Identifier: MIT
"""A way back for a fit whose loss grows from step to step.

What made it do so is mended (`network.rectify`; eval/results/pyramid_trials.md). This is for what is not known.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from c3video.errors import FitError
from c3video.native.pyramid_fit import Adam, Floats
from c3video.pyramid.fit.soap import Moments, Soap

_FIRST_STEP = 20
"""Before it losses are those of a start: they fall by half in a few steps, and may rise."""

_PERIOD = 20
"""Steps between two looks at whether this is the best place so far."""

_MEMORY = 9
"""Steps that the median of the loss is of: a mean would go by single steps, in which noise makes black samples gray."""

_RUNAWAY = 1.5
"""A fit has run away when its median loss is so many times its best. A restart of means brings up to 1.2."""

_MOST_RETURNS = 10


@dataclass
class _Place:
    """Where a fit was well."""

    loss: float
    latents: Floats
    weights: Floats
    mean: Floats
    square: Floats
    num_steps: int
    moments: Moments


@dataclass
class WayBack:
    """The best place of a fit so far, and how much smaller than planned its steps have become.

    Args:
        latents, weights: of the fit, changed in place.
        soap: of the weights.
        notes: gets a line each time that it was gone.
        factor: of the steps that were planned; halved each time.
    """

    latents: Floats
    weights: Floats
    soap: Soap
    notes: list[str]
    factor: float = 1.0
    _losses: deque[float] = field(default_factory=lambda: deque(maxlen=_MEMORY))
    _best: _Place | None = None

    def look(self, step: int, loss: float, adam: Adam) -> bool:
        """Whether the fit is back where it was well, since it had run away: what `loss` says is then of another place.

        Args:
            step: counted from 0.
            loss: of the latents and weights as they are.
            adam: of the latents.

        Raises:
            FitError: it runs away again and again.
        """
        if step < _FIRST_STEP:
            return False
        self._losses.append(loss)
        usual_loss = statistics.median(self._losses)
        best = self._best
        if best is not None and usual_loss > _RUNAWAY * best.loss:
            self._go_back(step, usual_loss, best, adam)
            return True
        if step % _PERIOD == 0 and (best is None or usual_loss <= best.loss):
            moments = adam.mean.copy(), adam.square.copy(), adam.num_steps
            self._best = _Place(usual_loss, self.latents.copy(), self.weights.copy(), *moments, self.soap.moments())
        return False

    def _go_back(self, step: int, usual_loss: float, best: _Place, adam: Adam) -> None:
        if self.factor <= 0.5**_MOST_RETURNS:
            raise FitError(f"the fit ran away {_MOST_RETURNS + 1} times, at step {step} once more; try another --seed")
        self.notes.append(f"step {step}: loss {usual_loss:.3g}, back to {best.loss:.3g} with half the step")
        self.latents[:], self.weights[:] = best.latents, best.weights
        # Squares keep what they have seen: what set off goes on by small steps, all else as before.
        adam.mean[:], adam.num_steps = best.mean, best.num_steps
        np.maximum(adam.square, best.square, out=adam.square)
        self.soap.take(best.moments)
        self.factor *= 0.5
        self._losses.extend([best.loss] * _MEMORY)
