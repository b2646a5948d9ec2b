# SPDX-License-Identifier: MIT
"""What containers and bare streams say beside their pictures, and what is done where they are damaged."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
import zlib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import skimage
from av.video.stream import VideoStream

from c3video.errors import SourceError
from c3video.media.source import open_source
from c3video.video import ContentLight, MasteringDisplay
from tests.media.clips import FFMPEG, encode, error_of, needs_ffmpeg, pictures, read_all, stored


def said(caplog: pytest.LogCaptureFixture) -> str:
    """All warnings so far, in lines."""
    return "\n".join(record.getMessage() for record in caplog.records)


def smooth(pix_fmt: str = "yuv420p", num_frames: int = 3, size: tuple[int, int] = (64, 48)) -> list[av.VideoFrame]:
    """Pictures that a lossy codec makes small."""
    frames = pictures(pix_fmt, size, num_frames)
    for index, frame in enumerate(frames):
        for plane in frame.planes:
            data = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
            data[:] = 0 if "10" in pix_fmt else (np.arange(plane.height)[:, None] * 3 + 10 * index) % 200
    return frames


# Rates of bare streams.


@pytest.mark.parametrize(
    ("codec", "container", "name", "rate"),
    [
        ("libx264", "h264", "clip.h264", Fraction(30000, 1001)),
        ("libx264", "h264", "clip.h264", Fraction(60)),
        ("libx265", "hevc", "clip.hevc", Fraction(60)),
        ("mpeg2video", "mpeg2video", "clip.m2v", Fraction(30000, 1001)),
    ],
)
def test_bare_streams_have_the_rate_that_their_codec_says(
    tmp_path: Path, codec: str, container: str, name: str, rate: Fraction
) -> None:
    options = {"x265-params": "log-level=error"} if codec == "libx265" else {}
    path = encode(tmp_path / name, smooth(num_frames=5), codec, container, rate=rate, options=options)
    video, frames = read_all(path)
    assert video.frame_rate == rate
    assert {(b.pts - a.pts) * video.time_base for a, b in pairwise(frames)} == {1 / rate}
    assert {frame.duration * video.time_base for frame in frames} == {1 / rate}


def test_rate_of_a_bare_stream_can_be_said(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.h264", smooth(num_frames=4), "libx264", "h264", rate=Fraction(60))
    video, frames = read_all(path, fps=Fraction(24))
    assert video.frame_rate == 24
    assert [frame.pts * video.time_base * 24 for frame in frames] == [0, 1, 2, 3]
    assert frames[0].duration * video.time_base * 24 == 1


def test_rate_of_a_container_cannot_be_said(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mkv", pictures("gray"), "ffv1", "matroska")
    assert "has time stamps of its own: leave --fps out" in error_of(path, fps=Fraction(24))


# Damage.


def packets_of(path: Path) -> list[tuple[int, int]]:
    with av.open(str(path)) as container:
        return [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]


def ffmpeg_frames(path: Path) -> int:
    command = [FFMPEG, "-nostdin", "-v", "quiet", "-i", str(path), "-f", "framemd5", "-"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return sum(not line.startswith("#") for line in lines)


def damaged_clip(tmp_path: Path) -> Path:
    """40 frames in groups of 10, packet 20 overwritten: the first of the third group."""
    path = tmp_path / "clip.mp4"
    encode(path, smooth(num_frames=40), "libx264", "mp4", options={"g": "10", "bf": "0"})
    at, size = packets_of(path)[20]
    data = bytearray(path.read_bytes())
    data[at : at + size] = b"\xff" * size
    path.write_bytes(data)
    return path


@needs_ffmpeg
def test_bad_packet_costs_no_more_than_with_ffmpeg(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = damaged_clip(tmp_path)
    _, frames = read_all(path)
    assert len(frames) == ffmpeg_frames(path) >= 30
    assert "clip.mp4: a packet cannot be decoded: Invalid data found" in said(caplog)


def test_bad_packet_stops_where_that_is_asked_for(tmp_path: Path) -> None:
    good = []
    with (
        open_source(damaged_clip(tmp_path), strict=True) as source,
        pytest.raises(SourceError, match="a packet cannot be decoded"),
    ):
        good.extend(source)
    assert 18 <= len(good) <= 20


def test_faults_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = encode(tmp_path / "clip.mov", pictures("rgb24", num_frames=6), "png", "mov")
    data = bytearray(path.read_bytes())
    places = [at for at in range(len(data)) if data[at : at + 4] == b"\x89PNG"]
    assert len(places) == 6
    for at in places[2:4]:
        data[at : at + 4] = b"gone"
    path.write_bytes(data)
    with open_source(path) as source:
        frames = list(source)
        assert source.faults == ("a packet cannot be decoded: Invalid data found when processing input (2 times)",)
    assert [frame.pts * source.format.time_base * 25 for frame in frames] == [0, 1, 4, 5]
    assert "clip.mov: a packet cannot be decoded: Invalid data found when processing input (2 times)" in said(caplog)


@pytest.mark.parametrize(
    ("codec", "container", "options"),
    [
        ("libx264", "mp4", {}),
        ("libx264", "mp4", {"movflags": "+faststart"}),
        ("ffv1", "matroska", {}),
        ("rawvideo", "avi", {}),
    ],
)
def test_container_cut_short_is_said(
    tmp_path: Path, codec: str, container: str, options: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"clip.{container}"
    with av.open(str(path), "w", format=container, container_options=options) as output:
        stream = output.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index, frame in enumerate(pictures("yuv420p", (64, 48), 20)):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    assert len(read_all(path)[1]) == 20
    assert not caplog.records
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    words = f"is cut short: it has {len(data) // 2} bytes of at least"
    if container == "mp4" and not options:
        assert words in error_of(path)
        assert "no index (moov)" in error_of(path)
        return
    assert 5 <= len(read_all(path)[1]) < 20
    assert words in said(caplog)
    assert words in error_of(path, strict=True)


def test_mp4_cut_short_in_a_pipe_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = fast_start(tmp_path, 20)
    with piped(path.read_bytes()[:-3000]) as name:
        assert len(read_all(name)[1]) < 20
    assert "of the 20 frames that it announces" in said(caplog)


def fast_start(tmp_path: Path, num_frames: int, *, index_first: bool = True) -> Path:
    path = tmp_path / "clip.mp4"
    options = {"movflags": "+faststart"} if index_first else {}
    with av.open(str(path), "w", format="mp4", container_options=options) as output:
        stream = output.add_stream("libx264", rate=25, options={"bf": "0"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index, frame in enumerate(pictures("yuv420p", (64, 48), num_frames)):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


class piped:
    """A named pipe that gives some bytes, for as long as the context lasts."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __enter__(self) -> str:
        import tempfile

        self._folder = tempfile.TemporaryDirectory()
        name = os.path.join(self._folder.name, "pipe")
        os.mkfifo(name)
        self._thread = threading.Thread(target=self._write, args=(name,))
        self._thread.start()
        return name

    def _write(self, name: str) -> None:
        try:
            with open(name, "wb") as file:
                file.write(self._data)
        except BrokenPipeError:
            pass  # the reader had enough

    def __exit__(self, *exception: object) -> None:
        self._thread.join()
        self._folder.cleanup()


def test_index_at_the_end_of_a_piped_mp4_is_said(tmp_path: Path) -> None:
    with piped(fast_start(tmp_path, 20, index_first=False).read_bytes()) as name:
        message = error_of(name)
    assert "an mp4 whose index (moov) comes last cannot be read from a pipe" in message
    assert "-movflags +faststart" in message


def test_index_at_the_start_of_a_piped_mp4_is_enough(tmp_path: Path) -> None:
    with piped(fast_start(tmp_path, 20).read_bytes()) as name:
        assert len(read_all(name)[1]) == 20


def test_time_stamp_that_does_not_grow_is_moved_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frames = pictures("yuv420p", num_frames=3)
    joined = io.BytesIO()
    with av.open(joined, "w", format="mpegts") as output:
        stream = output.add_stream("mpeg2video", rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 36, 28, "yuv420p"
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    path = tmp_path / "twice.ts"
    path.write_bytes(joined.getvalue() * 2)
    _, found = read_all(path)
    assert len(found) == 6
    assert all(a.pts < b.pts for a, b in pairwise(found))
    assert "a time stamp that did not grow is moved" in said(caplog)


# What containers say beside.


def test_hdr_metadata_travels(tmp_path: Path) -> None:
    parameters = (
        "log-level=error:chromaloc=2:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
        "L(10000000,1):max-cll=1000,400"
    )
    options = {"x265-params": parameters}
    path = encode(tmp_path / "hdr.mkv", smooth("yuv420p10le"), "libx265", "matroska", options=options)
    video, _ = read_all(path)
    assert video.mastering_display == MasteringDisplay(
        (34000, 16000), (13250, 34500), (7500, 3000), (15635, 16450), 10_000_000, 1
    )
    assert video.content_light == ContentLight(1000, 400)
    assert video.chroma_location == 3


@pytest.mark.parametrize(("parameter", "order"), [("tff=1", 2), ("bff=1", 3), ("interlaced=0", 1)])
def test_field_order_travels(tmp_path: Path, parameter: str, order: int) -> None:
    options = {"x264-params": parameter}
    path = encode(tmp_path / "clip.mkv", smooth(), "libx264", "matroska", options=options)
    assert read_all(path)[0].field_order == order


def turned(path: Path, matrix: list[int], pix_fmt: str = "yuv420p", size: tuple[int, int] = (36, 28)) -> list[Any]:
    """An mp4 or mov that asks players to turn its pictures; returns them as stored."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"qp": "0"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.set_display_matrix(matrix)
        for index, frame in enumerate(pictures(pix_fmt, size, 2)):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return pictures(pix_fmt, size, 2)


ONE = 1 << 16
MATRICES = {
    (0, False): (ONE, 0, 0, ONE),
    (90, False): (0, ONE, -ONE, 0),
    (180, False): (-ONE, 0, 0, -ONE),
    (270, False): (0, -ONE, ONE, 0),
    (0, True): (-ONE, 0, 0, ONE),
    (90, True): (0, -ONE, -ONE, 0),
}


@pytest.mark.parametrize(("rotation", "mirrored"), MATRICES)
def test_rotation_is_recorded(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    a, b, c, d = MATRICES[rotation, mirrored]
    turned(tmp_path / "clip.mp4", [a, b, 0, c, d, 0, 0, 0, 1 << 30])
    video, frames = read_all(tmp_path / "clip.mp4")
    assert (video.rotation, video.mirrored) == (rotation, mirrored)
    assert (video.width, video.height) == (36, 28)
    assert frames[0].planes[0].shape == (28, 36)


@pytest.mark.parametrize(("rotation", "mirrored"), MATRICES)
@needs_ffmpeg
def test_pictures_are_turned_on_request_as_ffmpeg_turns_them(tmp_path: Path, rotation: int, mirrored: bool) -> None:
    a, b, c, d = MATRICES[rotation, mirrored]
    path = tmp_path / "clip.mp4"
    turned(path, [a, b, 0, c, d, 0, 0, 0, 1 << 30])
    video, frames = read_all(path, rotate=True)
    command = [FFMPEG, "-nostdin", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]
    shown = subprocess.run(command, capture_output=True, check=True).stdout
    assert b"".join(stored(frame) for frame in frames) == shown
    assert (video.rotation, video.mirrored) == (0, False)
    assert (video.width, video.height) == ((28, 36) if rotation in (90, 270) else (36, 28))


def test_rotation_by_no_right_angle_is_said_to_be_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    turned(tmp_path / "clip.mp4", [46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30])
    assert read_all(tmp_path / "clip.mp4")[0].rotation == 0
    assert "only right angles are kept" in said(caplog)


def test_422_on_its_side_raises_source_error(tmp_path: Path) -> None:
    turned(tmp_path / "clip.mp4", [0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30], "yuv422p")
    assert read_all(tmp_path / "clip.mp4")[0].rotation == 90
    assert "yuv422p cannot be turned by 90 degrees: 4:4:0 is not coded" in error_of(tmp_path / "clip.mp4", rotate=True)


# Several streams, and what is left out.


def with_audio(path: Path, *, num_videos: int = 1) -> Path:
    with av.open(str(path), "w") as output:
        videos = []
        for index in range(num_videos):
            stream = output.add_stream("ffv1", rate=25)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = 16 + 16 * index, 16, "gray"
            videos.append(stream)
        audio = output.add_stream("pcm_s16le", rate=8000)
        for stream in videos:
            for index, frame in enumerate(pictures("gray", (stream.width, 16), 2)):
                frame.pts, frame.time_base = index, Fraction(1, 25)
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        sound = av.AudioFrame.from_ndarray(np.full((1, 640), 77, np.int16), format="s16", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = 8000, 0, Fraction(1, 8000)
        output.mux(audio.encode(sound))  # type: ignore[attr-defined]
        output.mux(audio.encode(None))  # type: ignore[attr-defined]
    return path


@needs_ffmpeg
def test_audio_is_said_to_be_left_out_and_the_command_brings_it_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = with_audio(tmp_path / "in.mkv")
    _, frames = read_all(source)
    assert "left out, since only pictures are coded: audio; to bring the audio back" in said(caplog)
    before = len(caplog.records)
    with open_source(source, to_encode=False) as opened:
        assert len(list(opened)) == len(frames)
    assert len(caplog.records) == before
    encode(tmp_path / "OUT.mkv", pictures("gray", (16, 16), 2), "ffv1", "matroska")
    command = said(caplog).split("`")[1].split()
    subprocess.run([FFMPEG, "-nostdin", "-v", "error", *command[1:]], check=True, cwd=tmp_path)
    with av.open(str(tmp_path / "WITH_AUDIO.mkv")) as back:
        assert [stream.type for stream in back.streams] == ["video", "audio"]
        samples = [frame.to_ndarray() for frame in back.decode(audio=0)]
    with av.open(str(source)) as container:
        expected = [frame.to_ndarray() for frame in container.decode(audio=0)]
    assert len(samples) == len(expected) > 0
    assert all(np.array_equal(*pair) for pair in zip(samples, expected, strict=True))
    assert [stored(frame) for frame in read_all(tmp_path / "WITH_AUDIO.mkv")[1]] == [stored(f) for f in frames]


def test_stream_can_be_chosen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = with_audio(tmp_path / "in.mkv", num_videos=2)
    assert [read_all(path, stream=number)[0].width for number in (0, 1)] == [16, 32]
    assert "other video streams, audio" in said(caplog)
    assert "stream 2 is no video; its streams are 0 video, 1 video, 2 audio" in error_of(path, stream=2)
    assert "stream 3 is no video" in error_of(path, stream=3)


@needs_ffmpeg
def test_alpha_that_ffmpeg_does_not_decode_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = encode(tmp_path / "clip.webm", pictures("yuva420p", (32, 32)), "libvpx-vp9", "webm")
    with av.open(str(path)) as container:
        if "alpha_mode" not in {key.lower() for key in container.streams.video[0].metadata}:
            pytest.skip("this FFmpeg does not write VP9 with alpha")
    read_all(path)
    assert "transparency (the alpha channel)" in said(caplog)


def test_nothing_is_said_of_a_plain_clip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read_all(encode(tmp_path / "clip.mkv", smooth(), "libx264", "matroska"))
    assert not caplog.records


# Sequences of images.


def write_images(folder: Path, numbers: list[int], form: str = "frame_%03d.png") -> list[bytes]:
    contents = []
    for number in numbers:
        (picture,) = pictures("rgb24", (8, 6), 1)
        np.frombuffer(memoryview(picture.planes[0]), np.uint8)[:] = number
        encode(folder / (form % number), [picture], "png", "image2")
        contents.append(bytes([number]) * (3 * 8 * 6))
    return contents


@pytest.mark.parametrize(
    ("numbers", "form"),
    [([0, 1, 2], "frame_%03d.png"), ([7, 8, 9, 10, 11], "%d.png"), ([98, 99, 100], "a%02db.png")],
)
def test_numbered_images_are_a_clip(tmp_path: Path, numbers: list[int], form: str) -> None:
    expected = write_images(tmp_path, numbers, form)
    with open_source(tmp_path / form, fps=Fraction(24)) as source:
        assert source.num_frames == len(numbers)
        video, frames = source.format, list(source)
    assert [stored(frame) for frame in frames] == expected
    assert video.frame_rate == 24
    assert [frame.pts * video.time_base * 24 for frame in frames] == list(range(len(numbers)))
    assert read_all(tmp_path / form)[0].frame_rate == 25


def test_missing_image_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_images(tmp_path, [1, 2, 4, 5, 6])
    _, frames = read_all(tmp_path / "frame_%03d.png")
    words = "image 3 is missing: 2 images from 1 on are read, 3 after it are not"
    assert len(frames) == 2
    assert words in said(caplog)
    assert words in error_of(tmp_path / "frame_%03d.png", strict=True)


def test_no_images_raise_source_error(tmp_path: Path) -> None:
    assert "there are no such images" in error_of(tmp_path / "frame_%03d.png")
    assert "there are no such images" in error_of(tmp_path / "nowhere" / "frame_%03d.png")


def test_file_with_a_percent_sign_is_a_file(tmp_path: Path) -> None:
    path = encode(tmp_path / "a%03d.nut", pictures("gray"))
    assert len(read_all(path)[1]) == 3


# Ranges of time.


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, Fraction(1, 10), [0, 40, 50]),
        (Fraction(1, 25), Fraction(1, 20), [40]),
        (Fraction(1, 20), None, [50, 200, 1000]),
        (Fraction(41, 1000), Fraction(1), [50, 200]),
        (Fraction(0), Fraction(201, 1000), [0, 40, 50, 200]),
    ],
)
def test_range_of_time(tmp_path: Path, start: Fraction | None, end: Fraction | None, expected: list[int]) -> None:
    frames = pictures("gray", num_frames=5)
    for frame, pts in zip(frames, [500, 540, 550, 700, 1500], strict=True):
        frame.pts, frame.time_base = pts, Fraction(1, 1000)
    path = encode(tmp_path / "clip.mkv", frames, "ffv1", "matroska", time_base=Fraction(1, 1000))
    video, found = read_all(path, start=start, end=end)
    assert [frame.pts * video.time_base * 1000 - 500 for frame in found] == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": Fraction(9)}, "there is no frame from 9 s to the end"),
        ({"start": Fraction(3), "end": Fraction(2)}, "3.0 s to 2 s: the start must be 0 or more, and the end above it"),
        ({"end": Fraction(0)}, "the end above it"),
        ({"start": Fraction(1), "frames": (0, 2)}, "by number or by time, not by both"),
    ],
)
def test_bad_ranges_of_time_raise_source_error(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    assert words in error_of(encode(tmp_path / "clip.nut", pictures("gray")), **options)


def test_what_was_asked_for_and_is_not_there_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = encode(tmp_path / "clip.nut", pictures("gray", num_frames=5))
    assert len(read_all(path, frames=(2, 9))[1]) == 3
    assert "frames 2:9 were asked for, and it ends after frame 4" in said(caplog)
    assert len(read_all(path, end=Fraction(3))[1]) == 5
    assert "0 s to 3 s were asked for, and it ends at 0.2 s" in said(caplog)
    caplog.clear()
    read_all(path, frames=(2, 5))
    read_all(path, end=Fraction(1, 5))
    assert not caplog.records
    assert "frames 2:9 were asked for" in error_of(path, frames=(2, 9), strict=True)


def test_side_data_with_metadata_of_its_own_is_not_freed_twice() -> None:
    """In a process of its own: PyAV 18 ends it with the colour profile of a PNG, which this picture has."""
    picture = Path(skimage.__file__).parent / "data" / "astronaut.png"
    code = (
        "import gc, sys\n"
        "from c3video.media.source import open_source\n"
        "for _ in range(3):\n"
        "    with open_source(sys.argv[1]) as source:\n"
        "        print(sum(1 for _ in source))\n"
        "    gc.collect()\n"
    )
    run = subprocess.run([sys.executable, "-c", code, str(picture)], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "1\n1\n1\n"), run.stderr


def png(path: Path, chunks: list[bytes]) -> Path:
    """A PNG with more chunks before its pixels: their types, each with four bytes of data."""
    data = encode(path, pictures("gray", num_frames=1), "png", "image2").read_bytes()
    at = 8 + 25  # after the signature and IHDR
    extra = b""
    for kind in chunks:
        content = kind + b"x\0\0" + zlib.compress(b"profile")
        extra += (len(content) - 4).to_bytes(4, "big") + content + zlib.crc32(content).to_bytes(4, "big")
    path.write_bytes(data[:at] + extra + data[at:])
    return path


@pytest.mark.parametrize(("chunks", "is_said"), [([b"iCCP"], True), ([b"prVt", b"iCCP"], True), ([b"prVt"], False)])
def test_colour_profile_of_a_png_is_said_to_be_left_out(
    tmp_path: Path, chunks: list[bytes], is_said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = png(tmp_path / "picture_007.png", chunks)
    assert len(read_all(path)[1]) == 1
    assert ("left out, since only pictures are coded: ICC profile" in said(caplog)) == is_said
    caplog.clear()
    assert len(read_all(tmp_path / "picture_%03d.png")[1]) == 1
    assert ("left out, since only pictures are coded: ICC profile" in said(caplog)) == is_said
