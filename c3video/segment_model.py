# SPDX-License-Identifier: MIT
"""What the two stories ask of a model: frames from a segment's bytes and a segment's bytes from frames.

    decoder.py  --SegmentDecoder-->  c3/decode.py, hybrid/decode.py, pyramid/decode.py
    encoder.py  --SegmentEncoder-->  c3/fit/encode.py, hybrid/fit/encode.py, pyramid/fit/encode.py

Which model it is says the header's model_kind; models.py and segment_fit.py hold the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from c3video.engine import EngineName
    from c3video.progress import Progress
    from c3video.stream.layout import Header, Segment
    from c3video.video import Frame, Planes


@dataclass(frozen=True)
class SegmentFacts:
    """What `c3v info` says of a segment.

    Args:
        bits: by part.
        facts: what it says before its symbols, as plain values.
        summary: the same in a few words.
    """

    bits: dict[str, float]
    facts: dict[str, Any]
    summary: str


class MultiplyAdds(Protocol):
    """Multiply-adds to decode one pixel (a luma sample)."""

    @property
    def total(self) -> float: ...

    def by_part(self) -> dict[str, float]:
        """The figures by name."""


@dataclass(frozen=True)
class Salvaged:
    """A frame of a damaged segment.

    Args:
        is_exact: whether it is what the encoder saw; otherwise it is what comes nearest of what is there.
    """

    planes: Planes
    is_exact: bool


@dataclass(frozen=True)
class SegmentDecoder:
    """Segments of one model, as a decoder sees them.

    Args:
        decode: (header, segment, engine, threads) -> planes of each frame in display order, each checked against its
            hash. Raises CorruptSegmentError.
        memory_bytes: (header, frames of a segment, engine, threads) -> most bytes that decoding it takes, estimated on
            the high side from what the header says alone.
        describe: (header, segment) -> SegmentFacts, from all symbols and no samples. Raises CorruptSegmentError.
        multiply_adds: (model config, pixel format) -> what decoding costs.
        salvage: (header, damaged segment, engine) -> what there is of each frame in display order, None for one that is
            lost; None where the model gives nothing beyond what `decode` does before it fails. Raises
            CorruptSegmentError.
    """

    decode: Callable[[Header, Segment, EngineName, int], Iterator[Planes]]
    memory_bytes: Callable[[Header, int, EngineName, int], int]
    describe: Callable[[Header, Segment], SegmentFacts]
    multiply_adds: Callable[[Any, str], MultiplyAdds]
    salvage: Callable[[Header, Segment, EngineName], Iterator[Salvaged | None]] | None = None


@dataclass(frozen=True)
class EncodedSegment:
    """A segment's bytes and what a decoder will make of them.

    Args:
        patches: bytes of each patch; one for a model that codes whole frames.
        decoded: planes of each frame in display order.
        estimated_bits: what the fits promised.
        bits: where the bits went, by part.
        notes: what the fits had to mend.
    """

    patches: tuple[bytes, ...]
    decoded: Sequence[Planes]
    estimated_bits: float
    bits: dict[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class EncodingOptions:
    """What an encoder is told beside the model and its fit.

    Args:
        patch_size: largest (height, width) of a patch in luma samples; None for the default. Of C3 only.
        seed: of initial weights, noise and batches.
        device: where C3 is fitted, as torch names it. Bits and pixels are integers made on the CPU.
    """

    patch_size: tuple[int, int] | None = None
    seed: int = 0
    device: str = "cpu"


class SegmentEncoder(Protocol):
    """Makes segments of one clip."""

    @property
    def patch_rows(self) -> int: ...

    @property
    def patch_columns(self) -> int: ...

    def encode(self, frames: Sequence[Frame], report: Callable[[int, Progress], None]) -> EncodedSegment:
        """Fit and code frames; `report` is told the patch and the step. Raises FitError."""
