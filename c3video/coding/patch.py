# SPDX-License-Identifier: MIT
"""One patch <-> bytes: precisions and windows, then weights and latents in one coder payload.

4 bytes   WeightCode of the entropy networks
4 bytes   WeightCode of the synthesis
2 bytes   corner (y, x) of the previous-frame window, for each grid that has one
rest      coder payload: weights, then latent grids in the order of the configuration
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video.coding.latents import code_grid
from c3video.coding.rangecoder import Coder, SymbolReader, SymbolWriter
from c3video.coding.weights import NETWORKS, WeightCode, code_weights
from c3video.config import ModelConfig
from c3video.errors import CorruptSegmentError
from c3video.model.patch_model import PatchModel
from c3video.model.tables import residual_bits

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class PatchBits:
    """Where a patch's bits went, by the tables; `overhead` is what the bytes hold beyond that."""

    weights: dict[str, float]
    grids: tuple[float, ...]
    overhead: float


@dataclass(frozen=True)
class CodedPatch:
    """A patch as integers, with its bytes' accounting."""

    model: PatchModel
    symbols: tuple[IntArray, ...]
    bits: PatchBits


def encode_patch(
    model: PatchModel, codes: dict[str, WeightCode], symbols: Sequence[IntArray]
) -> tuple[bytes, PatchBits]:
    """Bytes of a patch and their accounting. `symbols`: per grid (t, h, w)."""
    side = b"".join(codes[network].to_bytes() for network in NETWORKS)
    side += b"".join(bytes(window) for window in model.windows if window is not None)
    coder = SymbolWriter()
    code_weights(coder, model.config, model.num_channels, codes, model.layers)
    weight_bits = coder.estimated_bits
    grid_bits = _code_grids(coder, model, [grid.shape for grid in symbols], symbols)[1]
    data = side + coder.finish()
    return data, _account(data, model, codes, weight_bits, grid_bits)


def decode_patch(data: bytes, config: ModelConfig, num_channels: int, shape: tuple[int, int, int]) -> CodedPatch:
    """The integers of a patch of `shape` (T, H, W) cells.

    Raises:
        CorruptSegmentError: the bytes are too few, out of range or do not decode to their end.
    """
    side_size = 4 * len(NETWORKS) + 2 * sum(grid.previous_window for grid in config.grids)
    if len(data) < side_size:
        raise CorruptSegmentError(f"patch of {len(data)} bytes: at least {side_size} are needed")
    codes = {network: WeightCode.from_bytes(data[4 * i : 4 * i + 4]) for i, network in enumerate(NETWORKS)}
    windows = _read_windows(data[4 * len(NETWORKS) : side_size], config)
    coder = SymbolReader(data[side_size:])
    layers = code_weights(coder, config, num_channels, codes, None)
    weight_bits = coder.estimated_bits
    model = PatchModel(config, num_channels, layers, windows)
    symbols, grid_bits = _code_grids(coder, model, [grid.shape(*shape) for grid in config.grids], None)
    coder.finish()
    return CodedPatch(model, symbols, _account(data, model, codes, weight_bits, grid_bits))


def _code_grids(
    coder: Coder, model: PatchModel, shapes: Sequence[tuple[int, ...]], symbols: Sequence[IntArray] | None
) -> tuple[tuple[IntArray, ...], tuple[float, ...]]:
    coded, bits = [], []
    for index, (t, h, w) in enumerate(shapes):
        before = coder.estimated_bits
        given = symbols[index] if symbols is not None else None
        layers = model.entropy_layers(index)
        coded.append(code_grid(coder, model.config, layers, (t, h, w), model.windows[index], given))
        bits.append(coder.estimated_bits - before)
    return tuple(coded), tuple(bits)


def _read_windows(data: bytes, config: ModelConfig) -> tuple[tuple[int, int] | None, ...]:
    largest = config.previous_range - config.previous_size
    if data and max(data) > largest:
        raise CorruptSegmentError(f"previous-frame window at {max(data)}: must be 0..{largest}")
    corners = iter(zip(data[::2], data[1::2], strict=True))
    return tuple(next(corners) if grid.previous_window else None for grid in config.grids)


def _account(
    data: bytes,
    model: PatchModel,
    codes: dict[str, WeightCode],
    weight_bits: float,
    grid_bits: tuple[float, ...],
) -> PatchBits:
    # The two networks share the coder, so the tables split their sum.
    parts = dict.fromkeys(NETWORKS, 0.0)
    for layer in model.layers:
        code = codes[layer.spec.network]
        for values, scale in ((layer.weight, code.weight_scale), (layer.bias, code.bias_scale)):
            parts[layer.spec.network] += residual_bits(scale, 0, values.ravel())
    return PatchBits(parts, grid_bits, 8.0 * len(data) - weight_bits - sum(grid_bits))
