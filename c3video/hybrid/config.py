# SPDX-License-Identifier: MIT
"""What a hybrid model is (`HybridConfig`, in the stream) and how it is fitted (`HybridFitConfig`, not in it)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from c3video.errors import ConfigError
from c3video.limits import check_range, check_rd_weight, check_segment_size
from c3video.pyramid.config import PYRAMID_MODEL, PyramidConfig
from c3video.stream.fields import U8, Field, Structure

if TYPE_CHECKING:
    from c3video.video import VideoFormat

MAX_LEVELS = 5
"""Of luma's wavelet; a plane of half the size has one less, so that subbands of one number cover the same detail."""
MAX_FRAME_SAMPLES = 1 << 27
"""Samples of a frame, which has no patches; leaves room for 7680 x 4320 in 4:4:4."""

_SLICE_SAMPLES = 1 << 20
"""Luma samples of a frame that make it worth a slice."""

HYBRID_MODEL = Structure(
    "hybrid model",
    (
        Field("num_slices", U8, 1, 64, "runs of rows whose subbands are coded apart", since=2),
        *(
            replace(part, since=max(6, part.since), get=attrgetter(f"key.{part.name}"))
            for part in PYRAMID_MODEL.fields
            if part.name != "num_previous"  # first frames stand alone
        ),
    ),
)


@dataclass(frozen=True)
class HybridConfig:
    """Everything a decoder must know of the shape of the hybrid model: wavelet subbands, motion, context networks.

    Args:
        num_slices: runs of rows whose subbands are coded apart, 1..64, so that as many threads may read them.
        key: of first frames that are pictures of the pyramid model.
    """

    num_slices: int = 1
    key: PyramidConfig = field(default_factory=PyramidConfig)

    KIND: ClassVar[int] = 2
    SEGMENT_FRAMES: ClassVar[int] = 64
    LONGEST_SEGMENT_FRAMES: ClassVar[int] = 128
    HAS_PATCHES: ClassVar[bool] = False
    FIELDS: ClassVar[Structure] = HYBRID_MODEL

    def check(self) -> None:
        """Raise ConfigError where a value is out of the range that a stream may carry."""
        check_range("num_slices", self.num_slices, 1, 64)
        self.key.check()

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> HybridConfig:
        """The model of a header, from the values of HYBRID_MODEL."""
        return cls(
            num_slices=values["num_slices"],
            key=PyramidConfig.from_values(values),
        )

    def check_segment(self, video: VideoFormat, segment_frames: int, patch_rows: int, patch_columns: int) -> None:
        """Raise ConfigError for what a stream may not carry, which bounds the memory that a decoder needs."""
        if (patch_rows, patch_columns) != (1, 1):
            raise ConfigError(
                f"{patch_rows} x {patch_columns} patches: must be 1 x 1, the hybrid model codes whole frames"
            )
        height, width = video.cell_shape
        samples = height * width * video.layout.num_cell_channels
        check_segment_size("samples of a frame", samples, MAX_FRAME_SAMPLES, segment_frames, "a smaller picture")
        most = max_slices(video.height)
        if self.num_slices > most:
            raise ConfigError(f"num_slices = {self.num_slices}: must be in 1..{most} with {video.height} rows of luma")

    def for_video(self, video: VideoFormat) -> HybridConfig:
        """The model as clips of that format are best coded: large frames in several slices, RGB's pictures wider.

        A slice for each _SLICE_SAMPLES lets two threads read 1920x1080 and eight 3840x2160. Two slices of 1280x720 cost
        0.1 to 0.2% of the bits.
        """
        num_slices = min(max(1, round(video.width * video.height / _SLICE_SAMPLES)), 64, max_slices(video.height))
        return replace(self, num_slices=num_slices, key=self.key.for_video(video))


def max_slices(height: int) -> int:
    """Most slices of a frame with `height` rows of luma: each has a row of luma's coarsest subband."""
    return -(-height >> MAX_LEVELS)


@dataclass(frozen=True)
class HybridFitConfig:
    """How much is tried to fit a segment of the hybrid model. Nothing of it travels in the stream.

    Args:
        rd_weight: weight of bpp against MSE on [0, 1]; larger means smaller files.
        choice_passes: times that each subband is gone through to choose its symbols; 0 rounds to the nearest.
        chroma_share: how much a decibel of chroma counts against one of luma, in units of what the 6:1:1 mean of PSNRs
            gives it (hybrid/fit/chroma.py); 0: errors of all samples count alike.
        importance: power of a block's weight in later frames (hybrid/fit/importance.py) that its bits
            are worth; 0: all alike.
        plans: most ways of ordering and quantising the frames that are tried, and if more than one, another with a
            finer first frame.
        passes: times that all frames are coded again, with networks tuned on the symbols of the best one before.
        tuning_steps, tuning_rate: of Adam on the context networks before each pass.
        search_each: motion is searched for anew in each trial, not in the first ones and the last ones alone.
        low_delay: frames are coded in the order in which they are shown, each from those before it.
        key_steps: that the first frame is fitted for as a picture of the pyramid model; 0: it is not tried as one.
        still_steps: that a frame is fitted for which is alone, if more; what few frames follow lies in between.
    """

    rd_weight: float = 1e-3
    choice_passes: int = 3
    chroma_share: float = 0.85
    importance: float = 0.7
    plans: int = 8
    passes: int = 1
    tuning_steps: int = 300
    tuning_rate: float = 3e-3
    key_steps: int = 0
    still_steps: int = 0
    search_each: bool = False
    low_delay: bool = False

    def picture_steps(self, num_frames: int) -> int:
        """That the first one of so many frames is fitted for as a picture: more where it is more of the whole."""
        if not self.key_steps:
            return 0
        share = max(0.0, 1.0 - (num_frames - 1) / (HybridConfig.SEGMENT_FRAMES - 1))
        return self.key_steps + round(share * max(0, self.still_steps - self.key_steps))

    def check(self) -> None:
        """Raise ConfigError where a value makes no sense."""
        check_rd_weight(self.rd_weight)
        for name in ("choice_passes", "plans", "passes", "tuning_steps", "key_steps", "still_steps"):
            check_range(name, getattr(self, name), 0, 10_000_000)
        for name in ("chroma_share", "importance", "tuning_rate"):
            check_range(name, getattr(self, name), 0.0, 10.0)


HYBRID_PRESETS: dict[str, HybridFitConfig] = {
    "ultrafast": HybridFitConfig(plans=1, passes=0),
    "fast": HybridFitConfig(plans=4, passes=1, tuning_steps=300, key_steps=600, still_steps=1_000),
    "medium": HybridFitConfig(plans=16, passes=3, tuning_steps=600, key_steps=3_200, search_each=True),
    "slow": HybridFitConfig(plans=20, passes=6, tuning_steps=1_500, key_steps=12_000, search_each=True),
    "placebo": HybridFitConfig(plans=24, passes=12, tuning_steps=4_000, key_steps=24_000, search_each=True),
}
"""Efforts by name. Each tries more plans of ordering and quantising the frames, all but `ultrafast` with a picture for
their first one; then it codes them again, with networks tuned on its result: once for `fast`, three times for `medium`,
six and twelve times for the slowest two, or until that helps no more. From `medium` on each trial has a motion search
of its own."""
