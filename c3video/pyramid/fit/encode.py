# SPDX-License-Identifier: MIT
"""A segment of pyramids: frames that are fitted together, or each as a picture of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from c3video.engine import EngineName, choose_engine
from c3video.errors import ConfigError
from c3video.native.pyramid import NATIVE_WRITING
from c3video.progress import Progress
from c3video.pyramid.config import PyramidConfig, PyramidFitConfig
from c3video.pyramid.decode import is_run, join_pictures
from c3video.pyramid.engine import ENGINES
from c3video.pyramid.fit.loop import fit_picture, fit_run
from c3video.pyramid.fit.stillness import choose_spans
from c3video.pyramid.payload import encode_picture
from c3video.pyramid.run_payload import encode_run, sum_layers
from c3video.segment_model import EncodedSegment, EncodingOptions
from c3video.video import Frame, Planes, VideoFormat


@dataclass(frozen=True)
class PyramidEncoder:
    """Segments of one clip, picture by picture or as runs of frames."""

    video: VideoFormat
    config: PyramidConfig
    fit_config: PyramidFitConfig
    seed: int
    engine: EngineName
    num_threads: int
    patch_rows: int = 1
    patch_columns: int = 1

    def encode(self, frames: Sequence[Frame], report: Callable[[int, Progress], None]) -> EncodedSegment:
        """Fit and code frames; `report` is told 0 and the step. Raises FitError."""
        return (self._encode_run if is_run(self.config, len(frames)) else self._encode_pictures)(frames, report)

    def _encode_run(self, frames: Sequence[Frame], report: Callable[[int, Progress], None]) -> EncodedSegment:
        layout, planes = self.video.layout, [frame.planes for frame in frames]
        spans = choose_spans([of_frame[0] for of_frame in planes], layout.max_value, self.fit_config.rd_weight)
        fitted = fit_run(
            planes,
            self.video,
            self.config,
            self.fit_config,
            spans,
            seed=self.seed,
            report=lambda progress: report(0, progress),
            num_threads=self.num_threads,
        )
        weights, symbols = fitted.weights, fitted.symbols
        data, bits = encode_run(
            weights,
            fitted.shape,
            fitted.windows,
            symbols,
            self.video,
            fitted.differences,
            NATIVE_WRITING,
            self.num_threads,
        )
        decoded = [
            ENGINES[self.engine].synthesise(
                weights, sum_layers([symbols[part] for part in parts]), layout, self.num_threads
            )
            for parts in fitted.shape.parts
        ]
        return EncodedSegment((data,), decoded, fitted.estimated_bits, bits.by_part(), fitted.notes)

    def _encode_pictures(self, frames: Sequence[Frame], report: Callable[[int, Progress], None]) -> EncodedSegment:
        pictures: list[bytes] = []
        decoded: list[Planes] = []
        parts: dict[str, float] = {}
        notes: list[str] = []
        estimated_bits = 0.0
        for frame in frames:
            fitted = fit_picture(
                frame.planes,
                self.video,
                self.config,
                self.fit_config,
                seed=self.seed,
                report=lambda progress: report(0, progress),
                num_threads=self.num_threads,
            )
            data, bits = encode_picture(fitted.weights, fitted.symbols, self.video, fitted.differences)
            pictures.append(data)
            synthesise = ENGINES[self.engine].synthesise
            decoded.append(synthesise(fitted.weights, fitted.symbols, self.video.layout, self.num_threads))
            estimated_bits += fitted.estimated_bits
            notes += fitted.notes
            for name, value in bits.by_part().items():
                parts[name] = parts.get(name, 0.0) + value
        return EncodedSegment((join_pictures(pictures),), decoded, estimated_bits, parts, tuple(notes))


def open_picture_encoder(
    video: VideoFormat, config: PyramidConfig, fit_config: PyramidFitConfig, options: EncodingOptions, num_threads: int
) -> PyramidEncoder:
    """What makes segments of a clip. Raises ConfigError for a patch size, or without the C++ extension."""
    if options.patch_size is not None:
        raise ConfigError(f"patch size {options.patch_size}: this profile codes whole pictures, leave it out")
    engine = choose_engine()
    if engine != "native":
        raise ConfigError("the profile pyramid is fitted by the C++ extension, which is not there")
    return PyramidEncoder(video, config, fit_config, options.seed, engine, num_threads)
