# SPDX-License-Identifier: MIT
"""One frame of a clip as it was, as c3video has it, and as x264 and x265 have it at the same size, as PNG.

OUT/frames/CLIP_QUALITY_{source,c3video,libx264,libx265}.png
OUT/frames/index.csv                                          which encodes they are of (`SampleFrame`)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from c3video import decoder
from c3video.errors import SourceError
from c3video.media.source import RgbConverter, open_source
from c3video.metrics import compare
from c3video.video import Frame, VideoFormat
from eval import classic
from eval.run_folder import SampleFrame, read_sample_frames
from handover.files import write_csv

LARGEST_PICTURE = (540, 960)
"""(height, width). Of larger frames the middle is cut out: pictures show samples as they are, never scaled."""


@dataclass(frozen=True)
class Sample:
    """A frame of one encode (or of the source), and what to say of it. See `SampleFrame` for the arguments."""

    frame: Frame
    format: VideoFormat
    codec: str
    preset: str = ""
    codec_quality: str = ""
    bpp: float | None = None
    psnr_yuv611: float | None = None
    psnr_rgb: float | None = None


def sample_clip(
    out: Path,
    clip: str,
    quality: str,
    source: Path,
    stream: Path,
    *,
    preset: str = "",
    number: int | None = None,
    frames: tuple[int, int | None] | None = None,
    codecs: Sequence[str] = ("x264", "x265"),
) -> None:
    """Write the pictures of one stream: decode it, encode the source with `codecs` at its size, take one frame of each.

    What was written before with the same clip and quality is replaced. A codec that cannot encode the clip (x265 below
    64 samples, say) is left out.

    Args:
        out: run folder; the pictures go to its `frames/`.
        clip, quality: as in points.csv; they name the files.
        preset: of the stream, for the caption.
        number: of the frame; None for the middle one.
        frames: the range of the source that was encoded.

    Raises:
        C3VideoError: source or stream cannot be read, or the stream has not that frame.
    """
    with open_source(source, frames=frames) as opened:
        format, originals = opened.format, list(opened)
    number = len(originals) // 2 if number is None else number
    with decoder.open(stream) as clip_decoder:
        decoded = next((frame for index, frame in enumerate(clip_decoder) if index == number), None)
        decoded_format = clip_decoder.format
    if decoded is None or number >= len(originals):
        raise SourceError(f"{stream}: has no frame {number} to show beside that of {source}")
    ours = compare(source, stream, frames=frames)
    size_bytes = stream.stat().st_size
    samples = [
        Sample(originals[number], format, "source"),
        Sample(decoded, decoded_format, "c3video", preset, quality, ours.bpp, ours.psnr_yuv611, ours.psnr_rgb),
    ]
    for codec in codecs:
        chosen = classic.CODECS[codec]
        if min(format.width, format.height) < chosen.least_side:
            continue
        encoded, figures = classic.at_size(originals, format, codec, size_bytes)
        crf = f"{encoded.crf:g}"
        samples.append(
            Sample(
                encoded.frames[number],
                format,
                chosen.encoder,
                encoded.preset,
                crf,
                figures.bpp,
                figures.psnr_yuv611,
                figures.psnr_rgb,
            )
        )
    write_sample_frames(out, clip, quality, number, samples)


def write_sample_frames(out: Path, clip: str, quality: str, number: int, samples: Sequence[Sample]) -> None:
    """Write PNGs of frame `number` and their lines in index.csv; those of the same clip and quality are replaced."""
    folder = out / "frames"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [line for line in read_sample_frames(out) if (line.clip, line.quality) != (clip, quality)]
    for sample in samples:
        line = SampleFrame(
            clip,
            quality,
            sample.codec,
            sample.preset,
            sample.codec_quality,
            number,
            sample.bpp,
            sample.psnr_yuv611,
            sample.psnr_rgb,
        )
        picture = _cut_middle(as_rgb(sample.frame, sample.format), *LARGEST_PICTURE)
        Image.fromarray(picture).save(folder / line.file_name, optimize=True)
        lines.append(line)
    write_csv(folder / "index.csv", [column.name for column in fields(SampleFrame)], map(asdict, lines))


def as_rgb(frame: Frame, format: VideoFormat) -> NDArray[np.uint8]:
    """(H, W, 3) RGB of 8 bits, by the format's declared matrix and range."""
    green, blue, red = RgbConverter(format)(frame).planes
    return (np.stack((red, green, blue), axis=-1) >> (format.layout.bit_depth - 8)).astype(np.uint8)


def _cut_middle(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    top, left = (max(0, (have - most) // 2) for have, most in zip(picture.shape, (height, width), strict=False))
    return np.ascontiguousarray(picture[top : top + height, left : left + width])
