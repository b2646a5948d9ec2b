# SPDX-License-Identifier: MIT
"""What goes into a stream comes out of it: sizes, formats, timestamps, segments, threads."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import c3video
from c3video.decoder import Decoder
from c3video.errors import ConfigError, CorruptSegmentError, FitError, SourceError
from c3video.video import LAYOUTS, ArraySource, Frame
from tests.conftest import QUICK_FIT, TINY_MODEL, encode_quickly, moving_clip


def frames_of(data: bytes, **options: int) -> list[Frame]:
    with Decoder(io.BytesIO(data), **options) as clip:
        return list(clip)


def same(a: Frame, b: Frame) -> bool:
    return (a.pts, a.duration) == (b.pts, b.duration) and all(
        np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True)
    )


@pytest.mark.parametrize("pix_fmt", LAYOUTS)
def test_every_pixel_format_at_odd_sizes(pix_fmt: str) -> None:
    source = moving_clip(3, 13, 17, pix_fmt)
    frames = frames_of(encode_quickly(source))
    assert len(frames) == 3
    for frame, original in zip(frames, source, strict=True):
        assert [p.shape for p in frame.planes] == [p.shape for p in original.planes]
        assert [p.dtype for p in frame.planes] == [p.dtype for p in original.planes]
        for plane, wanted in zip(frame.planes, original.planes, strict=True):
            error = plane.astype(float) - wanted.astype(float)
            assert np.sqrt(np.mean(error**2)) < 0.3 * source.format.layout.max_value, "not a picture of the source"


@pytest.mark.parametrize(("num_frames", "height", "width"), [(1, 1, 1), (1, 2, 9), (2, 31, 1), (5, 8, 8)])
def test_smallest_clips(num_frames: int, height: int, width: int) -> None:
    frames = frames_of(encode_quickly(moving_clip(num_frames, height, width)))
    assert [frame.planes[0].shape for frame in frames] == [(height, width)] * num_frames


def test_decoded_frames_are_the_encoder_s_reconstruction() -> None:
    """Frame hashes are of the encoder's own reconstruction; the mse it reports is that of the decoded file."""
    source = moving_clip(4, 16, 20)
    file = io.BytesIO()
    from c3video.encoder import encode

    (report,) = encode(source, file, TINY_MODEL, QUICK_FIT)
    decoded = frames_of(file.getvalue())  # raises where a hash differs
    squares = [
        (a.astype(float) - b.astype(float)) ** 2
        for frame, original in zip(decoded, source, strict=True)
        for a, b in zip(frame.planes, original.planes, strict=True)
    ]
    mse = sum(s.sum() for s in squares) / sum(s.size for s in squares) / 255**2
    assert report.mse == pytest.approx(mse)
    assert report.num_frames == 4


def test_patches_tile_the_frame_and_threads_do_not_change_it() -> None:
    data = encode_quickly(moving_clip(3, 30, 44), patch_size=(16, 16))
    with Decoder(io.BytesIO(data)) as clip:
        assert (clip.header.patch_rows, clip.header.patch_columns) == (2, 3)
    one, two = frames_of(data, threads=1), frames_of(data, threads=2)
    assert all(same(a, b) for a, b in zip(one, two, strict=True))


def test_segment_alone_equals_segment_of_the_whole() -> None:
    data = encode_quickly(moving_clip(7, 16, 16), segment_frames=3)
    whole = frames_of(data)
    assert len(whole) == 7
    with Decoder(io.BytesIO(data)) as clip:
        alone = list(clip.frames(1, 2))
    assert len(alone) == 3
    assert all(same(a, b) for a, b in zip(alone, whole[3:6], strict=True))


def test_variable_frame_rate_and_colour_description_travel() -> None:
    plain = moving_clip(4, 8, 8)
    video = replace(
        plain.format,
        time_base=Fraction(1, 90000),
        sample_aspect_ratio=Fraction(16, 15),
        color_primaries=1,
        color_trc=1,
        color_space=1,
        color_range=2,
        chroma_location=1,
    )
    stamps = [-10, 3000, 3001, 9000]

    class Source:
        format, num_frames = video, 4

        def __iter__(self):  # type: ignore[no-untyped-def]
            durations = [*np.diff(stamps).tolist(), 77]
            for frame, pts, duration in zip(plain, stamps, durations, strict=True):
                yield Frame(frame.planes, pts, duration)

    data = encode_quickly(Source(), segment_frames=3)  # type: ignore[arg-type]
    with Decoder(io.BytesIO(data)) as clip:
        assert clip.format == video
        assert [frame.pts for frame in clip] == stamps


def test_same_seed_same_file() -> None:
    source = moving_clip(2, 12, 12)
    assert encode_quickly(source, seed=3) == encode_quickly(source, seed=3)
    assert encode_quickly(source, seed=3) != encode_quickly(source, seed=4)


def test_interrupted_encode_leaves_a_valid_stream() -> None:
    file = io.BytesIO()
    from c3video.encoder import EncodeProgress, encode

    def interrupt(progress: EncodeProgress) -> None:
        if progress.segment == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(moving_clip(6, 8, 8), file, TINY_MODEL, QUICK_FIT, segment_frames=2, report=interrupt)
    assert len(frames_of(file.getvalue())) == 4


def test_no_frames_is_a_source_error() -> None:
    with pytest.raises(SourceError, match="no frames"):
        encode_quickly(ArraySource([], moving_clip(1, 8, 8).format))


def test_unusable_device_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="--device cpu"):
        encode_quickly(moving_clip(1, 8, 8), device="cuda:99")


def test_unknown_names_are_config_errors() -> None:
    for options in ({"preset": "glacial"}, {"profile": "wide"}, {"rd_weight": -1.0}):
        with pytest.raises(ConfigError, match=str(next(iter(options.values())))):
            c3video.encode(moving_clip(1, 8, 8), io.BytesIO(), **options)


def test_hopeless_fit_leaves_a_stream_that_says_it_is_empty() -> None:
    """A FitError is raised as such; nothing was finished, so nothing is in the stream."""
    from c3video.encoder import encode

    file = io.BytesIO()
    with pytest.raises(FitError):
        encode(moving_clip(1, 8, 8), file, TINY_MODEL, replace(QUICK_FIT, learning_rate=float("inf")))
    with pytest.raises(CorruptSegmentError, match="no segments"):
        frames_of(file.getvalue())
