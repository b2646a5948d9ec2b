# SPDX-License-Identifier: MIT
"""Checks that say the value and the range that it must be in."""

from __future__ import annotations

from c3video.errors import ConfigError


def check_range(name: str, value: int, low: int, high: int) -> None:
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
