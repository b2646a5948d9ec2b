# SPDX-License-Identifier: MIT
"""The encoding story: source -> scenes -> segments -> stream. What is between the last two is the model's."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, takewhile
from typing import BinaryIO, Protocol, overload

from c3video.config import EncoderSettings, FitConfig, ModelConfig
from c3video.crew.here import Here
from c3video.crew.jobs import Crew, Note
from c3video.crew.schedule import in_order
from c3video.errors import OutputError, SourceError
from c3video.journal import Earlier, Journal
from c3video.limits import check_range
from c3video.media.scene_cuts import RunLengths, split_at_cuts, split_by_length
from c3video.progress import Progress
from c3video.rate_trial import Survey, sampled
from c3video.segment_fit import FitSegment, FittedSegment, Recipe, SegmentReport, frames_crc
from c3video.segment_model import EncodingOptions
from c3video.stream.layout import MAX_SEGMENT_SAMPLES, Header, write_header
from c3video.stream.writer import Writer
from c3video.video import Frame, VideoFormat

MAX_SEED = (1 << 63) - 1
"""Largest seed: what the generators of NumPy and torch both take."""

MAX_SEGMENT_FRAMES = 1024
"""Most frames a segment, as a header may say (stream/layout.py)."""

_log = logging.getLogger(__name__)


class FrameSource(Protocol):
    """What the encoder reads: a Source, an ArraySource or anything like them."""

    @property
    def format(self) -> VideoFormat: ...

    @property
    def num_frames(self) -> int | None: ...

    def __iter__(self) -> Iterator[Frame]: ...


@dataclass(frozen=True)
class EncodeProgress:
    """Where an encode stands.

    Args:
        segment, patch: the ones that a step of a fit tells of, from 0.
        num_segments: as far as is known: scene cuts ahead add to it. None where the length of the source is not known.
        fit: the step.
        frames_before: of finished segments.
        segment_frames: of this segment.
        num_frames: of the clip, by what its container says; None where it does not.
        at_work: all segments that are being fitted at the same time, this one among them; empty: this one alone.
    """

    segment: int
    num_segments: int | None
    patch: int
    num_patches: int
    fit: Progress
    frames_before: int
    segment_frames: int
    num_frames: int | None
    at_work: tuple[int, ...] = ()


@dataclass(frozen=True)
class EncodeReport(Sequence[SegmentReport]):
    """What an encode came to: a sequence of the reports of its segments, and figures of the whole.

    Args:
        size_bytes: of the file: header, segments and index.
        clip_seconds: from the first frame to the end of the last one, by their time stamps.
        seconds: that the encode took, without earlier runs that it went on from.
        target: what was asked for and what came of it, in words; None where nothing was.
    """

    segments: tuple[SegmentReport, ...]
    video: VideoFormat
    size_bytes: int
    clip_seconds: float
    seconds: float
    target: str | None = None

    @overload
    def __getitem__(self, index: int) -> SegmentReport: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[SegmentReport, ...]: ...

    def __getitem__(self, index: int | slice) -> SegmentReport | tuple[SegmentReport, ...]:
        return self.segments[index]

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def num_frames(self) -> int:
        return sum(segment.num_frames for segment in self.segments)

    @property
    def bpp(self) -> float:
        """Bits of the file a luma sample of all frames."""
        return 8 * self.size_bytes / (self.num_frames * self.video.width * self.video.height)

    @property
    def kbit_per_second(self) -> float | None:
        """Thousands of bits of the file a second of the clip; None where the clip has no length."""
        return 8e-3 * self.size_bytes / self.clip_seconds if self.clip_seconds > 0 else None

    @property
    def psnr_db(self) -> float:
        """Of the mean squared error over all samples of all planes and frames, `psnr_all` of metrics.py; infinite where
        all are equal."""
        mse = sum(segment.mse * segment.num_frames for segment in self.segments) / self.num_frames
        return -10.0 * math.log10(mse) if mse > 0 else math.inf

    @property
    def speed(self) -> float:
        """Seconds of the clip a second of encoding."""
        return self.clip_seconds / self.seconds


class RateControl(Protocol):
    """Chooses the rd_weight of each segment."""

    @property
    def ahead(self) -> int | None:
        """Most segments that may be begun before the first of them is done: what has come out by then is what the
        weight of a segment depends on. None: any number, it depends on none."""

    def weight_of(self, number: int) -> float:
        """Of a segment; all before the last `ahead` - 1 segments before it have been noted."""

    def note(self, segment: SegmentReport) -> None:
        """Learn from a segment; they come in order, and after the last one those that `again` has asked for."""

    @property
    def held(self) -> Sequence[int]:
        """Segments that `again` may ask for: their frames are kept."""

    def again(self) -> int | None:
        """When all segments have been noted, one that is to be fitted again, at the `weight_of` that it has now.

        None: it is well; `weight_of` of each segment is the rd_weight of that of its fits that shall be in the stream.
        """


@dataclass(frozen=True)
class OneWeight:
    """The same rd_weight for all segments."""

    rd_weight: float
    ahead: int | None = None
    held: tuple[int, ...] = ()

    def weight_of(self, number: int) -> float:
        return self.rd_weight

    def note(self, segment: SegmentReport) -> None:
        pass

    def again(self) -> int | None:
        return None


class FramesAhead(Iterator[Frame]):
    """Frames of a source, once, with a look at those that come next."""

    def __init__(self, source: Iterable[Frame]) -> None:
        self._frames = iter(source)

    def look(self, most: int) -> list[Frame]:
        """The next frames, fewer only at the end; they will come again."""
        ahead = list(islice(self._frames, most))
        self._frames = chain(ahead, self._frames)
        return ahead

    def __next__(self) -> Frame:
        return next(self._frames)


@dataclass(frozen=True)
class Encoding:
    """A clip that is ready to be encoded: all that can be checked beforehand has been. Made by `prepare`.

    Args:
        frames: all of the clip.
        num_frames: by what the source says.
        lengths: of segments, in frames.
    """

    header: Header
    frames: FramesAhead
    num_frames: int | None
    lengths: RunLengths
    scene_cuts: bool
    recipe: Recipe

    def write(
        self,
        out: BinaryIO,
        *,
        crew: Crew | None = None,
        rate: RateControl | None = None,
        journal: Journal | None = None,
        with_index: bool = True,
        report: Callable[[EncodeProgress], None] = lambda progress: None,
        on_segment: Callable[[SegmentReport], None] = lambda segment: None,
    ) -> EncodeReport:
        """Encode to a stream; can be done once.

        Segments are written in order, as soon as they and all before them are finished; if an exception (Ctrl-C, say)
        ends the work early, what was finished is a valid stream. The bytes do not depend on who does the work. Where
        `out` can be written over, the last segments may be fitted again, as `rate` asks, and are then written anew.

        Args:
            crew: who fits segments; None: this process.
            rate: chooses their rd_weights; None: that of the fit for all.
            journal: of the part file `out`: what it knows is not done again, what is finished it is told.
            with_index: whether there is an index after every segment, or at the end alone (stream/writer.py).
            report: called after each step of a fit, or after some of them.
            on_segment: called when a segment is in `out`.

        Raises:
            SourceError, FitError, WorkerError: see errors.py.
            OutputError: the source is another one than the journal knows.
            OSError: from `out`.
        """
        started, video = time.perf_counter(), self.header.video
        rate = rate or OneWeight(self.recipe.fit_config.rd_weight)
        crew = crew or Here()
        earlier = journal.earlier if journal is not None else Earlier()
        reports: list[SegmentReport] = []
        clock = _Clock(video)
        progress = _Progress(self, report)

        def finish(segment: SegmentReport) -> None:
            rate.note(segment)
            reports.append(segment)
            on_segment(segment)

        def job_of(number: int, run: Sequence[Frame]) -> FitSegment:
            progress.begin(number, len(run))
            return FitSegment(self.recipe.at(rate.weight_of(number)), number, tuple(run))

        def on_done(number: int, fitted: FittedSegment, is_next: bool) -> None:
            progress.end(number)
            if journal is not None and (number in held or not is_next):
                journal.add(fitted, is_in_part=False, is_held=number in held)
                in_journal.add(number)

        in_journal = set(earlier.done)
        with Writer(out, self.header, earlier.entries, with_index=with_index) as writer:
            held = _Held(rate.held if writer.can_take_back else ())
            for line in earlier.kept:
                finish(line.report)
            runs = held.watch(self._runs(earlier, clock, progress))
            for fitted in in_order(
                crew, runs, job_of, ahead=rate.ahead, known=earlier.done, note=progress.note, on_done=on_done
            ):
                writer.write_segment(fitted.segment)
                # Before the journal, which waits for the disk: an interruption there must not lose what is written.
                finish(fitted.report)
                held.add(fitted)
                if journal is not None and fitted.report.number not in in_journal:
                    journal.add(fitted, is_in_part=True)
                _log_segment(fitted.report)
            while held.runs and (number := rate.again()) is not None:
                fitted = earlier.again.get((number, rate.weight_of(number)))
                if fitted is None:
                    run = held.runs[number]
                    progress.take_back(len(run))
                    (fitted,) = in_order(crew, [(number, run)], job_of, note=progress.note, on_done=on_done)
                rate.note(fitted.report)
                held.add(fitted)
                _log_segment(fitted.report)
            for fitted in held.changed(rate):
                if writer.num_segments > fitted.report.number:
                    writer.take_back(fitted.report.number)
                writer.write_segment(fitted.segment)
                reports[fitted.report.number] = fitted.report
        return EncodeReport(tuple(reports), video, writer.size_bytes, clock.seconds, time.perf_counter() - started)

    def split(self, frames: Iterable[Frame]) -> Iterator[list[Frame]]:
        """Frames of each segment."""
        in_runs = split_at_cuts if self.scene_cuts else split_by_length
        return in_runs(frames, self.header.video, self.lengths)

    def look_ahead(self, num_segments: int = 4) -> Survey:
        """The beginning of the clip; its frames will come again."""
        ahead = self.frames.look(num_segments * self.lengths.usual)
        clock, sample = _Clock(self.header.video), dict[int, Sequence[Frame]](enumerate(self.split(ahead)))
        for run in sample.values():
            clock.see(run)
        return Survey((), sample, clock.seconds)

    def trial_note(self, report: Callable[[EncodeProgress], None]) -> Note:
        """What trials report to, before there is anything to tell of segments."""

        def note(number: int, step: tuple[int, Progress]) -> None:
            fit = replace(step[1], stage="trial of the rate")
            report(EncodeProgress(0, None, step[0], self.header.num_patches, fit, 0, 0, None))

        return note

    def _runs(self, earlier: Earlier, clock: _Clock, progress: _Progress) -> Iterator[tuple[int, Sequence[Frame]]]:
        """Frames of each segment that is to be done, with its number. Raises OutputError for another source."""
        done = earlier.done
        known = [line.source_crc for line in earlier.kept]
        number = -1
        for number, run in enumerate(self.split(self.frames)):
            clock.see(run)
            is_done = number in done
            if number < len(known) or is_done:
                progress.skip(number, len(run))
                if frames_crc(run) != (done[number].source_crc if is_done else known[number]):
                    raise OutputError(_OTHER_SOURCE.format(number))
            if number >= len(known):
                yield number, run
        if number + 1 < len(known):
            raise OutputError(_OTHER_SOURCE.format(number + 1))


_OTHER_SOURCE = (
    "segment {} was made of other frames than the source has: --resume goes on with the same source alone, "
    "-y begins anew"
)


class _Clock:
    """How long a clip is, from its frames."""

    def __init__(self, video: VideoFormat) -> None:
        self._video = video
        self._first: int | None = None
        self._end = 0

    def see(self, run: Sequence[Frame]) -> None:
        self._first = run[0].pts if self._first is None else self._first
        self._end = run[-1].pts + (run[-1].duration or _usual_duration(self._video))

    @property
    def seconds(self) -> float:
        return float((self._end - (self._first or 0)) * self._video.time_base)


class _Held:
    """The end of a clip, from the first segment on that may be fitted again: all fits, and frames where they may be
    asked for.

    Args:
        numbers: of segments that may be fitted again.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = numbers
        self._fits: dict[int, list[FittedSegment]] = {}
        self.runs: dict[int, Sequence[Frame]] = {}

    def __contains__(self, number: int) -> bool:
        return number >= min(self._numbers, default=number + 1)

    def watch(self, runs: Iterable[tuple[int, Sequence[Frame]]]) -> Iterator[tuple[int, Sequence[Frame]]]:
        """Pass on frames of segments, and keep those that may be asked for."""
        for number, run in runs:
            if number in self._numbers:
                self.runs[number] = run
            yield number, run

    def add(self, fitted: FittedSegment) -> None:
        if fitted.report.number in self:
            self._fits.setdefault(fitted.report.number, []).append(fitted)

    def changed(self, rate: RateControl) -> list[FittedSegment]:
        """From the first segment on whose first fit is not the one that was chosen: what shall be in the stream."""
        chosen = [
            next(fit for fit in fits if fit.report.rd_weight == rate.weight_of(number))
            for number, fits in sorted(self._fits.items())
        ]
        same = takewhile(lambda fit: fit is self._fits[fit.report.number][0], chosen)
        return chosen[len(list(same)) :]


class _Progress:
    """What the fits of all segments report to: it tells where in the clip that is."""

    def __init__(self, encoding: Encoding, report: Callable[[EncodeProgress], None]) -> None:
        self._encoding, self._report = encoding, report
        self._at_work: dict[int, int] = {}  # frames by number
        self._frames_done = 0
        self._last = 0  # number of the last segment so far

    def skip(self, number: int, num_frames: int) -> None:
        self._frames_done += num_frames
        self._last = max(self._last, number)

    def take_back(self, num_frames: int) -> None:
        """Of a segment that was done and is to be done again."""
        self._frames_done -= num_frames

    def begin(self, number: int, num_frames: int) -> None:
        self._at_work[number] = num_frames
        self._last = max(self._last, number)

    def end(self, number: int) -> None:
        self._frames_done += self._at_work.pop(number)

    def note(self, number: int, step: tuple[int, Progress]) -> None:
        encoding, (patch, progress) = self._encoding, step
        num_frames, at_work = encoding.num_frames, sum(self._at_work.values())
        rest = None if num_frames is None else max(0, num_frames - self._frames_done - at_work)
        ahead = None if rest is None else self._last + 1 + encoding.lengths.num_runs(rest)
        self._report(
            EncodeProgress(
                number,
                ahead,
                patch,
                encoding.header.num_patches,
                progress,
                self._frames_done,
                self._at_work[number],
                num_frames,
                tuple(self._at_work),
            )
        )


def prepare(
    source: FrameSource,
    model_config: ModelConfig,
    fit_config: FitConfig,
    *,
    patch_size: tuple[int, int] | None = None,
    segment_frames: int | None = None,
    scene_cuts: bool = True,
    seed: int = 0,
    device: str = "cpu",
    num_threads: int | None = None,
    settings: EncoderSettings | None = None,
) -> Encoding:
    """Check everything that can be checked before there is anything to write; reads the frames of the first segment.

    Args:
        fit_config: the fit's configuration that goes with the model's: a C3FitConfig for a C3Config, and so on.
        patch_size: of the C3 model: largest (height, width) of a patch in luma samples; None for the default.
        segment_frames: most frames a segment, 1..1024; None: as many as the model usually has (`usual_lengths`).
        scene_cuts: whether a segment also begins where a scene does (scene_cuts.py).
        seed: same seed, machine and thread count, same file. 0..2^63 - 1.
        device: of a C3 model's fit, as torch names it. Bits and pixels are integers made on the CPU.
        num_threads: that each fit may use; None: OMP_NUM_THREADS or one a core.
        settings: the names that model and fit were chosen by, which the stream tells; None: only the rd_weight.

    Raises:
        ConfigError, SourceError: see errors.py.
    """
    model_config.check()
    fit_config.check()
    check_range("seed", seed, 0, MAX_SEED)
    video = source.format
    lengths = usual_lengths(model_config, video)
    if segment_frames is not None:
        check_range("segment_frames", segment_frames, 1, MAX_SEGMENT_FRAMES)
        lengths = RunLengths(segment_frames, segment_frames)
    frames = FramesAhead(source)
    frames_ahead = frames.look(lengths.most)
    if not frames_ahead:
        raise SourceError("the source has no frames in the range asked for")
    # A still image may then be as large as a segment of many frames.
    lengths = RunLengths(*(min(length, len(frames_ahead)) for length in (lengths.usual, lengths.most)))
    options = EncodingOptions(patch_size, seed, device)
    recipe = Recipe(video, model_config, fit_config, options, num_threads)
    encoder = recipe.open()
    settings = settings or EncoderSettings(rd_weight=max(1, round(fit_config.rd_weight * 1e9)))
    header = Header(video, model_config, lengths.most, encoder.patch_rows, encoder.patch_columns, settings)
    write_header(header)  # raises for what a stream may not carry
    return Encoding(header, frames, source.num_frames, lengths, scene_cuts, recipe)


def survey_of(encoding: Encoding, source: Iterable[Frame]) -> Survey:
    """Of all frames of a clip, which are read from another opening of it than will be encoded."""
    clock, video = _Clock(encoding.header.video), encoding.header.video

    def runs() -> Iterator[list[Frame]]:
        for run in encoding.split(source):
            clock.see(run)
            yield run

    lengths, sample = sampled(runs(), video.frame_bytes)
    return Survey(lengths, sample, clock.seconds, video.frame_bytes)


def encode(
    source: FrameSource,
    out: BinaryIO,
    model_config: ModelConfig,
    fit_config: FitConfig,
    *,
    patch_size: tuple[int, int] | None = None,
    segment_frames: int | None = None,
    scene_cuts: bool = True,
    seed: int = 0,
    device: str = "cpu",
    num_threads: int | None = None,
    settings: EncoderSettings | None = None,
    report: Callable[[EncodeProgress], None] = lambda progress: None,
) -> EncodeReport:
    """Encode a clip to a .c3v stream: `prepare`, then `Encoding.write`, which say what the arguments are.

    Raises:
        ConfigError, SourceError, FitError: see errors.py. Nothing has been written before the first of them.
    """
    encoding = prepare(
        source,
        model_config,
        fit_config,
        patch_size=patch_size,
        segment_frames=segment_frames,
        scene_cuts=scene_cuts,
        seed=seed,
        device=device,
        num_threads=num_threads,
        settings=settings,
    )
    return encoding.write(out, report=report)


_MOST_JOINED_SAMPLES = 64 * 1920 * 1080 * 3 // 2
"""Of a segment that is longer than usual: it takes no more memory than a usual one of 1920x1080."""


def usual_lengths(model_config: ModelConfig, video: VideoFormat) -> RunLengths:
    """Frames a segment where a user does not say: those of the model, or so many as a segment may hold."""
    height, width = video.cell_shape
    samples = height * width * video.layout.num_cell_channels
    usual = max(1, min(model_config.SEGMENT_FRAMES, MAX_SEGMENT_SAMPLES // samples))
    return RunLengths(usual, max(usual, min(model_config.LONGEST_SEGMENT_FRAMES, _MOST_JOINED_SAMPLES // samples)))


def _usual_duration(video: VideoFormat) -> int:
    """Of a frame that does not say its own, in units of the time base; 0 where there is no frame rate either."""
    return round(1 / (video.frame_rate * video.time_base)) if video.frame_rate else 0


def _log_segment(segment: SegmentReport) -> None:
    _log.info(
        "segment %d: %d frames, %d bytes, %.2f dB, %.1f s",
        segment.number,
        segment.num_frames,
        segment.size_bytes,
        segment.psnr_db,
        segment.fit_seconds,
    )
    for note in segment.notes:
        _log.warning("segment %d: %s", segment.number, note)
