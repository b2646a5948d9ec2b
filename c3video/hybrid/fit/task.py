# SPDX-License-Identifier: MIT
"""What stays the same however often the frames of a segment are coded on the way to its best plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from c3video.hybrid.coded_planes import CodedFormat
from c3video.hybrid.config import HybridConfig, HybridFitConfig
from c3video.hybrid.engine import HybridEngine
from c3video.hybrid.fit.engine import HybridFitEngine
from c3video.hybrid.subbands import SliceLayout, slice_layouts
from c3video.video import Planes, VideoFormat


@dataclass(frozen=True)
class FitTask:
    """Frames to be fitted, and by what means.

    Args:
        planes: of each frame in display order, as `coded_as` says.
        video: what they were made of.
        coded_as: what they are to the model.
        engine: of decoding: what it makes is what frames are predicted from.
        fit_engine: of all choices.
    """

    planes: Sequence[Planes]
    video: VideoFormat
    coded_as: CodedFormat
    config: HybridConfig
    fit_config: HybridFitConfig
    engine: HybridEngine
    fit_engine: HybridFitEngine
    num_threads: int = 1

    @property
    def num_pixels(self) -> int:
        """Samples of the first plane, of all frames."""
        height, width = self.coded_as.shapes[0]
        return len(self.planes) * height * width

    @property
    def num_samples(self) -> int:
        """Of all planes and frames."""
        return sum(len(self.planes) * height * width for height, width in self.coded_as.shapes)

    @cached_property
    def layout(self) -> SliceLayout:
        """Of whole frames."""
        return slice_layouts(self.coded_as.shapes, self.coded_as.shifts, 1)[0]
