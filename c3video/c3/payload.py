# SPDX-License-Identifier: MIT
"""One patch <-> bytes: precisions and windows, then weights and latents in one coder payload.

4 bytes   WeightCode of the entropy networks
4 bytes   WeightCode of the synthesis
2 bytes   corner (y, x) of the previous-frame window, for each grid that has one, if it has places to choose from
rest      coder payload: weights, then latent grids in the order of the configuration
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from c3video.c3.config import C3Config
from c3video.c3.grid_coding import code_grid
from c3video.c3.patch_model import PatchModel
from c3video.c3.weight_coding import NETWORKS, WeightCode, code_weights
from c3video.coding.rangecoder import Reader, SymbolReader, SymbolWriter
from c3video.coding.tables import residual_bits
from c3video.errors import CorruptSegmentError

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class PatchBits:
    """Where a patch's bits went, by the tables; `overhead` is what the bytes hold beyond that."""

    weights: dict[str, float]
    grids: tuple[float, ...]
    overhead: float

    def by_part(self) -> dict[str, float]:
        """The figures by name."""
        parts = {f"grid {index}": bits for index, bits in enumerate(self.grids)}
        parts |= {f"{network} weights": bits for network, bits in self.weights.items()}
        return parts | {"patch overhead": self.overhead}


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
    if model.config.windows_move:
        side += b"".join(bytes(window) for window in model.windows if window is not None)
    coder = SymbolWriter()
    code_weights(coder, model.config, model.num_channels, codes, model.layers)
    weight_bits = coder.estimated_bits
    grid_bits = []
    for index, grid in enumerate(symbols):
        before = coder.estimated_bits
        t, h, w = grid.shape
        code_grid(coder, model.config, model.entropy_layers(index), (t, h, w), model.windows[index], grid)
        grid_bits.append(coder.estimated_bits - before)
    data = side + coder.finish()
    return data, _account(data, model, codes, weight_bits, tuple(grid_bits))


def decode_patch(
    data: bytes,
    config: C3Config,
    num_channels: int,
    shape: tuple[int, int, int],
    open_reader: Callable[[bytes], Reader] = SymbolReader,
    decode_grid: Callable[..., IntArray] = code_grid,
) -> CodedPatch:
    """The integers of a patch of `shape` (T, H, W) cells. The reader and its walk are an engine's (engine.py).

    Raises:
        CorruptSegmentError: the bytes are too few, out of range or do not decode to their end.
    """
    num_corners = sum(grid.previous_window for grid in config.grids) if config.windows_move else 0
    side_size = 4 * len(NETWORKS) + 2 * num_corners
    if len(data) < side_size:
        raise CorruptSegmentError(f"patch of {len(data)} bytes: at least {side_size} are needed")
    codes = {network: WeightCode.from_bytes(data[4 * i : 4 * i + 4]) for i, network in enumerate(NETWORKS)}
    windows = _read_windows(data[4 * len(NETWORKS) : side_size], config)
    coder = open_reader(data[side_size:])
    layers = code_weights(coder, config, num_channels, codes, None)
    accounts = [coder.estimated_bits]  # after the weights, then after each grid
    model = PatchModel(config, num_channels, layers, windows)
    symbols = []
    for index, grid in enumerate(config.grids):
        symbols.append(decode_grid(coder, config, model.entropy_layers(index), grid.shape(*shape), windows[index]))
        accounts.append(coder.estimated_bits)
    coder.finish()
    bits = _account(data, model, codes, accounts[0], tuple(np.diff(accounts).tolist()))
    return CodedPatch(model, tuple(symbols), bits)


def _read_windows(data: bytes, config: C3Config) -> tuple[tuple[int, int] | None, ...]:
    if not config.windows_move:
        return tuple((0, 0) if grid.previous_window else None for grid in config.grids)
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
