# SPDX-License-Identifier: MIT
"""Frames as PyAV has them, for users who go on with FFmpeg's filters and encoders.

PyAV is imported when it is asked for, so that `c3video.decoder` runs without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c3video.video import Frame, VideoFormat, check_planes

if TYPE_CHECKING:
    import av


def to_av_frame(frame: Frame, format: VideoFormat) -> av.VideoFrame:
    """Copy a frame to an `av.VideoFrame` with its time stamps and colour description.

    PyAV sets neither the aspect ratio nor the chroma location of a frame; the first can be set on an encoder.

    Raises:
        ConfigError: the planes do not fit the format.
    """
    import av

    check_planes(frame.planes, format, f"frame at pts {frame.pts}")
    copy = av.VideoFrame(format.width, format.height, format.pix_fmt)
    little_endian = format.layout.dtype.newbyteorder("<")
    for plane, samples in zip(copy.planes, frame.planes, strict=True):
        # FFmpeg pads rows: line_size is in bytes and may be more than the width.
        rows = np.frombuffer(memoryview(plane), dtype=little_endian).reshape(plane.height, -1)
        rows[:, : plane.width] = samples
    copy.pts, copy.duration, copy.time_base = frame.pts, frame.duration, format.time_base
    copy.color_primaries, copy.color_trc = format.color_primaries, format.color_trc
    copy.colorspace, copy.color_range = format.color_space, format.color_range
    return copy
