# SPDX-License-Identifier: MIT
"""The plan of a run: clips x profiles x rd_weights -> units, a segment each, that can be encoded apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

from c3video.config import ModelConfig, fit_config, model_config
from c3video.encoder import usual_lengths
from c3video.errors import SourceError
from c3video.media.scene_cuts import RunLengths, split_at_cuts
from handover.clips import Clip
from pipelines import datasets

DEFAULT_SEGMENT_FRAMES = 64


@dataclass(frozen=True)
class Patches:
    """How a clip is cut.

    Args:
        frames: most a segment.
        size: largest (height, width) of a patch, None for the codec's own.
        scene_cuts: whether a segment also begins where a scene does, as with `c3v encode`.
    """

    frames: int = DEFAULT_SEGMENT_FRAMES
    size: tuple[int, int] | None = None
    scene_cuts: bool = False


@dataclass(frozen=True)
class Unit:
    """One segment to encode.

    Args:
        stream: name of the stream that it is part of.
        number: of the segment.
        num_units: of the stream.
        first, last: frames, counted from the clip's first one.
    """

    stream: str
    clip: Clip
    profile: str
    preset: str
    rd_weight: float
    seed: int
    patches: Patches
    number: int
    num_units: int
    first: int
    last: int

    @property
    def settings(self) -> dict[str, Any]:
        """What its bytes depend on, apart from the code: a unit made with others is not this one."""
        return {
            "clip": self.clip.name,
            "profile": self.profile,
            "preset": self.preset,
            "rd_weight": self.rd_weight,
            "seed": self.seed,
            "patch_size": list(self.patches.size) if self.patches.size else None,
            "frames": [self.clip.first + self.first, self.clip.first + self.last],
            "segment": self.number,
            "num_segments": self.num_units,
        }

    def path(self, out: Path, suffix: str) -> Path:
        return out / "units" / self.stream / f"{self.number:04}{suffix}"


def stream_name(clip: str, profile: str, preset: str, rd_weight: float) -> str:
    """Name of a stream's files."""
    return f"{clip}_{profile}_{preset}_{rd_weight:g}"


def plan(
    clips: Iterable[Clip],
    rd_weights: Sequence[float],
    profiles: Sequence[str],
    preset: str,
    patches: Patches | None,
    seed: int = 0,
) -> list[Unit]:
    """All units, clip by clip and rate by rate, so that early clips have whole curves first.

    Args:
        patches: None for those of the paper, which depend on the rd_weight.

    Raises:
        ConfigError: an unknown profile or preset, or an rd_weight out of range.
    """
    units = []
    for clip in clips:
        for profile in profiles:
            model = model_config(profile)
            for rd_weight in rd_weights:
                fit_config(profile, preset, rd_weight)
                cut = patches or paper_patches(rd_weight)
                if not model.HAS_PATCHES:
                    cut = replace(cut, size=None)
                starts = segment_starts(clip, cut, model)
                ends = [*starts[1:], clip.num_frames]
                stream = stream_name(clip.name, profile, preset, rd_weight)
                units += [
                    Unit(
                        stream,
                        clip,
                        profile,
                        preset,
                        rd_weight,
                        seed,
                        cut,
                        number,
                        len(starts),
                        first,
                        last,
                    )
                    for number, (first, last) in enumerate(zip(starts, ends, strict=True))
                ]
    return units


@lru_cache(maxsize=256)
def segment_starts(clip: Clip, cut: Patches, model: ModelConfig) -> Sequence[int]:
    """First frame of each segment, counted from the clip's own first one. Raises SourceError."""
    if not cut.scene_cuts or clip.num_frames == 1:
        return range(0, clip.num_frames, cut.frames)
    with clip.open() as source:
        lengths = RunLengths(cut.frames, cut.frames)
        if cut.frames == model.SEGMENT_FRAMES:
            lengths = usual_lengths(model, source.format)
        ends = list(accumulate(len(run) for run in split_at_cuts(source, source.format, lengths)))
    if not ends or ends[-1] != clip.num_frames:
        raise SourceError(f"{clip.path}: {ends[-1] if ends else 0} frames could be read, not {clip.num_frames}")
    return [0, *ends[:-1]]


def paper_patches(rd_weight: float) -> Patches:
    """The published experiment's patches at a rate."""
    rule = next(rule for rule in datasets.facts()["uvg"]["patches"] if rd_weight > rule["above"])
    return Patches(rule["frames"], (rule["height"], rule["width"]))
