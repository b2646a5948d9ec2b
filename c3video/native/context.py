# SPDX-License-Identifier: MIT
"""Readers of the frame model's symbols in C++: the same integers as `coding/frames.py` reads.

    payload of a slice -> SliceReader --> subbands of each frame
    first payload -> NativeReader (networks) -> MotionReader --> motion field of each frame

Symbols, vectors and modes are int32. The extension must be there (`native.available()`); it lets the GIL go while a
frame is read, so slices may be read by several threads, each of them by one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.errors import CorruptSegmentError
from c3video.model.compensation import MotionField
from c3video.model.context_network import ContextNetwork
from c3video.model.frame_order import CodedFrame
from c3video.model.subbands import SliceLayout

SliceSymbols = list[list[NDArray[np.int32]]]
"""By plane and subband: (h, w); what `model.subbands.FrameSymbols` is for the oracle."""


class SliceReader:
    """Reads one slice of a segment's frames, in coding order.

    Args:
        payload: holds the slice's subbands of all frames and nothing else.
        network: of subbands.
        layout: the slice's shapes.

    Raises:
        CorruptSegmentError: the payload is not whole words or the network's sums may overflow.
        ValueError: the network or the layout is not one of subbands.
    """

    def __init__(self, payload: bytes, network: ContextNetwork, layout: SliceLayout) -> None:
        self._coder = native.NativeReader(payload)
        self._network = _network(network)
        self._slice = native._native.Slice([list(plane) for plane in layout.shapes])
        self._num_bands = [len(plane) for plane in layout.shapes]

    def read(self, frame: CodedFrame, references: Sequence[Sequence[Sequence[NDArray[Any]]]] = ()) -> SliceSymbols:
        """The next frame.

        Args:
            references: this slice of each of the frame's references, as it was read.

        Raises:
            CorruptSegmentError: the payload is damaged.
            ValueError: a reference is missing, or has another shape than the slice.
        """
        if len(references) != len(frame.references):
            raise ValueError(f"{len(references)} slices of references for a frame that has {len(frame.references)}")
        try:
            bands = native._native.read_slice(
                self._coder._reader,
                native._sparse_tables(),
                self._network,
                self._slice,
                frame.level,
                [
                    [np.ascontiguousarray(band, dtype=np.int32) for plane in reference for band in plane]
                    for reference in references
                ],
                native._isa(),
            )
        except native._native.Corrupt as error:
            raise CorruptSegmentError(str(error)) from None
        starts = np.cumsum([0, *self._num_bands]).tolist()
        return [bands[start : start + count] for start, count in zip(starts, self._num_bands, strict=False)]

    def finish(self) -> None:
        """Raise CorruptSegmentError unless everything has been read."""
        self._coder.finish()


class MotionReader:
    """Reads the motion fields of a segment's frames, in coding order.

    Args:
        payload: one that holds nothing else, or a reader that has read what comes before the fields; it may go on
            reading after them.
        network: of motion.
        shape: (bh, bw) blocks.

    Raises:
        CorruptSegmentError: the payload is not whole words or the network's sums may overflow.
    """

    def __init__(self, payload: bytes | native.NativeReader, network: ContextNetwork, shape: tuple[int, int]) -> None:
        self._coder = native.NativeReader(payload) if isinstance(payload, bytes) else payload
        self._network = _network(network)
        self._shape = shape

    def read(self, frame: CodedFrame) -> MotionField | None:
        """The next frame's field, vectors and modes of int32; None where it has no references.

        Raises:
            CorruptSegmentError: the payload is damaged.
            ValueError: the network is not one of motion, or the frame does not lie between its references.
        """
        if not frame.references:
            return None
        signs = (1, -1)[: len(frame.references)]
        distances = [sign * (frame.index - index) for sign, index in zip(signs, frame.references, strict=True)]
        try:
            vectors, modes = native._native.read_motion(
                self._coder._reader,
                native._sparse_tables(),
                self._network,
                self._shape,
                frame.level,
                distances,
                native._isa(),
            )
        except native._native.Corrupt as error:
            raise CorruptSegmentError(str(error)) from None
        return MotionField(vectors, modes)

    def finish(self) -> None:
        """Raise CorruptSegmentError unless everything has been read."""
        self._coder.finish()


def read_slice(
    payload: bytes, network: ContextNetwork, layout: SliceLayout, frames: Sequence[CodedFrame]
) -> Iterator[SliceSymbols]:
    """`coding.segment.read_slice`: one slice of all frames, each read when it is asked for.

    Raises:
        CorruptSegmentError: the payload does not decode, or has something left after the last frame.
    """
    reader = SliceReader(payload, network, layout)
    last_use = {index: place for place, frame in enumerate(frames) for index in frame.references}
    kept: dict[int, SliceSymbols] = {}
    for place, frame in enumerate(frames):
        symbols = reader.read(frame, [kept[index] for index in frame.references])
        if place == len(frames) - 1:
            reader.finish()
        kept[frame.index] = symbols
        for index in (frame.index, *frame.references):
            if last_use.get(index, -1) <= place:
                kept.pop(index, None)
        yield symbols


def read_motion(
    coder: native.NativeReader, network: ContextNetwork, shape: tuple[int, int], frames: Sequence[CodedFrame]
) -> Iterator[MotionField | None]:
    """`coding.frames.read_frames_motion`: the fields of all frames, each read when it is asked for.

    Raises:
        CorruptSegmentError: the payload does not decode, or has something left after the last field.
    """
    reader = MotionReader(coder, network, shape)
    for place, frame in enumerate(frames):
        field = reader.read(frame)
        if place == len(frames) - 1:
            reader.finish()
        yield field


def _network(network: ContextNetwork) -> Any:
    network.check()
    return native._native.ContextNetwork(*(np.ascontiguousarray(array, dtype=np.int32) for array in network.arrays()))
