# SPDX-License-Identifier: MIT
"""Rates as people ask for them: what a target is, and the rd_weight of each segment on the way to it.

    trials (rate_trial.py) --> RateModel --> TargetControl --rd_weight of segment k--> its fit --> figures --+
                                                  ^                                                         |
                                                  +---------------------------------------------------------+

The sum of squared errors of a clip is least at a given size where all segments have one slope, which is one rd_weight.
So one is sought for all, and what was wrong with it is put right over all segments that are left. What is wrong when
none is left is put right by fitting one of the last segments again.

What a segment comes to is a staircase over rd_weights: steps of quantisation are 9% apart, which is 0.4 dB and 6% of
the bits. So slopes are believed only as far as weights are apart, and no segment can be aimed at more finely than that;
the sum of them can.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from c3video.errors import ConfigError
from c3video.segment_fit import SegmentReport

CRF_OF_WEIGHT = 32.5
"""--crf of rd_weight 1e-3. The slope of x264's crf 32.5 is the same: it weighs bits against squared errors of 8-bit
samples by 0.85 * 2^((QP - 12) / 3), which in 4:2:0, with errors in units of 1/255 of all samples, is our
255^2 * 1.5 * rd_weight."""
MAX_CRF = 63.0

LEAST_WEIGHT, MOST_WEIGHT = 1e-7, 0.5
"""What is tried on the way to a target."""

_MOST_CHANGE = 2.0
"""Factor from the one rd_weight to that of a segment, either way: a target is missed rather than met by segments that
can be told from their neighbours."""

_MOST_AGAIN = 3
"""Segments fitted again at the end of a clip; most clips need none or one."""

_NEW_WEIGHT = 0.02
"""Of log(rd_weight): what is nearer to one that was tried comes to the same."""

_DRAW = 0.1
"""How strongly slopes are drawn to the usual one: as by points whose log(rd_weight) varies by so much, squared."""

_LEAST_LEFT = 1e-3
"""Of what is expected, where the segments so far have come to all that is asked for, or more."""

_HORIZON = 8
"""Segments over which an error is put right where nobody knows how many there will be."""


class Quantity(Enum):
    """What a target is about: sums over segments."""

    BITS = "bits"
    ERROR = "error"

    def of(self, segment: SegmentReport) -> float:
        """Bits in the file, or squared error in units of a frame's mean squared error on [0, 1]."""
        return 8.0 * segment.size_bytes if self is Quantity.BITS else segment.mse * segment.num_frames

    @property
    def slopes(self) -> tuple[float, float]:
        """Bounds of d log(quantity) / d log(rd_weight), within which trials are believed."""
        return (-1.5, -0.25) if self is Quantity.BITS else (0.25, 1.5)

    @property
    def usual_slope(self) -> float:
        """Before anything is known."""
        return -0.75 if self is Quantity.BITS else 0.7

    @property
    def tolerance(self) -> float:
        """Of the logarithm: what a clip may miss before segments are fitted again. 2.5% of the bits, 0.05 dB."""
        return 0.025 if self is Quantity.BITS else 0.005 * math.log(10.0)


@dataclass(frozen=True)
class Target:
    """What is asked for: one of the three.

    Args:
        size_bytes: of the file.
        kbps: thousands of bits a second of the clip.
        psnr_db: of the mean squared error over all samples of all frames.
    """

    size_bytes: int | None = None
    kbps: float | None = None
    psnr_db: float | None = None

    def __post_init__(self) -> None:
        asked = [name for name in ("size_bytes", "kbps", "psnr_db") if getattr(self, name) is not None]
        if len(asked) != 1:
            raise ConfigError(f"a target is one of size, kbps and PSNR; {len(asked)} were given")
        value = getattr(self, asked[0])
        if not (0.0 < value < 1e15 and math.isfinite(value)) or (self.psnr_db or 0.0) > 99.0:
            raise ConfigError(f"target {asked[0]} = {value}: must be above 0" + (", at most 99" * bool(self.psnr_db)))

    @property
    def quantity(self) -> Quantity:
        return Quantity.BITS if self.psnr_db is None else Quantity.ERROR

    def total(self, num_frames: int, clip_seconds: float, overhead_bytes: int) -> float:
        """Of its quantity, for a clip of which this is known.

        Args:
            overhead_bytes: of the file beside its segments.

        Raises:
            ConfigError: the overhead alone is more, or the clip has no length.
        """
        if self.psnr_db is not None:
            return num_frames * 10.0 ** (-self.psnr_db / 10.0)
        if self.kbps is not None and clip_seconds <= 0:
            raise ConfigError(f"target of {self.kbps:g} kb/s: the clip has no length in time; take a target size")
        bits = 8.0 * self.size_bytes if self.size_bytes is not None else 1e3 * (self.kbps or 0.0) * clip_seconds
        if bits <= 8 * overhead_bytes:
            raise ConfigError(f"target of {bits / 8:.0f} bytes: the file takes {overhead_bytes} without any segment")
        return bits - 8 * overhead_bytes


def rd_weight_of_crf(crf: float) -> float:
    """The rd_weight of a constant rate factor: 3 more are twice the weight. Raises ConfigError."""
    if not 0.0 <= crf <= MAX_CRF:
        raise ConfigError(f"crf = {crf}: must be in 0..{MAX_CRF:g}; smaller is better and larger files")
    return _rounded(1e-3 * 2.0 ** ((crf - CRF_OF_WEIGHT) / 3.0))


@dataclass(frozen=True)
class RateModel:
    """What trials have shown.

    Args:
        rd_weight: the one for all segments.
        slope: d log(quantity) / d log(rd_weight) there.
        predicted: of the quantity a frame at `rd_weight`, by segment as far as they were tried, else the mean of all.
        mean: of the quantity a frame.
        segment_frames: frames of each segment; empty where nobody knows.
        goal: of the quantity, in all where `segment_frames` says how much that is, else a frame.
        usual_frames: of a segment.
        trust: segments that the prediction counts for when results begin to contradict it.
        held: segments that may be fitted again when all are done.
    """

    quantity: Quantity
    rd_weight: float
    slope: float
    predicted: dict[int, float]
    mean: float
    segment_frames: tuple[int, ...]
    goal: float
    usual_frames: float
    trust: float
    held: tuple[int, ...] = ()

    def as_plain(self) -> dict[str, Any]:
        return asdict(self) | {"quantity": self.quantity.value}

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> RateModel:
        return cls(
            **dict(values)
            | {
                "quantity": Quantity(values["quantity"]),
                "predicted": {int(number): value for number, value in values["predicted"].items()},
                "segment_frames": tuple(values["segment_frames"]),
                "held": tuple(values["held"]),
            }
        )

    @property
    def ahead(self) -> int:
        """Most segments begun before the first of them is done: few enough for corrections, the same for all crews."""
        return max(2, len(self.segment_frames) // 4) if self.segment_frames else 4

    def frames(self, number: int) -> float:
        known = number < len(self.segment_frames)
        return float(self.segment_frames[number]) if known else self.usual_frames

    def of_segment(self, number: int, rd_weight: float) -> float:
        """Of the quantity, as predicted."""
        a_frame = self.predicted.get(number, self.mean)
        return a_frame * self.frames(number) * (rd_weight / self.rd_weight) ** self.slope


class TargetControl:
    """An encoder's RateControl: the rd_weight that is expected to end at the target.

    The weight of a segment depends on results far enough back to be there, however many are at work; what is fitted
    again depends on all of them.
    """

    def __init__(self, model: RateModel) -> None:
        self._model = model
        self._weights: dict[int, float] = {}
        self._fits: list[list[SegmentReport]] = []
        """Of each segment, the one that is taken first."""

    @property
    def ahead(self) -> int:
        return self._model.ahead

    @property
    def held(self) -> Sequence[int]:
        return self._model.held

    def note(self, segment: SegmentReport) -> None:
        if segment.number == len(self._fits):
            self._fits.append([segment])
        else:
            fits = self._fits[segment.number]
            others = self._sum() - self._model.quantity.of(fits[0])
            fits.append(segment)
            fits.sort(key=lambda fit: abs(others + self._model.quantity.of(fit) - self._model.goal))
        self._weights[segment.number] = self._fits[segment.number][0].rd_weight

    def weight_of(self, number: int) -> float:
        if number not in self._weights:
            self._weights[number] = self._weight(number)
        return self._weights[number]

    def again(self) -> int | None:
        model = self._model
        last, total = len(model.segment_frames), self._sum()
        tried = sum(map(len, self._fits)) - len(self._fits)
        if not model.held or len(self._fits) < last or tried == _MOST_AGAIN or total <= 0:
            return None
        miss = abs(math.log(total / model.goal))
        if miss <= model.quantity.tolerance:
            return None
        middle = math.exp(sum(math.log(fits[0].rd_weight) for fits in self._fits) / len(self._fits))
        found: list[tuple[float, int, int, float]] = []  # expected miss, frames, number from the end, weight
        for number in model.held:
            wanted = self._wanted(number, model.goal - total, middle)
            if wanted is not None:
                weight, expected = wanted
                left = abs(math.log((total + expected) / model.goal))
                found.append((max(left, 0.5 * model.quantity.tolerance), round(model.frames(number)), -number, weight))
        if not found or min(found)[0] > miss - 0.5 * model.quantity.tolerance:
            return None
        _, _, number, weight = min(found)
        self._weights[-number] = weight
        return -number

    def _sum(self) -> float:
        return sum(self._model.quantity.of(fits[0]) for fits in self._fits)

    def _wanted(self, number: int, change: float, middle: float) -> tuple[float, float] | None:
        """The rd_weight at which a segment would come to so much more than it did, and how much more that would be.

        None where it has been tried. The weight stays within _MOST_CHANGE of `middle`.
        """
        quantity = self._model.quantity
        points = [(fit.rd_weight, quantity.of(fit)) for fit in self._fits[number]]
        now = points[0][1]
        if min(value for _, value in points) <= 0:
            return None
        wanted = max(now + change, _LEAST_LEFT * now)
        weight, value = min(points, key=lambda point: abs(math.log(wanted / point[1])))
        slope = log_slope(points, quantity, self._model.slope)
        aimed = weight * (wanted / value) ** (1.0 / slope)
        aimed = bounded(min(max(aimed, middle / _MOST_CHANGE), middle * _MOST_CHANGE))
        if any(abs(math.log(aimed / tried)) < _NEW_WEIGHT for tried, _ in points):
            return None
        return aimed, value * (aimed / weight) ** slope - now

    def _weight(self, number: int) -> float:
        model = self._model
        known = [fits[0] for fits in self._fits[: max(0, number - model.ahead + 1)]]
        spent = sum(map(model.quantity.of, known))
        expected = sum(model.of_segment(result.number, result.rd_weight) for result in known)
        belief = model.trust * model.mean * model.usual_frames
        ratio = (spent + belief) / (expected + belief)
        in_hand = sum(model.of_segment(other, self.weight_of(other)) for other in range(len(known), number))
        if model.segment_frames:
            last = max(len(model.segment_frames), number + 1)
            goal = model.goal
        else:
            last = number + _HORIZON
            goal = model.goal * (sum(result.num_frames for result in known) + model.usual_frames * (last - len(known)))
        rest = ratio * sum(model.of_segment(other, model.rd_weight) for other in range(number, last))
        left = goal - spent - ratio * in_hand
        if rest <= 0:
            return bounded(model.rd_weight)
        change = max(left / rest, _LEAST_LEFT) ** (1.0 / model.slope)
        change = min(max(change, 1.0 / _MOST_CHANGE), _MOST_CHANGE)
        return bounded(model.rd_weight * change)


def bounded(rd_weight: float) -> float:
    """Within what is tried, and of so few digits that all machines agree on it."""
    return _rounded(min(max(rd_weight, LEAST_WEIGHT), MOST_WEIGHT))


def _rounded(value: float) -> float:
    return float(f"{value:.5g}")


def achieved(target: Target, size_bytes: int, kbps: float | None, psnr_db: float) -> str:
    """What a target was and what came of it, in words."""
    if target.psnr_db is not None:
        return f"target {target.psnr_db:g} dB: {psnr_db:.2f} dB ({psnr_db - target.psnr_db:+.2f})"
    if target.kbps is not None:
        found = kbps or 0.0
        return f"target {target.kbps:g} kb/s: {found:.1f} kb/s ({100 * (found / target.kbps - 1):+.1f}%)"
    wanted = target.size_bytes or 1
    return f"target {wanted} bytes: {size_bytes} bytes ({100 * (size_bytes / wanted - 1):+.1f}%)"


def log_slope(points: Sequence[tuple[float, float]], quantity: Quantity, usual: float | None = None) -> float:
    """d log(quantity) / d log(rd_weight) by least squares, within what is believed.

    Args:
        points: (rd_weight, quantity). The nearer they are to each other the less they say.
        usual: what the slope is without them; None: that of the quantity.
    """
    low, high = quantity.slopes
    usual = quantity.usual_slope if usual is None else usual
    logs = [(math.log(weight), math.log(value)) for weight, value in points if value > 0]
    if len(logs) < 2:
        return usual
    middle, mean = (sum(values) / len(logs) for values in zip(*logs, strict=True))
    spread = sum((x - middle) ** 2 for x, _ in logs)
    common = sum((x - middle) * (y - mean) for x, y in logs)
    return min(max((common + _DRAW * usual) / (spread + _DRAW), low), high)
