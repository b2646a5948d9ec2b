# SPDX-License-Identifier: MIT
"""A picture <-> bytes (docs/c3v_pyramid.md, section 2).

1 byte            number of the prior
varint, payload   of each patch but the last, row by row: symbols of its grids, coarse to fine
payload           of the last patch, to the end of the bytes

Grids of latents lie in lists: those of samples, finest first, then the hyper grids, finest first; a payload has them
from the last to the first. The first payload begins with the weights: gains, and what each array differs from the prior
by (differences.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3video.coding.arithmetic import FloatArray
from c3video.coding.rangecoder import Coder, SymbolReader, SymbolWriter
from c3video.coding.tables import NUM_SCALES, best_scale
from c3video.coding.varint import read_varint, write_varint
from c3video.errors import ConfigError, CorruptSegmentError
from c3video.pyramid.config import PyramidConfig, latent_shapes
from c3video.pyramid.contexts import as_context, as_hyper_context, enlarge, parent_inputs, plan_walk, previous_inputs
from c3video.pyramid.differences import MAX_SHIFT, Difference, difference_scales, weights_from
from c3video.pyramid.entropy import predict
from c3video.pyramid.priors import prior_of
from c3video.pyramid.runs import Windows
from c3video.pyramid.synthesis import layout_key
from c3video.pyramid.weights import UNIT_GAIN, PyramidWeights
from c3video.video import VideoFormat

IntArray = NDArray[np.int64]

MAX_SYMBOL = 32767
"""Latents lie in +-MAX_SYMBOL; a decoder clips what a damaged payload says."""

GAIN_SCALE, FLAG_SCALE, CODE_SCALE, INDEX_SCALE = 20, 20, 34, 42
"""Scale indexes of the tables of gains (less UNIT_GAIN), of the flag (less 1), of arrays' codes and of scale indexes
(less these origins)."""
CODE_ORIGIN, INDEX_ORIGIN = 7, 44


@dataclass(frozen=True)
class PictureBits:
    """Where a picture's bits went, by the tables.

    Args:
        weights: of gains and of the differences of each part, with what says how they are coded.
        grids: of the latents of each grid.
        overhead: what the bytes hold beyond that.
        num_hyper: how many of the grids, the last ones, are hyper grids.
    """

    weights: dict[str, float]
    grids: tuple[float, ...]
    overhead: float
    num_hyper: int = 0

    def by_part(self) -> dict[str, float]:
        """The figures by name."""
        num_grids = len(self.grids) - self.num_hyper
        parts = {f"grid {index}": bits for index, bits in enumerate(self.grids[:num_grids])}
        parts |= {f"hyper grid {index}": bits for index, bits in enumerate(self.grids[num_grids:])}
        parts |= {f"{part} weights": bits for part, bits in self.weights.items()}
        return parts | {"picture overhead": self.overhead}


@dataclass(frozen=True, eq=False)
class FrameBefore:
    """What a latent frame after the first knows of the one before it in its layer.

    Args:
        grids: its latents (h, w), or None for zeros.
        windows: (y, x) of each resolution, the finest first.
    """

    grids: Sequence[NDArray[Any]] | None
    windows: Windows

    def in_patch(self, place: PatchPlace) -> FrameBefore:
        """The same for one patch."""
        if self.grids is None:
            return self
        return replace(self, grids=[grid[part] for grid, part in zip(self.grids, place.slices, strict=True)])

    def inputs(self, grid: int, shape: tuple[int, int], config: PyramidConfig) -> FloatArray:
        """`previous_inputs` of a grid."""
        previous = None if self.grids is None else self.grids[grid]
        return previous_inputs(shape, previous, self.windows[config.levels[grid]], config.num_previous)


@dataclass(frozen=True)
class CodedPicture:
    """A picture as integers.

    Args:
        symbols: latents of each grid (h, w).
    """

    weights: PyramidWeights
    symbols: tuple[NDArray[Any], ...]
    bits: PictureBits


@dataclass(frozen=True)
class PatchPlace:
    """Where a patch's parts of the grids lie: (rows, columns) of each grid."""

    slices: tuple[tuple[slice, slice], ...]

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(h, w) of each part."""
        return [(y.stop - y.start, x.stop - x.start) for y, x in self.slices]


def patch_places(config: PyramidConfig, height: int, width: int) -> list[PatchPlace]:
    """The patches of a picture, row by row."""
    shapes = latent_shapes(config, height, width)

    def part(start: int, level: int, size: int) -> slice:
        return slice(start >> level, min((start + config.patch_size) >> level, size))

    return [
        PatchPlace(tuple((part(top, k, h), part(left, k, w)) for k, (h, w) in zip(config.levels, shapes, strict=True)))
        for top in range(0, height, config.patch_size)
        for left in range(0, width, config.patch_size)
    ]


def _bits_of(coder: Coder) -> float:
    """What the tables promise for all that a coder has coded, or what it took of the payload; 0 of one that counts no
    bits."""
    return getattr(coder, "estimated_bits", 0.0)


def code_number(coder: Coder, value: int | None, scale: int, low: int, high: int, what: str, origin: int = 0) -> int:
    """Code a number as the residual to `origin` of a table; `value` is what to write, or None.

    Raises:
        CorruptSegmentError: the number is not in low..high.
    """
    given = None if value is None else np.array([value - origin])
    found = origin + int(coder.code(np.array([scale]), np.array([0]), given)[0])
    if not low <= found <= high:
        raise CorruptSegmentError(f"{what} = {found}: must be in {low}..{high}")
    return found


def code_weights(
    coder: Coder,
    config: PyramidConfig,
    layout: str,
    weights: PyramidWeights | None,
    differences: Mapping[str, Difference] | None,
) -> tuple[PyramidWeights, dict[str, float]]:
    """Code gains and differences to the prior.

    An array's code is 0 where it equals the prior, else 1 + its shift; the scale index of the array follows, then its
    differences or coefficients in C order, each under the table of `difference_scales`.

    Args:
        weights: what to write; ignored by a reader.
        differences: of arrays of the weights; those of others are plain, with a shift of 0.

    Returns:
        the weights, and bits by part.

    Raises:
        ConfigError: differences that do not make the weights.
        CorruptSegmentError: weights that a decoder could not compute with.
    """
    prior = prior_of(config, layout)
    bits = dict.fromkeys(("gain", "entropy", "upsampling", "synthesis"), 0.0)

    def code(values: IntArray | None, scales: IntArray) -> IntArray:
        return coder.code(scales, np.zeros_like(scales), values)

    def number(value: int | None, scale: int, origin: int, low: int, high: int, what: str) -> int:
        return code_number(coder, value, scale, low, high, what, origin)

    gains = tuple(
        number(None if weights is None else weights.gains[k], GAIN_SCALE, UNIT_GAIN, 1, 255, f"gain of grid {k}")
        for k in range(config.num_grids)
    )
    bits["gain"] = _bits_of(coder)
    if not number(
        None if weights is None else int(weights.differ(prior.arrays)), FLAG_SCALE, 1, 0, 1, "flag of differences"
    ):
        return PyramidWeights(config, layout, prior.arrays, gains), bits
    arrays = {}
    for name, start in prior.arrays.items():
        before = _bits_of(coder)
        given = None
        if weights is not None:
            given = (differences or {}).get(name) or Difference(0, weights.arrays[name] - start)
        changed = None if given is None else int(given.values.any()) * (given.shift + 1)
        changed = number(changed, CODE_SCALE, CODE_ORIGIN, 0, MAX_SHIFT + 1, f"code of {name}")
        arrays[name] = start
        if changed:
            scale = None if given is None else best_scale(given.values, prior.spreads[name])[0]
            scale = number(scale, INDEX_SCALE, INDEX_ORIGIN, 0, NUM_SCALES - 1, f"scale index of {name}")
            scales = difference_scales(prior, name, scale).ravel()
            values = code(None if given is None else given.values.ravel(), scales).reshape(start.shape)
            arrays[name] = weights_from(prior, name, Difference(changed - 1, values))
        if weights is not None and not np.array_equal(arrays[name], weights.arrays[name]):
            raise ConfigError(f"differences of {name}: do not make its weights")
        part = "upsampling" if name in ("u", "f") else "synthesis" if "." in name else "entropy"
        bits[part] += _bits_of(coder) - before
    return PyramidWeights(config, layout, arrays, gains), bits


def code_patch(
    coder: Coder,
    weights: PyramidWeights,
    shapes: Sequence[tuple[int, int]],
    symbols: Sequence[NDArray[Any]] | None = None,
    before: FrameBefore | None = None,
) -> tuple[list[IntArray], list[float]]:
    """Code a patch's latents, hyper grids first, coarse to fine, each grid wave by wave.

    Args:
        shapes: (h, w) of the patch's part of each grid.
        symbols: what to write; ignored by a reader.
        before: of a latent frame after the first, its parts in the patch.

    Returns:
        the parts of the grids, those given or those read, and the bits of each.
    """
    config = weights.config
    found: list[IntArray] = [np.zeros(shape, dtype=np.int64) for shape in shapes]
    bits = [0.0] * len(shapes)
    hyper: dict[int, FloatArray] = {}  # hyper grids at the resolution of the grid in hand, by their own
    for k in range(len(shapes) - 1, -1, -1):
        so_far = _bits_of(coder)
        walk = plan_walk(config, shapes[k])
        is_hyper, level = k >= config.num_grids, config.levels[k]
        end = len(shapes) if is_hyper else config.num_grids
        parts = [parent_inputs(shapes[k], *(found[j] if j < end else None for j in (k + 1, k + 2)))]
        if before is not None:
            parts.insert(0, before.inputs(k, shapes[k], config))
        if not is_hyper:
            hyper = {own: enlarge(plane, shapes[k]) for own, plane in hyper.items()}
        for index, own in enumerate(config.hyper_levels, config.num_grids):
            if own == level and not is_hyper:
                hyper[own] = as_hyper_context(found[index])
            parts.append(hyper[own][None] if own in hyper else np.zeros((1, *shapes[k])))
        known = np.concatenate(parts)
        latents = walk.empty()
        for rows, columns, contexts in walk.contexts(latents, known):
            steps, fractions, scales = predict(contexts, weights, k, is_later=before is not None)
            given = None if symbols is None else symbols[k][rows, columns].astype(np.int64) - steps
            values = np.clip(coder.code(scales, fractions, given) + steps, -MAX_SYMBOL, MAX_SYMBOL)
            found[k][rows, columns] = values
            latents[walk.places(rows, columns)] = as_context(values)
        bits[k] = _bits_of(coder) - so_far
    return found, bits


def encode_picture(
    weights: PyramidWeights,
    symbols: Sequence[NDArray[Any]],
    video: VideoFormat,
    differences: Mapping[str, Difference] | None = None,
    writing: PatchWriting | None = None,
    num_threads: int = 1,
) -> tuple[bytes, PictureBits]:
    """Bytes of a picture and their accounting.

    Args:
        symbols: latents of each grid (h, w).
        differences: by array, what makes its weights of the prior's; without, its weights less those.
        writing: what writes patches, NUMPY_WRITING if None; all write the same bytes.
        num_threads: patches written at the same time.

    Raises:
        ConfigError: shapes, symbols or differences that do not fit.
    """
    writing = writing or NUMPY_WRITING
    config = weights.config
    check_latents(weights, symbols, video)
    places = patch_places(config, video.height, video.width)
    coders = [writing.open_writer() for _ in places]
    _, weight_bits = code_weights(coders[0], config, weights.layout, weights, differences)
    grid_bits = writing.write_patches(coders, weights, places, symbols, None, num_threads)
    data = join_payloads(config.prior, [coder.finish() for coder in coders])
    return data, account(data, weight_bits, grid_bits, config.num_hyper)


def check_latents(weights: PyramidWeights, symbols: Sequence[NDArray[Any]], video: VideoFormat) -> None:
    """Raise ConfigError where latents (h, w) of the grids, or weights, are not those of such a picture."""
    shapes = latent_shapes(weights.config, video.height, video.width)
    if [grid.shape for grid in symbols] != shapes:
        raise ConfigError(f"grids of shapes {[grid.shape for grid in symbols]}: must be {shapes}")
    largest = max(int(np.abs(grid).max(initial=0)) for grid in symbols)
    if largest > MAX_SYMBOL:
        raise ConfigError(f"latent {largest}: must be in -{MAX_SYMBOL}..{MAX_SYMBOL}")
    if weights.layout != layout_key(video.layout):
        raise ConfigError(f"weights of layout {weights.layout} for {video.pix_fmt}")


def join_payloads(prior: int, payloads: Sequence[bytes]) -> bytes:
    """The number of the prior and the payload of each patch as bytes."""
    return bytes([prior]) + b"".join(write_varint(len(payload)) + payload for payload in payloads[:-1]) + payloads[-1]


def account(
    data: bytes, weight_bits: dict[str, float], grid_bits: Sequence[float] | NDArray[np.float64], num_hyper: int
) -> PictureBits:
    """Where the bits of `data` went."""
    grids = tuple(float(bits) for bits in grid_bits)
    return PictureBits(weight_bits, grids, 8.0 * len(data) - sum(weight_bits.values()) - sum(grids), num_hyper)


def split_payloads(data: bytes, num_patches: int) -> tuple[int, list[bytes]]:
    """The number of the prior and the payload of each patch.

    Raises:
        CorruptSegmentError: the bytes are too few.
    """
    if not data:
        raise CorruptSegmentError("picture of 0 bytes: at least 1 is needed")
    at, payloads = 1, []
    for index in range(num_patches - 1):
        try:
            size, at = read_varint(data, at)
        except ValueError as error:
            raise CorruptSegmentError(f"size of patch {index} at byte {at} of {len(data)}: {error}") from None
        if at + size > len(data):
            raise CorruptSegmentError(f"patch {index} at byte {at} of {len(data)}: {size} bytes are needed")
        payloads.append(data[at : at + size])
        at += size
    return data[0], [*payloads, data[at:]]


@dataclass(frozen=True)
class PatchReading:
    """What reads patches: the NumPy of this file, or the extension.

    Args:
        open_reader: payload -> coder.
        read_patches: (coders, weights, places, before, num_threads) -> the grids (h, w) of a latent frame, and bits of
            each.
    """

    open_reader: Callable[[bytes], Any]
    read_patches: Callable[
        [Sequence[Any], PyramidWeights, Sequence[PatchPlace], FrameBefore | None, int],
        tuple[list[NDArray[Any]], list[float]],
    ]


def read_patches(
    coders: Sequence[Any],
    weights: PyramidWeights,
    places: Sequence[PatchPlace],
    before: FrameBefore | None,
    num_threads: int,
) -> tuple[list[NDArray[Any]], list[float]]:
    """All latents of a latent frame, one patch after the other. `num_threads` changes nothing.

    Returns:
        grids (h, w); bits of each.
    """
    last = places[-1].slices
    grids: list[NDArray[Any]] = [np.zeros((y.stop, x.stop), dtype=np.int64) for y, x in last]
    total = np.zeros(len(grids))
    for coder, place in zip(coders, places, strict=True):
        parts, bits = code_patch(coder, weights, place.shapes, None, before and before.in_patch(place))
        total += bits
        for grid, rows_columns, part in zip(grids, place.slices, parts, strict=True):
            grid[rows_columns] = part
    return grids, total.tolist()


NUMPY = PatchReading(SymbolReader, read_patches)


@dataclass(frozen=True)
class PatchWriting:
    """What writes patches, likewise.

    Args:
        open_writer: -> coder.
        write_patches: (coders, weights, places, grids, before, num_threads) -> bits of each grid.
    """

    open_writer: Callable[[], Any]
    write_patches: Callable[
        [Sequence[Any], PyramidWeights, Sequence[PatchPlace], Sequence[NDArray[Any]], FrameBefore | None, int],
        list[float],
    ]


def write_patches(
    coders: Sequence[Any],
    weights: PyramidWeights,
    places: Sequence[PatchPlace],
    symbols: Sequence[NDArray[Any]],
    before: FrameBefore | None,
    num_threads: int,
) -> list[float]:
    """All latents of a latent frame (grids (h, w)), patch by patch. `num_threads` changes nothing."""
    total = np.zeros(len(symbols))
    for coder, place in zip(coders, places, strict=True):
        parts = [grid[rows_columns] for grid, rows_columns in zip(symbols, place.slices, strict=True)]
        total += code_patch(coder, weights, place.shapes, parts, before and before.in_patch(place))[1]
    return total.tolist()


NUMPY_WRITING = PatchWriting(SymbolWriter, write_patches)


def decode_picture(
    data: bytes, config: PyramidConfig, video: VideoFormat, reading: PatchReading = NUMPY, num_threads: int = 1
) -> CodedPicture:
    """The integers of a picture.

    Args:
        config: shapes; the prior's number is that of the bytes.

    Raises:
        CorruptSegmentError: the bytes are too few, out of range or do not decode to their end.
    """
    places = patch_places(config, video.height, video.width)
    prior, payloads = split_payloads(data, len(places))
    coders = [reading.open_reader(payload) for payload in payloads]
    layout = layout_key(video.layout)
    weights, weight_bits = code_weights(coders[0], replace(config, prior=prior), layout, None, None)
    grids, grid_bits = reading.read_patches(coders, weights, places, None, num_threads)
    for coder in coders:
        coder.finish()
    return CodedPicture(weights, tuple(grids), account(data, weight_bits, grid_bits, config.num_hyper))
