# SPDX-License-Identifier: MIT
"""Rates as people ask for them: what a target is, and the rd_weight of each segment on the way to it.

    trials (rate_trial.py) --> RateModel --> TargetControl --rd_weight of segment k--> its fit --> figures --+
                                                  ^                                                         |
                                                  +---------------------------------------------------------+

The sum of squared errors of a clip is least at a given size where all segments have one slope, which is one rd_weight.
So one is sought for all, and what was wrong with it is put right over all segments that are left.
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

    def as_plain(self) -> dict[str, Any]:
        return asdict(self) | {"quantity": self.quantity.value}

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> RateModel:
        predicted = {int(number): value for number, value in values["predicted"].items()}
        frames = tuple(values["segment_frames"])
        return cls(
            **dict(values)
            | {"quantity": Quantity(values["quantity"]), "predicted": predicted, "segment_frames": frames}
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

    The weight of a segment depends on results far enough back to be there, however many are at work.
    """

    def __init__(self, model: RateModel) -> None:
        self._model = model
        self._weights: dict[int, float] = {}
        self._results: list[SegmentReport] = []

    @property
    def ahead(self) -> int:
        return self._model.ahead

    def note(self, segment: SegmentReport) -> None:
        self._results.append(segment)
        self._weights[segment.number] = segment.rd_weight

    def weight_of(self, number: int) -> float:
        if number not in self._weights:
            self._weights[number] = self._weight(number)
        return self._weights[number]

    def _weight(self, number: int) -> float:
        model = self._model
        known = self._results[: max(0, number - model.ahead + 1)]
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
        change = _MOST_CHANGE if left * model.slope < 0 else 1.0 / _MOST_CHANGE
        if left > 0:
            change = (left / rest) ** (1.0 / model.slope)
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


def log_slope(points: Sequence[tuple[float, float]], quantity: Quantity) -> float:
    """From (rd_weight, quantity) of the last two trials, within what is believed."""
    low, high = quantity.slopes
    if len(points) < 2:
        return quantity.usual_slope
    (weight0, value0), (weight1, value1) = points[-2:]
    if weight0 == weight1 or min(value0, value1) <= 0:
        return quantity.usual_slope
    return min(max(math.log(value1 / value0) / math.log(weight1 / weight0), low), high)
