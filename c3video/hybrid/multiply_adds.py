# SPDX-License-Identifier: MIT
"""What decoding predicted frames costs: multiply-adds a pixel by part, counted from the model.

Counted are the multiplications of a decoder that does what docs/c3v.md says and takes no shortcut; latents whose
context is all zero, say, need none. A pixel is a luma sample. Signs are left out: only symbols that are not zero have
one, 66 x 64 + 64 products each.
"""

from __future__ import annotations

from dataclasses import dataclass

from c3video.hybrid import loop_filter, motion_symbols, subbands
from c3video.hybrid.compensation import BLOCK_SIZE, TAPS
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.context_network import FIRST_WIDTH, SECOND_WIDTH
from c3video.pyramid.multiply_adds import PyramidMultiplyAdds, picture_multiply_adds
from c3video.video import LAYOUTS, PixelLayout


@dataclass(frozen=True)
class FrameMultiplyAdds:
    """Multiply-adds a pixel of a large frame of the hybrid model, the most there is.

    All blocks are predicted from two references, all planes are filtered.

    Args:
        subbands: of the context network that all subband symbols go through.
        motion: of that of motion symbols.
        compensation: interpolation at eighths of a sample, and the blending of overlapping blocks.
        wavelet: dequantisation and lifting.
        filters: of all planes.
        picture: of a first frame that is a picture of the pyramid model, which has none of the others.
    """

    subbands: float
    motion: float
    compensation: float
    wavelet: float
    filters: float
    picture: PyramidMultiplyAdds

    @property
    def total(self) -> float:
        return self.subbands + self.motion + self.compensation + self.wavelet + self.filters

    def by_part(self) -> dict[str, float]:
        """The figures by name."""
        return {
            "context network, subbands": self.subbands,
            "context network, motion": self.motion,
            "motion compensation": self.compensation,
            "wavelet": self.wavelet,
            "filters": self.filters,
        }


def frame_multiply_adds(model: HybridConfig, pix_fmt: str) -> FrameMultiplyAdds:
    """Multiply-adds of the hybrid model."""
    layout = LAYOUTS[pix_fmt]
    samples = sum(_samples_per_pixel(layout, plane) for plane in range(len(layout.planes)))
    compensation = wavelet = 0.0
    for plane, shifts in enumerate(layout.planes):
        share = _samples_per_pixel(layout, plane)
        compensation += share * _compensation(BLOCK_SIZE >> shifts[0])
        # A level lifts a quarter of the samples of the finer one, along both axes, with two products a sample and axis.
        wavelet += share * (1 + sum(4 / 4**level for level in range(subbands.plane_levels(shifts))))
    # The most that whole blocks ask for: cuts above a block, then its split, whether its motion is its own, its mode
    # and two vectors.
    motion = (1 / 16 + 1 / 4 + 7) * _context_network(motion_symbols.NUM_INPUTS) / BLOCK_SIZE**2
    symbols, picture = samples * _context_network(subbands.NUM_INPUTS), picture_multiply_adds(model.key, pix_fmt)
    return FrameMultiplyAdds(symbols, motion, compensation, wavelet, samples * _FILTER, picture)


_FILTER = (
    loop_filter.NUM_NEIGHBOURS * (loop_filter.FIRST_WIDTH + 1)
    + loop_filter.FIRST_WIDTH * loop_filter.SECOND_WIDTH
    + loop_filter.SECOND_WIDTH
)
"""Of a sample."""


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
