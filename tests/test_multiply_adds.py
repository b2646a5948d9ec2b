# SPDX-License-Identifier: MIT
"""Multiply-adds against counts made by hand, and the reference's count of the paper's model."""

from __future__ import annotations

import math

import pytest

from c3video.c3.config import C3Config, LatentGrid, isotropic_grids
from c3video.c3.multiply_adds import PatchMultiplyAdds, latents_per_cell, patch_multiply_adds
from c3video.c3.patch_model import layer_specs
from c3video.config import model_config
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.multiply_adds import frame_multiply_adds
from c3video.models import multiply_adds
from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.multiply_adds import picture_multiply_adds

FLAT = C3Config(grids=tuple(LatentGrid(k, 0) for k in (5, 2)) + isotropic_grids(6, 3), residual_time_size=1)
"""With grids of full spatial resolution that span many frames, and a synthesis frame by frame."""


def test_one_full_grid_in_gray_by_hand() -> None:
    model = C3Config(
        grids=(LatentGrid(0, 0),),
        context_size=3,
        entropy_layers=(4,),
        synthesis_layers=(8,),
        residual_layers=1,
        residual_time_size=1,
    )
    macs = patch_multiply_adds(model, "gray")
    assert macs.entropy == (4 * 4 + 4 * 2,)  # 4 taps -> 4 -> (loc, scale), once a pixel
    assert macs.pointwise == 1 * 8 + 8 * 1
    assert macs.residual == 9
    assert macs.interpolation == 0  # nothing is coarser than the cells
    assert macs.total == macs.without_interpolation == 24 + 16 + 9


def test_chroma_of_420_costs_a_quarter_by_hand() -> None:
    model = C3Config(
        grids=(LatentGrid(0, 0), LatentGrid(1, 1, previous_window=True)),
        context_size=3,
        previous_size=2,
        entropy_layers=(4,),
        synthesis_layers=(),
        residual_layers=1,
        residual_time_size=3,
    )
    macs = patch_multiply_adds(model, "yuv420p")
    # A cell is 4 pixels; grid 1 has a latent for 8 cells, and 4 taps more.
    assert macs.entropy == (24 / 4, (8 * 4 + 4 * 2) / 8 / 4)
    assert macs.pointwise == 2 * 6 / 4
    assert macs.residual == 6 * 6 * 27 / 4
    # Grid 1, a cell: time makes (1/2)^2 values, height 1/2, width 1, of two products each.
    assert macs.interpolation == (2 * 0.25 + 2 * 0.5 + 2) / 4


def test_paper_configuration_has_the_published_count() -> None:
    macs = patch_multiply_adds(model_config("paper"), "gbrp")
    # The reference rounds each grid's share down: 400 + 50 + 6 + 0 + 0 + 0, and 1,312 + 486.
    assert sum(map(int, macs.entropy)) + macs.pointwise + macs.residual == 2254
    assert int(macs.without_interpolation) == 2254
    # It counts 16 for each upsampled grid, which makes the paper's 2.3 k.
    assert round(macs.without_interpolation + 16 * 5, -2) == 2300
    # Ours goes axis by axis.
    assert macs.interpolation == pytest.approx(sum(2 + 2 / 2**k + 2 / 4**k for k in range(1, 6)))


def test_a_shared_network_is_counted_for_each_grid_by_hand() -> None:
    macs = patch_multiply_adds(model_config("paper-shared"), "gbrp")
    network = (40 + 81) * 16 + 16 * 16 + 16 * 2  # 9x9 before, half of it now
    assert macs.entropy == tuple(network / 8**k for k in range(6))


@pytest.mark.parametrize("model", [model_config("paper"), FLAT], ids=["paper", "flat"])
@pytest.mark.parametrize(("pix_fmt", "channels", "pixels"), [("yuv420p", 6, 4), ("gbrp", 3, 1)])
def test_parts_add_up_to_every_weight_times_its_uses(model: C3Config, pix_fmt: str, channels: int, pixels: int) -> None:
    uses = {-1: 1.0} | {index: latents_per_cell(grid) for index, grid in enumerate(model.grids)}
    expected = sum(math.prod(s.weight_shape) * uses[s.grid] for s in layer_specs(model, channels)) / pixels
    macs = multiply_adds(model, pix_fmt)
    assert isinstance(macs, PatchMultiplyAdds)
    assert macs.without_interpolation == pytest.approx(expected)
    assert sum(macs.by_part().values()) == pytest.approx(macs.total)


def test_frame_model_in_gray_by_hand() -> None:
    macs = frame_multiply_adds(HybridConfig(), "gray")
    assert macs.subbands == 26 * 16 + 16 * 8 + 8 * 2 == 560  # as many symbols as samples
    # Cuts above a block, then its split, whether its motion is its own, its mode and two vectors.
    assert macs.motion == (1 / 16 + 1 / 4 + 7) * (8 * 16 + 16 * 8 + 8 * 2) / 256
    # Four windows of 32 x 32; 39 x 32 sums of 8 taps, then 32 x 32, from each of two references; one weight.
    assert macs.compensation == 4 * (2 * (8 * 39 / 32 + 8) + 1)
    # One to dequantise, then a quarter less each level: two a sample, along rows and along columns.
    assert macs.wavelet == 1 + 4 * (1 + 1 / 4 + 1 / 16 + 1 / 64 + 1 / 256)
    assert macs.filters == 24 * 12 + 12 * 8 + 8 + 24 == 416
    assert macs.total == pytest.approx(560 + 7.76953125 + 146 + 6.328125 + 416)
    assert macs.picture == picture_multiply_adds(PyramidConfig(), "gray")


def test_frame_model_in_420_by_hand() -> None:
    macs = frame_multiply_adds(HybridConfig(), "yuv420p")
    assert macs.subbands == 1.5 * 560
    luma, chroma = 4 * (2 * (8 * 39 / 32 + 8) + 1), 4 * (2 * (8 * 23 / 16 + 8) + 1)
    assert macs.compensation == luma + chroma / 2
    assert macs.wavelet == 1 + 4 * (1 + 1 / 4 + 1 / 16 + 1 / 64 + 1 / 256) + (1 + 4 * (1 + 1 / 4 + 1 / 16 + 1 / 64)) / 2
    assert sum(macs.by_part().values()) == pytest.approx(macs.total)
