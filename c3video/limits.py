# SPDX-License-Identifier: MIT
"""Checks that say the value and the range that it must be in, and what a decoder may be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from c3video.errors import ConfigError, LimitError

DEFAULT_MAX_PIXELS = 1 << 26
"""Luma samples of a frame: twice 7680 x 4320."""
DEFAULT_MAX_MEMORY = 2 << 30
"""Bytes: enough for 3840 x 2160, and for stills of DEFAULT_MAX_PIXELS."""

_REMEDY = "raise {} if the stream is to be trusted"


@dataclass(frozen=True)
class DecodeLimits:
    """What a decoder may be asked for; None: no limit but those of the format.

    Args:
        max_pixels: luma samples of a frame.
        max_frames: that one iteration decodes.
        max_memory: bytes that decoding a segment takes, by an estimate that errs on the high side; Python, NumPy and
            what the caller keeps come on top.
    """

    max_pixels: int | None = DEFAULT_MAX_PIXELS
    max_frames: int | None = None
    max_memory: int | None = DEFAULT_MAX_MEMORY

    def __post_init__(self) -> None:
        for name in ("max_pixels", "max_frames", "max_memory"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} = {value}: must be 1 or more, or None for no limit")

    def check_pixels(self, width: int, height: int) -> None:
        """Raise LimitError for a frame that is too large."""
        if self.max_pixels is not None and width * height > self.max_pixels:
            raise LimitError(
                f"frames of {width} x {height} = {width * height} pixels: more than the limit of {self.max_pixels}; "
                + _REMEDY.format("max_pixels (--max-pixels)")
            )

    def check_frames(self, num_frames: int) -> None:
        """Raise LimitError where an iteration comes to so many frames."""
        if self.max_frames is not None and num_frames > self.max_frames:
            raise LimitError(
                f"the stream goes on after the limit of {self.max_frames} frames; "
                + _REMEDY.format("max_frames (--max-frames)")
            )

    def allows_memory(self, size_bytes: int) -> bool:
        return self.max_memory is None or size_bytes <= self.max_memory

    def check_memory(self, size_bytes: int, what: str, segment: int | None = None) -> None:
        """Raise LimitError for something that needs so many bytes."""
        if not self.allows_memory(size_bytes):
            raise LimitError(
                f"{what} would take some {size_bytes >> 20} MiB to decode, more than the limit of "
                f"{(self.max_memory or 0) >> 20} MiB; " + _REMEDY.format("max_memory (--max-memory)"),
                segment=segment,
            )


DEFAULT_LIMITS = DecodeLimits()


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise ConfigError unless low <= value <= high."""
    if not low <= value <= high:
        raise ConfigError(f"{name} = {value}: must be in {low}..{high}")


def check_rd_weight(value: float) -> None:
    """Raise ConfigError for a weight of bits that makes no sense."""
    if not 0.0 < value < 1.0:
        raise ConfigError(f"rd_weight = {value}: must be above 0 and below 1 (typical: 1e-4 to 1e-2)")


def check_segment_size(name: str, value: int, limit: int, segment_frames: int, remedy: str) -> None:
    """Raise ConfigError where a segment of so many frames would ask a decoder for too much memory."""
    if value > limit:
        raise ConfigError(f"{name} = {value} with {segment_frames} frames: must be in 1..{limit}; {remedy}")
