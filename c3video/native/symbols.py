# SPDX-License-Identifier: MIT
"""Readers of the hybrid model's symbols in C++: the same integers as `hybrid/symbol_coding.py` reads.

    payload of a slice -> SliceReader --> subbands of each frame
    first payload -> NativeReader (networks) -> MotionReader --> motion field of each frame

Symbols and motion are int32. The extension must be there (`native.available()`); it lets the GIL go while a
frame is read, so slices may be read by several threads, each of them by one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video import native
from c3video.errors import CorruptSegmentError
from c3video.hybrid.compensation import MotionField
from c3video.hybrid.context_network import ContextNetwork
from c3video.hybrid.frame_order import CodedFrame
from c3video.hybrid.motion_symbols import EarlierMotion, MotionSymbols
from c3video.hybrid.signs import sign_network
from c3video.hybrid.subbands import FrameSymbols, SliceLayout
from c3video.hybrid.symbol_coding import read_fields
from c3video.native.frames import as_int32

SliceSymbols = list[list[NDArray[np.int32]]]
"""By plane and subband: (h, w); what `hybrid.subbands.FrameSymbols` is for the oracle."""


class SliceReader:
    """Reads one slice of a segment's frames.

    Args:
        payload: holds the slice's subbands of all frames and nothing else; or a reader of one.
        network: of subbands.
        layout: the slice's shapes.
        frames: in coding order.
        first: symbols of frame 0, where that is not among them.

    Raises:
        CorruptSegmentError: the payload is not whole words or the network's sums may overflow.
        ValueError: the layout is not one of subbands.
    """

    def __init__(
        self,
        payload: bytes | native.NativeReader,
        network: ContextNetwork,
        layout: SliceLayout,
        frames: Sequence[CodedFrame],
        first: FrameSymbols | None = None,
    ) -> None:
        self._coder = native.NativeReader(payload) if isinstance(payload, bytes) else payload
        self._network = native_network(network)
        self._slice = native.extension().Slice([list(plane) for plane in layout.shapes])
        self._starts = np.cumsum([0, *(len(plane) for plane in layout.shapes)]).tolist()
        self._frames = frames
        self._num_read = 0
        self._last_use = {index: place for place, frame in enumerate(frames) for index in frame.references}
        self._features: dict[int, Any] = {}  # of frames that later ones need, by display index
        if first is not None:
            bands = [np.ascontiguousarray(band, dtype=np.int32) for plane in first for band in plane]
            self._features[0] = self._slice.features_of(bands)
        self._unused: list[Any] = []

    def read(self) -> SliceSymbols:
        """The next frame.

        Raises:
            CorruptSegmentError: the payload is damaged.
            ValueError: the network is not one of subbands.
            IndexError: there are no more frames.
        """
        place, frame = self._num_read, self._frames[self._num_read]
        own = self._unused.pop() if self._unused else self._slice.new_features()
        try:
            bands = native.extension().read_slice(
                self._coder.handle,
                native.sparse_tables(),
                self._network,
                native_signs(),
                self._slice,
                frame.depth,
                [self._features[index] for index in frame.references],
                own,
                native.isa(),
            )
        except native.extension().Corrupt as error:
            raise CorruptSegmentError(str(error)) from None
        self._num_read += 1
        self._features[frame.index] = own
        for index in {frame.index, *frame.references}:
            if self._last_use.get(index, -1) <= place:
                self._unused.append(self._features.pop(index))
        return [bands[start:end] for start, end in pairwise(self._starts)]

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
        self._network = native_network(network)
        self._shape = shape

    def read(self, frame: CodedFrame, earlier: EarlierMotion | None) -> MotionField:
        """The field of the next frame that has references, of int32.

        Raises:
            CorruptSegmentError: the payload is damaged.
            ValueError: the network is not one of motion, or the first reference is not an earlier one.
        """
        try:
            vectors, modes, splits, offsets, unit = native.extension().read_motion(
                self._coder.handle,
                native.sparse_tables(),
                self._network,
                self._shape,
                frame.depth,
                _times(frame),
                native_earlier(frame, earlier),
                native.isa(),
            )
        except native.extension().Corrupt as error:
            raise CorruptSegmentError(str(error)) from None
        return MotionField(vectors, modes, splits, offsets, unit)

    def finish(self) -> None:
        """Raise CorruptSegmentError unless everything has been read."""
        self._coder.finish()


def _times(frame: CodedFrame) -> list[int]:
    return [frame.index - index for index in frame.references]


def native_earlier(frame: CodedFrame, earlier: EarlierMotion | None) -> Any:
    """What is known of a frame's motion, as the extension takes it; None where that is nothing."""
    if earlier is None:
        return None
    vectors, modes = as_int32(earlier.field.vectors, "vectors"), as_int32(earlier.field.modes, "modes")
    return native.extension().EarlierMotion(vectors, modes, _times(earlier.frame), earlier.reference)


def list_symbols(field: MotionField, frame: CodedFrame, earlier: EarlierMotion | None) -> MotionSymbols:
    """`hybrid.motion_symbols.to_symbols`.

    Raises:
        ValueError: an array has the wrong shape, or something in it is out of range.
    """
    return MotionSymbols(
        *native.extension().list_motion(
            as_int32(field.vectors, "vectors"),
            as_int32(field.modes, "modes"),
            as_int32(field.splits, "splits"),
            as_int32(field.offsets, "offsets"),
            field.unit,
            _times(frame),
            native_earlier(frame, earlier),
            native.isa(),
        )
    )


def read_slice(
    coder: bytes | native.NativeReader,
    network: ContextNetwork,
    layout: SliceLayout,
    frames: Sequence[CodedFrame],
    first: Callable[[], FrameSymbols] | None = None,
) -> Iterator[SliceSymbols]:
    """`hybrid.payload.read_slice`: one slice of all frames, each read when it is asked for.

    Raises:
        CorruptSegmentError: the payload does not decode, or has something left after the last frame.
    """
    reader = SliceReader(coder, network, layout, frames, None if first is None else first())
    for place in range(len(frames)):
        symbols = reader.read()
        if place == len(frames) - 1:
            reader.finish()
        yield symbols


def read_motion(
    coder: native.NativeReader, network: ContextNetwork, shape: tuple[int, int], frames: Sequence[CodedFrame]
) -> Iterator[MotionField | None]:
    """`hybrid.symbol_coding.read_frames_motion`: the fields of all frames, each read when it is asked for.

    Raises:
        CorruptSegmentError: the payload does not decode, or has something left after the last field.
    """
    reader = MotionReader(coder, network, shape)
    return read_fields(reader.read, reader.finish, frames)


@cache
def native_signs() -> Any:
    """The network of signs as the extension takes it, handed over once."""
    network = sign_network()
    return native.extension().SignNetwork(network.first.astype(np.int32), network.last.astype(np.int32))


@lru_cache(maxsize=8)
def native_network(network: ContextNetwork) -> Any:
    """A network as the extension takes it. Raises CorruptSegmentError where its sums may overflow."""
    network.check()
    return native.extension().ContextNetwork(
        *(np.ascontiguousarray(array, dtype=np.int32) for array in network.arrays())
    )
