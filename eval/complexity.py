# SPDX-License-Identifier: MIT
"""What decoding costs: multiply-adds a pixel by part, counted from the model.

    C3 model: entropy networks + interpolation of the latents + synthesis
    hybrid model: context networks + motion compensation + wavelet

Counted are the multiplications of a decoder that does what docs/c3v.md says and takes no shortcut; latents whose
context is all zero, say, need none. A pixel is a luma sample, so that a synthesis that runs once a cell of 2x2 counts a
quarter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from c3video.c3.patch_model import LayerSpec, layer_specs
from c3video.config import C3Config, HybridConfig, LatentGrid
from c3video.hybrid import motion_symbols, subbands
from c3video.hybrid.compensation import TAPS
from c3video.hybrid.context_network import FIRST_WIDTH, SECOND_WIDTH
from c3video.video import LAYOUTS, PixelLayout


@dataclass(frozen=True)
class Macs:
    """Multiply-adds a pixel of a large patch of the C3 model, where no grid's size is rounded up.

    Args:
        entropy: of each latent grid's entropy network.
        interpolation: of all grids' upsampling to the cells.
        pointwise: of the synthesis's pointwise layers.
        residual: of its residual convolutions.
    """

    entropy: tuple[float, ...]
    interpolation: float
    pointwise: float
    residual: float

    @property
    def without_interpolation(self) -> float:
        """What the paper calls MACs without upsampling."""
        return sum(self.entropy) + self.pointwise + self.residual

    @property
    def total(self) -> float:
        return self.without_interpolation + self.interpolation

    def by_part(self) -> dict[str, float]:
        """The figures by name."""
        parts = {f"entropy, grid {index}": value for index, value in enumerate(self.entropy)}
        return parts | {
            "interpolation": self.interpolation,
            "synthesis, pointwise": self.pointwise,
            "synthesis, residual": self.residual,
        }


@dataclass(frozen=True)
class FrameMacs:
    """Multiply-adds a pixel of a large frame of the hybrid model, all blocks from two references: the most there is.

    Args:
        subbands: of the context network that all subband symbols go through.
        motion: of that of motion symbols.
        compensation: interpolation at eighths of a sample, and the blending of overlapping blocks.
        wavelet: dequantisation and lifting.
    """

    subbands: float
    motion: float
    compensation: float
    wavelet: float

    @property
    def total(self) -> float:
        return self.subbands + self.motion + self.compensation + self.wavelet

    def by_part(self) -> dict[str, float]:
        """The figures by name."""
        return {
            "context network, subbands": self.subbands,
            "context network, motion": self.motion,
            "motion compensation": self.compensation,
            "wavelet": self.wavelet,
        }


def macs_per_pixel(model: C3Config | HybridConfig, pix_fmt: str) -> Macs | FrameMacs:
    """Multiply-adds to decode one pixel.

    Args:
        model: shapes of the model.
        pix_fmt: of what is coded, which says how many samples a cell has and how many pixels it covers.
    """
    return frame_macs(model, pix_fmt) if isinstance(model, HybridConfig) else patch_macs(model, pix_fmt)


def frame_macs(model: HybridConfig, pix_fmt: str) -> FrameMacs:
    """Multiply-adds of the hybrid model."""
    layout = LAYOUTS[pix_fmt]
    samples = sum(_samples_per_pixel(layout, plane) for plane in range(len(layout.planes)))
    compensation = wavelet = 0.0
    for plane, shifts in enumerate(layout.planes):
        share = _samples_per_pixel(layout, plane)
        compensation += share * _compensation(model.block_size >> shifts[0])
        # A level lifts a quarter of the samples of the finer one, along both axes, with two products a sample and axis.
        wavelet += share * (1 + sum(4 / 4**level for level in range(subbands.plane_levels(shifts))))
    # A block has a mode and two vectors.
    motion = 5 * _context_network(motion_symbols.NUM_INPUTS) / model.block_size**2
    return FrameMacs(samples * _context_network(subbands.NUM_INPUTS), motion, compensation, wavelet)


def _samples_per_pixel(layout: PixelLayout, plane: int) -> float:
    return 2.0 ** -sum(layout.planes[plane])


def _context_network(num_inputs: int) -> int:
    """Of one application."""
    return num_inputs * FIRST_WIDTH + FIRST_WIDTH * SECOND_WIDTH + SECOND_WIDTH * 2


def _compensation(height: int) -> float:
    """Multiplications a sample of a plane whose blocks have that height.

    A sample lies in the windows of four blocks, each twice a block wide and high. A window is interpolated from two
    references, first along rows, also of the rows that the taps reach beyond it, then along columns; then it is
    weighted.
    """
    num_taps = TAPS.shape[1]
    rows = (2 * height + num_taps - 1) / (2 * height)
    return 4 * (2 * num_taps * (rows + 1) + 1)


def patch_macs(model: C3Config, pix_fmt: str) -> Macs:
    """Multiply-adds of the C3 model.

    Source:
        The same rules as google-deepmind/c3_neural_compression, `utils/macs.py`, but for two: a grid's share is not
        rounded down to whole MACs, and interpolation is counted as it is done here, axis by axis with two products
        each, where the reference counts 16 for each grid that is upsampled.
    """
    layout = LAYOUTS[pix_fmt]
    pixels = layout.cell_height * layout.cell_width
    entropy = [0.0] * len(model.grids)
    pointwise = residual = 0.0
    for spec in layer_specs(model, layout.num_cell_channels):
        macs = _multiplications(spec) / pixels
        if spec.network == "entropy":
            entropy[spec.grid] += macs * latents_per_cell(model.grids[spec.grid])
        elif len(spec.weight_shape) == 2:
            pointwise += macs
        else:
            residual += macs
    interpolation = sum(map(_interpolation, model.grids)) / pixels
    return Macs(tuple(entropy), interpolation, pointwise, residual)


def latents_per_cell(grid: LatentGrid) -> float:
    """How many latents of a grid there are for each cell."""
    return 2.0 ** -(grid.time_exponent + 2 * grid.space_exponent)


def _multiplications(spec: LayerSpec) -> int:
    """Of one application of a layer: each weight once."""
    return math.prod(spec.weight_shape)


def _interpolation(grid: LatentGrid) -> float:
    """Multiplications a cell to upsample a grid: two for each value made, along time, then height, then width."""
    narrow = 2.0**-grid.space_exponent
    time = 2.0 * narrow * narrow if grid.time_exponent else 0.0
    space = 2.0 * narrow + 2.0 if grid.space_exponent else 0.0
    return time + space
