# SPDX-License-Identifier: MIT
"""PSNR, SSIM and bpp: pure functions, each with its formula and unit; `compare` applies them to two files.

The name of a number carries its rule: `psnr_y` is of one plane, `psnr_yuv611` the 6:1:1 mean of per-frame plane
PSNRs, each the mean over frames; with `_seq` they are the PSNR of the MSE of all frames. `psnr_all`, of the MSE of all
samples of all frames, is what `c3v encode` says and `--target-psnr` aims at. Frames are read in lockstep, so memory
does not grow with the clip.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from c3video import decoder
from c3video.errors import SourceError
from c3video.limits import DEFAULT_LIMITS, DecodeLimits
from c3video.media.orientation import Upright
from c3video.media.source import RAW_SUFFIXES, RgbConverter, open_source
from c3video.video import LAYOUTS, Frame, VideoFormat

Plane = NDArray[np.generic]

_log = logging.getLogger(__name__)

SSIM_SIGMA = 1.5
SSIM_WINDOW = 11
"""Side in samples of the Gaussian window of `ssim`: sigma 1.5 cut at 3.5 sigma."""


class FrameReader(Protocol):
    """What is compared: frames and their format."""

    @property
    def format(self) -> VideoFormat: ...

    def __iter__(self) -> Iterator[Frame]: ...


def mse(reference: Plane, distorted: Plane) -> float:
    """Mean squared error of two planes: mean((reference - distorted)^2), in squared sample steps.

    Args:
        reference, distorted: (H, W) integers of the same shape.
    """
    if reference.shape != distorted.shape:
        raise ValueError(f"planes of shapes {reference.shape} and {distorted.shape} cannot be compared")
    difference = reference.astype(np.int64) - distorted.astype(np.int64)
    return int(np.sum(difference * difference)) / difference.size


def psnr_db(mse: float, max_value: int) -> float:
    """Peak signal-to-noise ratio, 10 log10(max_value^2 / mse), in dB; infinity for an mse of zero.

    Args:
        mse: in squared sample steps.
        max_value: largest sample, 255 for 8 bits and 1023 for 10, whatever the range that the clip declares.
    """
    return 10.0 * math.log10(max_value * max_value / mse) if mse > 0 else math.inf


def yuv611(y: float, u: float, v: float) -> float:
    """The 6:1:1 mean (6 y + u + v) / 8 of three figures, here the PSNRs in dB of the planes of one frame."""
    return (6.0 * y + u + v) / 8.0


def ssim(reference: Plane, distorted: Plane, max_value: int) -> float:
    """Structural similarity of two planes, in -1..1: scikit-image's, with the weights of the original paper.

    Gaussian weights of sigma 1.5 samples (an 11 x 11 window), K1 = 0.01, K2 = 0.03, population covariance,
    mean over the plane without a border of 5 samples.

    Args:
        reference, distorted: (H, W) integers of the same shape.
        max_value: largest sample.

    Raises:
        ValueError: a side is shorter than the window.

    Source:
        Wang et al., Image quality assessment: from error visibility to structural similarity, 2004, III-C.
    """
    from skimage.metrics import structural_similarity  # takes a second to import, and only this needs it

    return float(
        structural_similarity(
            reference.astype(np.float64),
            distorted.astype(np.float64),
            gaussian_weights=True,
            sigma=SSIM_SIGMA,
            use_sample_covariance=False,
            data_range=float(max_value),
        )
    )


def bpp(size_bytes: int, num_frames: int, height: int, width: int) -> float:
    """Bits per pixel, size_bytes x 8 / (num_frames x height x width); size in luma samples, unpadded."""
    return size_bytes * 8 / (num_frames * height * width)


@dataclass(frozen=True)
class Comparison:
    """How a distorted clip differs from its reference.

    Figures in dB are means over frames of per-frame PSNRs, but `psnr_all` and those named `..._seq` are the PSNR of the
    MSE of all frames. A figure that the pixel format does not have (chroma of a gray clip, luma of an RGB one) is None.
    The PSNR of equal frames is infinite, and so is a mean with one of them in it: `differing` has the means without
    them.

    Args:
        pix_fmt: format compared; an RGB one where a YUV reference was converted for an RGB clip.
        num_exact: frames of which every sample is equal.
        size_bytes: whole file of the distorted clip; None where that is not known (a pipe).
        bpp: of those bytes.
        psnr_all: of the MSE of all samples of all frames, whatever their plane, as `c3v encode` sums it up: at 4:2:0
            two thirds of them are luma.
        psnr_y, psnr_u, psnr_v: of the planes of YUV and gray clips.
        psnr_yuv611: mean over frames of (6 psnr_y + psnr_u + psnr_v) / 8; psnr_yuv611_seq: the same of the three
            `..._seq`.
        psnr_r, psnr_g, psnr_b: of the planes of RGB clips.
        psnr_rgb: of the MSE over R, G and B of a frame. YUV clips are both converted first
            (`c3video.media.source.RgbConverter`), by the reference's declared matrix and range; None if swscale
            does not know the matrix.
        ssim: `ssim` of luma (of an RGB clip the mean over R, G and B), mean over frames; None where a side is
            shorter than the window.
        differing: by name of a mean, the mean over the frames in which that figure is finite; without names that have
            no such frame.
    """

    width: int
    height: int
    pix_fmt: str
    num_frames: int
    num_exact: int = 0
    size_bytes: int | None = None
    bpp: float | None = None
    psnr_all: float | None = None
    psnr_y: float | None = None
    psnr_u: float | None = None
    psnr_v: float | None = None
    psnr_yuv611: float | None = None
    psnr_r: float | None = None
    psnr_g: float | None = None
    psnr_b: float | None = None
    psnr_rgb: float | None = None
    psnr_y_seq: float | None = None
    psnr_u_seq: float | None = None
    psnr_v_seq: float | None = None
    psnr_yuv611_seq: float | None = None
    psnr_r_seq: float | None = None
    psnr_g_seq: float | None = None
    psnr_b_seq: float | None = None
    psnr_rgb_seq: float | None = None
    ssim: float | None = None
    differing: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Fit for JSON: figures that do not apply are left out, infinite ones are the string "inf"."""
        values = {key: value for key, value in asdict(self).items() if value is not None}
        return {key: "inf" if value == math.inf else value for key, value in values.items()}

    def as_text(self) -> str:
        """One figure a line, aligned, without a newline at the end."""
        frames = f"{self.num_frames} of {self.width}x{self.height} {self.pix_fmt}"
        rows = [("frames", frames + (f", {self.num_exact} of them exact" if self.num_exact else ""))]
        if self.size_bytes is not None and self.bpp is not None:
            rows += [("size", f"{self.size_bytes} bytes"), ("bpp", f"{self.bpp:.5f}")]
        columns = ["mean of frames", "of all frames' MSE"]
        some_infinite = bool(self.differing) and any(getattr(self, name) == math.inf for name in PSNR_NAMES)
        if some_infinite:
            columns.insert(1, "mean where finite")
        rows.append(("PSNR in dB", "".join(f"{column:>20}" for column in columns).lstrip()))
        for name in PSNR_NAMES:
            mean, pooled = getattr(self, name), getattr(self, f"{name}_seq")
            if mean is not None:
                figures = [mean, *([self.differing.get(name, math.inf)] if some_infinite else []), pooled]
                shown = "".join(f"{figure:>20.3f}" for figure in figures)
                rows.append((name, shown[20 - len(columns[0]) :]))
        if self.psnr_all is not None:
            rows.append(("psnr_all", f"{self.psnr_all:.3f} (of all samples of all frames, as c3v encode says it)"))
        if self.ssim is not None:
            of = "mean of R, G and B" if LAYOUTS[self.pix_fmt].is_rgb else "of luma"
            rows.append(
                ("ssim", f"{self.ssim:.5f} ({of}; Gaussian window of {SSIM_WINDOW}x{SSIM_WINDOW}, mean of frames)")
            )
        return "\n".join(f"{name:<14}{value}" for name, value in rows)


PSNR_NAMES = tuple(f"psnr_{name}" for name in ("y", "u", "v", "yuv611", "r", "g", "b", "rgb"))
"""Figures that are there as a mean over frames and, with `_seq` after the name, of the MSE of all frames."""


@dataclass
class _Tally:
    """Per-frame figures and errors, gathered by name."""

    figures: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.figures.setdefault(name, []).append(value)

    def add_error(self, name: str, mse: float, max_value: int) -> float:
        """Note the MSE of a frame and its PSNR, which is returned."""
        self.errors.setdefault(name, []).append(mse)
        value = psnr_db(mse, max_value)
        self.add(name, value)
        return value

    def last(self) -> dict[str, float]:
        """The figures of the frame in hand."""
        return {name: values[-1] for name, values in self.figures.items()}

    def means(self) -> dict[str, float]:
        return {name: _mean(values) for name, values in self.figures.items()}

    def finite_means(self) -> dict[str, float]:
        finite = {name: [value for value in values if value < math.inf] for name, values in self.figures.items()}
        return {name: _mean(values) for name, values in finite.items() if values and name != "ssim"}

    def pooled(self, max_value: int) -> dict[str, float]:
        found = {f"{name}_seq": psnr_db(_mean(errors), max_value) for name, errors in self.errors.items()}
        if "psnr_yuv611" in self.figures:
            found["psnr_yuv611_seq"] = yuv611(*(found[f"psnr_{plane}_seq"] for plane in "yuv"))
        return found


def measure(
    reference: Iterable[Frame],
    distorted: Iterable[Frame],
    format: VideoFormat,
    *,
    size_bytes: int | None = None,
    names: tuple[str, str] = ("the reference", "the distorted clip"),
    note: Callable[[int, dict[str, float]], None] = lambda pts, figures: None,
) -> Comparison:
    """Compare two series of frames of one format, frame by frame.

    Args:
        reference, distorted: as many frames each; time stamps are not looked at.
        size_bytes: of the distorted clip's file, for the bpp.
        names: of the two, for errors.
        note: is given the reference's time stamp and the figures by name of each frame.

    Raises:
        SourceError: there are no frames, or one of the two ends before the other.
    """
    layout, tally = format.layout, _Tally()
    max_value = layout.max_value
    plane_names = {1: "y", 3: "gbr" if layout.is_rgb else "yuv"}[len(layout.planes)]
    to_rgb = None if plane_names == "y" else _rgb_converter(format)
    num_frames = num_exact = 0
    all_errors = 0.0  # sum over frames of the MSE of all samples
    sizes = [height * width for height, width in format.plane_shapes]
    for original, decoded in zip_longest(reference, distorted):
        if original is None or decoded is None:
            short, long = names if original is None else names[::-1]
            raise SourceError(
                f"{short} ends after {num_frames} frames but {long} goes on; compare equal ranges (--frames A:B names "
                "that of the reference)"
            )
        num_frames += 1
        plane_mse = [mse(a, b) for a, b in zip(original.planes, decoded.planes, strict=True)]
        num_exact += not any(plane_mse)
        all_errors += sum(error * size for error, size in zip(plane_mse, sizes, strict=True)) / sum(sizes)
        plane_psnr = [
            tally.add_error(f"psnr_{name}", error, max_value)
            for name, error in zip(plane_names, plane_mse, strict=True)
        ]
        if plane_names == "yuv":
            tally.add("psnr_yuv611", yuv611(*plane_psnr))
        if to_rgb is not None:
            pairs = zip(to_rgb(original).planes, to_rgb(decoded).planes, strict=True)
            tally.add_error("psnr_rgb", _mean([mse(a, b) for a, b in pairs]), max_value)
        num_ssim_planes = 3 if layout.is_rgb else 1
        pairs = zip(original.planes[:num_ssim_planes], decoded.planes[:num_ssim_planes], strict=True)
        if min(format.width, format.height) >= SSIM_WINDOW:
            tally.add("ssim", _mean([ssim(a, b, max_value) for a, b in pairs]))
        note(original.pts, tally.last())
    if not num_frames:
        raise SourceError(f"{names[0]} and {names[1]} have no frames to compare")
    return Comparison(
        width=format.width,
        height=format.height,
        pix_fmt=format.pix_fmt,
        num_frames=num_frames,
        num_exact=num_exact,
        size_bytes=size_bytes,
        bpp=None if size_bytes is None else bpp(size_bytes, num_frames, format.height, format.width),
        psnr_all=psnr_db(all_errors / num_frames, max_value),
        differing=tally.finite_means(),
        **tally.means(),
        **tally.pooled(max_value),
    )


def _rgb_converter(format: VideoFormat) -> RgbConverter | None:
    try:
        return RgbConverter(format)
    except SourceError:  # a matrix that swscale does not know is no reason to withhold the other figures
        return None


def compare(
    reference_path: str | Path,
    distorted_path: str | Path,
    *,
    frames: tuple[int, int | None] | None = None,
    size: tuple[int, int] | None = None,
    pix_fmt: str | None = None,
    rotate: bool = False,
    limits: DecodeLimits = DEFAULT_LIMITS,
    note: Callable[[int, dict[str, float]], None] = lambda pts, figures: None,
) -> Comparison:
    """Compare two clips, of which either may be a .c3v file or anything that FFmpeg opens.

    If the distorted clip is RGB and the reference YUV, the reference is converted as for encoding, by
    `c3video.media.source.RgbConverter`.

    Args:
        frames: range of the reference that the distorted clip was made from, (first, end).
        size, pix_fmt: (width, height) and format of headerless video, for what is such (RAW_SUFFIXES). `pix_fmt` alone
            is what the reference is converted to, as for encoding.
        rotate: turn the reference upright, as for encoding.
        limits: of decoding .c3v files.
        note: as of `measure`.

    Raises:
        SourceError: a clip cannot be read, or the two differ in size, pixel format or number of frames.
        StreamError: a .c3v file is damaged.
        OSError: a .c3v file cannot be opened.
    """
    raw = {} if size is None else {"size": size, "pix_fmt": pix_fmt}
    convert_to = pix_fmt if size is None else None
    with (
        _open(reference_path, raw, frames, limits, convert_to, rotate) as reference,
        _open(distorted_path, raw, None, limits) as distorted,
    ):
        originals: Iterable[Frame] = reference
        a, b = reference.format, distorted.format
        is_turned = a.rotation in (90, 270) and (a.width, a.height) == (b.height, b.width)
        if (a.width, a.height) != (b.width, b.height):
            raise SourceError(
                f"{distorted_path} is {b.width}x{b.height} but {reference_path} is {a.width}x{a.height}; "
                + (
                    f"--rotate turns {reference_path} upright, as it does in c3v encode"
                    if is_turned
                    else "only clips of one size can be compared"
                )
            )
        if _is_c3v(distorted_path) and (a.rotation or a.mirrored) and not (b.rotation or b.mirrored):
            _log.warning(
                "%s is stored turned or mirrored, %s is not: if that was encoded with --rotate, say --rotate here too",
                reference_path,
                distorted_path,
            )
        if b.layout.is_rgb and not a.layout.is_rgb:
            convert = RgbConverter(a)
            a, originals = convert.format, map(convert, reference)
        if a.pix_fmt != b.pix_fmt:
            raise SourceError(
                f"{distorted_path} is {b.pix_fmt} but {reference_path} is {a.pix_fmt}; convert one of them, "
                f"for example: ffmpeg -i {reference_path} -pix_fmt {b.pix_fmt} -c:v ffv1 converted.mkv"
            )
        path = Path(distorted_path)
        return measure(
            originals,
            distorted,
            a,
            size_bytes=path.stat().st_size if path.is_file() else None,
            names=(str(reference_path), str(distorted_path)),
            note=note,
        )


@dataclass(frozen=True)
class _Range:
    """Some frames of a .c3v file."""

    clip: decoder.Decoder
    first: int
    last: int | None

    @property
    def format(self) -> VideoFormat:
        return self.clip.format

    def __iter__(self) -> Iterator[Frame]:
        return self.clip.frame_range(self.first, self.last)


@dataclass(frozen=True)
class _Turned:
    """The frames of a .c3v file, upright."""

    clip: FrameReader
    upright: Upright

    @property
    def format(self) -> VideoFormat:
        return self.upright.format

    def __iter__(self) -> Iterator[Frame]:
        return map(self.upright, self.clip)


@contextmanager
def _open_c3v(
    path: str | Path, frames: tuple[int, int | None] | None, limits: DecodeLimits, rotate: bool
) -> Iterator[FrameReader]:
    with decoder.open(path, **asdict(limits)) as clip:
        chosen: FrameReader = clip if frames is None else _Range(clip, *frames)
        yield _Turned(chosen, Upright(clip.format)) if rotate else chosen


def _open(
    path: str | Path,
    raw: dict[str, Any],
    frames: tuple[int, int | None] | None,
    limits: DecodeLimits,
    convert_to: str | None = None,
    rotate: bool = False,
) -> AbstractContextManager[FrameReader]:
    if _is_c3v(path):
        return _open_c3v(path, frames, limits, rotate)
    is_raw = bool(raw) and Path(path).suffix.lower() in RAW_SUFFIXES
    options = raw if is_raw else {"pix_fmt": convert_to}
    return open_source(path, frames=frames, rotate=rotate, to_encode=False, **options)


def _is_c3v(path: str | Path) -> bool:
    return Path(path).suffix.lower() == ".c3v"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
