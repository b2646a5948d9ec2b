# SPDX-License-Identifier: MIT
"""`c3video.encode`: from a path or frames to a .c3v file, by names of profile and preset."""

from __future__ import annotations

import logging
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from c3video import __version__, config, native
from c3video.config import FitConfig, ModelConfig
from c3video.crew.capacity import capacity
from c3video.crew.here import Here
from c3video.crew.jobs import Crew, Note
from c3video.crew.processes import Processes
from c3video.encoder import (
    EncodeProgress,
    EncodeReport,
    Encoding,
    FrameSource,
    RateControl,
    prepare,
    survey_of,
    usual_lengths,
)
from c3video.errors import ConfigError
from c3video.journal import Identity, Journal, journal_of, open_journal
from c3video.media.source import open_source
from c3video.output import Output, Overwrite, check_output, is_replaceable, open_output
from c3video.rate_target import RateModel, Target, TargetControl, achieved, rd_weight_of_crf
from c3video.rate_trial import find_rate
from c3video.segment_fit import Recipe, SegmentReport, fit_memory
from c3video.stream.layout import VERSION, write_header
from c3video.threads import usual_threads
from c3video.video import ArraySource, Frame

# fmt: off
OTHER_SUFFIXES = frozenset({
    ".264", ".265", ".3gp", ".aac", ".apng", ".av1", ".avi", ".avif", ".bmp", ".flac", ".flv", ".gif", ".h264",
    ".h265", ".hevc", ".ivf", ".jpeg", ".jpg", ".jxl", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp3", ".mp4",
    ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogg", ".ogv", ".png", ".raw", ".rgb", ".tif", ".tiff", ".ts",
    ".vob", ".wav", ".webm", ".webp", ".wmv", ".y4m", ".yuv",
})
# fmt: on
"""Names of formats that a .c3v stream is not: who finds it under one could not tell why no player plays it."""

_DEVICE = re.compile(r"(cpu|cuda|mps|xpu)(:[0-9]+)?")
"""Names of devices, where torch is not asked."""

_log = logging.getLogger(__name__)


def encode(
    source: str | os.PathLike[str] | FrameSource,
    out: str | os.PathLike[str] | BinaryIO,
    *,
    profile: str = "default",
    preset: str = "medium",
    rd_weight: float | None = None,
    crf: float | None = None,
    target_size: int | None = None,
    target_kbps: float | None = None,
    target_psnr: float | None = None,
    window_search: str | None = None,
    low_delay: bool = False,
    patch_size: tuple[int, int] | None = None,
    segment_frames: int | None = None,
    scene_cuts: bool = True,
    frames: tuple[int, int | None] | None = None,
    start: Fraction | None = None,
    end: Fraction | None = None,
    stream: int | None = None,
    rotate: bool = False,
    strict: bool = False,
    seed: int = 0,
    device: str = "cpu",
    size: tuple[int, int] | None = None,
    pix_fmt: str | None = None,
    fps: Fraction | None = None,
    workers: int | None = 1,
    threads: int | None = None,
    cluster: str | None = None,
    resume: bool = False,
    live: bool = False,
    overwrite: Overwrite = True,
    report: Callable[[EncodeProgress], None] = lambda progress: None,
    say: Callable[[str], None] = _log.info,
) -> EncodeReport:
    """Encode a video to a .c3v stream.

    A file appears when it is whole: it grows as OUT.part.c3v beside its place (output.py), and what was there before
    stays until then.

    Args:
        source: what FFmpeg can open, "-" for standard input, or an iterable of frames with `format` and `num_frames`
            (`c3video.video.ArraySource` makes one of arrays).
        out: path, "-" for standard output, or a binary file object; where it can be sought, a target may have its last
            segments written over.
        profile: what the model is: "default", "pyramid" (C3 of today) or "paper" (C3 as published, on RGB);
            "paper-per-grid" and "paper-shared" are its other published settings.
        preset: how long to fit: "ultrafast", "fast", "medium", "slow", "placebo" or "paper", as the profile has them.
        rd_weight: weight of bits per pixel against MSE on [0, 1]; larger means smaller files. 1e-3 if nothing else
            says what the rate is.
        crf: the same as a constant rate factor, on x264's scale (rate_target.py).
        target_size: bytes of the file that are asked for; needs a source that can be read twice.
        target_kbps: thousands of bits a second likewise.
        target_psnr: dB of the mean squared error of all samples of all frames (`psnr_all` of c3v compare), likewise.
        window_search: how the profile paper finds what its context sees of the previous frame: "wide" (as published,
            by a fit that is thrown away), "correlation" or "centre"; None: as the preset says.
        low_delay: the profile default codes frames in the order in which they are shown, each from those before it; a
            decoder has a frame as soon as its bytes are there, at about 1 dB less for the same bytes.
        patch_size: largest (height, width) of a patch in luma samples; None: 288 x 352. The profile
            default codes whole frames and has none.
        segment_frames: most frames a segment; segments decode alone. None: 64 with the profile default, or up to 128
            where no more are left of a scene, else 32.
        scene_cuts: whether a segment also begins where a scene does.
        frames: (first, one past the last or None), counted from 0.
        start, end: seconds after the first frame, in place of `frames`.
        stream: number of the video stream in its container; FFmpeg's choice where None.
        rotate: turn pictures upright that are stored on their side; otherwise the stream says how they lie.
        strict: end with an error where the source is damaged, in place of a warning.
        seed: of what is random in fits: first weights, noise, and what samples the profile default tunes networks on.
            Its preset ultrafast has nothing of these.
        device: where the profile paper fits, as torch names it.
        size, pix_fmt, fps: of headerless raw video: (width, height), FFmpeg's name, frames a second. `pix_fmt` without
            `size` is what frames of another pixel format are converted to (media/conversion.py).
        workers: processes that fit segments side by side; None: as many as there are cores, memory and segments for.
            With more than one, the calling program's main module must be safe to import (`if __name__ == "__main__"`).
        threads: of each fit; the bytes may depend on it, and on nothing else of these. None: OMP_NUM_THREADS or one a
            core where the clip is known to be one segment, else one, whatever `workers` says.
        cluster: of Ray, in place of processes: "auto" or an address (needs `c3video[cluster]`).
        resume: go on from what an interrupted encode to the same path has left; anew where there is nothing.
        live: let others read the file while it grows: it has its own name at once, and its index at the end alone. What
            is written is never taken back, so targets are met less closely (docs/scale.md).
        overwrite: whether a file at `out` may be replaced, or a function that is asked.
        report: called after each step of a fit, or some of them.
        say: told beforehand what will be done with how much.

    Returns:
        A report a segment, and figures of the whole.

    Raises:
        C3VideoError: see errors.py. What was finished before it is a valid stream in OUT.part.c3v, and the message
            says so; in a file object it is what was written.
        OSError: the output cannot be written to the end; likewise.
    """
    chosen = config.profile(profile)
    target, rd_weight = _rate(rd_weight, crf, target_size, target_kbps, target_psnr)
    fit = config.fit_config(profile, preset, rd_weight, window_search, low_delay)
    told = config.EncoderSettings.of(profile, preset, rd_weight)
    sources = [source] if isinstance(source, (str, os.PathLike)) else []
    if resume:
        _check_resumable(out, live)
    if isinstance(out, (str, os.PathLike)):
        # One who is to be asked is asked later.
        check_output(out, resume or callable(overwrite) or overwrite, sources)
        _check_name(out)
    if device != "cpu" and not chosen.model.HAS_PATCHES:
        if not _DEVICE.fullmatch(device):
            raise ConfigError(f"device {device!r}: must be cpu, cuda, cuda:1 or mps")
        _log.warning("profile %s fits on the CPU: device %s is not used", profile, device)
        device = "cpu"

    def opened() -> AbstractContextManager[FrameSource]:
        if not isinstance(source, (str, os.PathLike)):
            return nullcontext(source)
        return open_source(
            source if isinstance(source, str) else Path(source),
            size=size,
            pix_fmt=pix_fmt,
            fps=fps,
            frames=frames,
            start=start,
            end=end,
            stream=stream,
            rotate=rotate,
            strict=strict,
            as_rgb=chosen.as_rgb,
        )

    with opened() as frame_source:
        model = chosen.model.for_video(frame_source.format)
        most = segment_frames
        if live and most is None:  # does not wait for more frames to see whether a scene ends
            most = usual_lengths(model, frame_source.format).usual
        encoding = prepare(
            frame_source,
            model,
            fit,
            patch_size=patch_size,
            segment_frames=most,
            scene_cuts=scene_cuts,
            seed=seed,
            device=device,
            num_threads=threads or _threads(frame_source, model, most),
            settings=replace(told, rd_weight=0) if target is not None else told,
        )
        quick = config.fit_config(profile, next(iter(chosen.presets)), rd_weight, window_search, low_delay)
        rates = None if target is None else _Rates(target, quick, encoding, _second_look(source, opened))
        settings = {
            "profile": profile,
            "preset": preset,
            "rd_weight": rd_weight if target is None else None,
            "target": None if target is None else asdict(target),
            "windows": window_search,
            "low delay": low_delay,
            "patch": patch_size,
            "segment": segment_frames,
            "scene cuts": scene_cuts,
            "frames": frames,
            "start": None if start is None else str(start),
            "end": None if end is None else str(end),
            "stream": stream,
            "size": size,
            "pixel format": pix_fmt,
            "fps": None if fps is None else str(fps),
            "rotate": rotate,
            "seed": seed,
            "device": device,
            "threads": encoding.recipe.num_threads,
        }
        with _crew(workers, cluster, encoding, say) as crew:
            if not isinstance(out, (str, os.PathLike)):
                result = encoding.write(
                    out, crew=crew, rate=rates.find(crew, None, report) if rates else None, report=report
                )
                return _against(target, result)
            with (
                open_output(out, overwrite=overwrite, sources=sources, resume=resume, live=live) as output,
                output.open() as file,
            ):
                keeper = _keeper(output)
                with _journal(output, file, encoding, settings, source, resume) as journal:
                    result = encoding.write(
                        file,
                        crew=crew,
                        rate=rates.find(crew, journal, report) if rates else None,
                        journal=journal,
                        with_index=not live,
                        report=report,
                        on_segment=keeper,
                    )
        return _against(target, result)


def _against(target: Target | None, result: EncodeReport) -> EncodeReport:
    if target is None:
        return result
    return replace(result, target=achieved(target, result.size_bytes, result.kbit_per_second, result.psnr_db))


DEFAULT_RD_WEIGHT = 1e-3
"""Where nothing says what the rate shall be."""


def _rate(
    rd_weight: float | None,
    crf: float | None,
    target_size: int | None,
    target_kbps: float | None,
    target_psnr: float | None,
) -> tuple[Target | None, float]:
    """The target, if there is one, and the rd_weight, where trials begin if there is. Raises ConfigError."""
    given = {
        "rd_weight": rd_weight,
        "crf": crf,
        "target_size": target_size,
        "target_kbps": target_kbps,
        "target_psnr": target_psnr,
    }
    asked = [name for name, value in given.items() if value is not None]
    if len(asked) > 1:
        raise ConfigError(f"{asked[0]} and {asked[1]} both say what the rate shall be: leave one of them out")
    if asked and asked[0].startswith("target"):
        return Target(target_size, target_kbps, target_psnr), DEFAULT_RD_WEIGHT
    if crf is not None:
        return None, rd_weight_of_crf(crf)
    return None, DEFAULT_RD_WEIGHT if rd_weight is None else rd_weight


def _threads(source: FrameSource, model: ModelConfig, segment_frames: int | None) -> int:
    """Of each worker. It must not depend on their number: what threads have added up apart is rounded otherwise."""
    most = segment_frames or usual_lengths(model, source.format).most
    return usual_threads() if source.num_frames is not None and source.num_frames <= most else 1


@contextmanager
def _crew(workers: int | None, cluster: str | None, encoding: Encoding, say: Callable[[str], None]) -> Iterator[Crew]:
    """Who fits the segments; says what it takes."""
    recipe = encoding.recipe
    need = fit_memory(recipe, encoding.lengths.most)
    if cluster is not None:
        from c3video.crew.cluster import Cluster

        with Cluster(
            cluster,
            num_cpus=recipe.num_threads or usual_threads(),
            num_gpus=int(recipe.options.device != "cpu"),
            memory=need,
        ) as far:
            say(far.in_words)
            yield far
        return
    there = capacity(need)
    num_segments = None if encoding.num_frames is None else encoding.lengths.num_runs(encoding.num_frames)
    if workers is None:
        is_small = encoding.lengths.most * recipe.video.width * recipe.video.height < _SMALL_SEGMENT
        on_gpu = recipe.options.device != "cpu"
        workers = 1 if is_small or on_gpu else there.suggested(num_segments)
    if workers == 1 or num_segments == 1:
        yield Here()
        return
    workers = workers if num_segments is None else min(workers, num_segments)
    say(f"{workers} workers take about {there.in_words(workers)}")
    if workers > there.most:
        _log.warning("%d workers may be more than memory has room for: %d would fit", workers, there.most)
    with Processes(workers) as beside:
        yield beside


_SMALL_SEGMENT = 1 << 20
"""Luma samples of a segment below which it is done before a process for it has begun."""


def _second_look(
    source: str | os.PathLike[str] | FrameSource, opened: Callable[[], AbstractContextManager[FrameSource]]
) -> Callable[[], AbstractContextManager[FrameSource]] | None:
    """What opens a source again; None of what can be read once."""
    if isinstance(source, ArraySource):
        return opened
    if not isinstance(source, (str, os.PathLike)) or str(source) == "-":
        return None
    return opened if not os.path.exists(source) or os.path.isfile(source) else None  # numbered pictures are no file


@dataclass(frozen=True)
class _Rates:
    """The way from a target to what chooses rd_weights.

    Args:
        quick: how trials are fitted.
        again: opens the source once more, where that can be done.
    """

    target: Target
    quick: FitConfig
    encoding: Encoding
    again: Callable[[], AbstractContextManager[FrameSource]] | None

    def find(self, crew: Crew, journal: Journal | None, report: Callable[[EncodeProgress], None]) -> RateControl:
        """As a journal says, or by trials. Raises ConfigError for a target that cannot be worked out."""
        known = journal.earlier.notes.get("rate") if journal is not None else None
        if known is not None:
            model = RateModel.of_plain(known)
        else:
            model = self._by_trials(crew, self.encoding.trial_note(report))
            if journal is not None:
                journal.note("rate", model.as_plain())
        return TargetControl(model)

    def _by_trials(self, crew: Crew, note: Note) -> RateModel:
        encoding, quantity = self.encoding, self.target.quantity
        everything = None
        if self.again is not None:
            with self.again() as source:
                survey = survey_of(encoding, source)
            everything = self._all_segments
        elif self.target.size_bytes is not None:
            raise ConfigError("a target size needs a source whose length can be found out: a file, not a pipe")
        else:
            survey = encoding.look_ahead()
        overhead = len(write_header(encoding.header)) + _INDEX_BYTES + _ENTRY_BYTES * len(survey.segment_frames)
        goal = self.target.total(survey.num_frames, survey.clip_seconds, overhead)
        if not survey.segment_frames:
            goal /= survey.num_frames
        recipe = encoding.recipe
        trial = Recipe(recipe.video, recipe.model, self.quick, recipe.options, recipe.num_threads)
        return find_rate(crew, quantity, goal, survey, trial, recipe, recipe.fit_config.rd_weight, note, everything)

    def _all_segments(self) -> Iterator[list[Frame]]:
        assert self.again is not None
        with self.again() as source:
            yield from self.encoding.split(source)


def _check_resumable(out: str | os.PathLike[str] | BinaryIO, live: bool) -> None:
    """Before `out` is opened, which empties what a live encode has left there.

    Raises:
        ConfigError: nothing is ever left to go on with.
    """
    if live:
        raise ConfigError(f"{out}: --live keeps no journal to resume from: leave one of the two options out")
    if not isinstance(out, (str, os.PathLike)) or not is_replaceable(os.fspath(out)):
        raise ConfigError(f"{out}: only a file with a name can be resumed")


_INDEX_BYTES, _ENTRY_BYTES = 48, 7
"""About as much as an index takes, and each segment in it."""


def _journal(
    output: Output,
    file: BinaryIO,
    encoding: Encoding,
    settings: Identity,
    source: str | os.PathLike[str] | FrameSource,
    resume: bool,
) -> AbstractContextManager[Journal | None]:
    """Of an output that is a part file; others cannot be gone on with."""
    if not output.is_file:
        return nullcontext()
    identity = settings | _source_identity(source) | _build()  # differences are said in this order
    identity["header"] = write_header(encoding.header).hex()
    output.beside.append(journal_of(output.place))
    return open_journal(output.place, file, encoding.header, identity, resume)


@cache
def _build() -> Identity:
    """What makes the bytes: versions, and code and priors, which say more than a version while they are worked on."""
    crc = 0
    package, extension = Path(__file__).parent, native.built_file()
    made_of = sorted([*package.rglob("*.py"), *package.rglob("*.i16")])
    for path in made_of if extension is None else [*made_of, extension]:
        crc = zlib.crc32(path.read_bytes(), crc)
    return {
        "c3video": __version__,
        "format version": VERSION,
        "code": f"{crc:08x}",
        "torch": version("torch"),
        "instruction set": native.isa() if native.available() else "none",
    }


_HASHED_BYTES = 1 << 20


def _source_identity(source: str | os.PathLike[str] | FrameSource) -> Identity:
    """Of a file its size and a hash of its beginning, wherever it lies now; frames are held against the journal too."""
    if not isinstance(source, (str, os.PathLike)) or not os.path.isfile(source):
        return {"source": "standard input" if str(source) == "-" else "frames"}
    with open(source, "rb") as file:
        crc = zlib.crc32(file.read(_HASHED_BYTES))
    return {"source": f"{os.path.getsize(source)} bytes, crc32 {crc:08x} of the first {_HASHED_BYTES}"}


def _check_name(out: str | os.PathLike[str]) -> None:
    path = Path(out)
    suffix = path.suffix.lower()
    if suffix in OTHER_SUFFIXES:
        raise ConfigError(
            f"{path}: a .c3v stream is written, which is no {suffix} file: name it {path.with_suffix('.c3v').name}; "
            "`c3v decode` makes of it what players know"
        )


def _keeper(output: Output) -> Callable[[SegmentReport], None]:
    """What tells an output how much of it is finished."""
    num_frames = 0
    valid = ", a valid stream; --resume goes on from there" if output.is_file else ""  # a pipe may lack the index

    def keep(segment: SegmentReport) -> None:
        nonlocal num_frames
        num_frames += segment.num_frames
        segments = "1 segment" if segment.number == 0 else f"{segment.number + 1} segments"
        output.keep(f"{segments} ({num_frames} {'frame' if num_frames == 1 else 'frames'}){valid}")

    return keep
