# SPDX-License-Identifier: MIT
"""How much errors of chroma count, and how much finer it is quantised for that.

Chroma is smooth: at the same step its PSNR is 2 to 15 dB above that of luma, most of its symbols are zero, and a
decibel more of it takes few bits. The usual figure of a video is the mean of the planes' PSNRs, 6:1:1, in which a
decibel counts the same wherever it stands. So errors of chroma count in inverse proportion to how large they are to be
expected, bounded, since what is far above luma already is hardly seen (eval/results/hybrid_trials.md). First frames
that are pictures of the pyramid model are fitted with errors so weighted too.
"""

from __future__ import annotations

import math

import numpy as np

from c3video.hybrid.coded_planes import CodedFormat
from c3video.hybrid.compensation import SAMPLE_BITS
from c3video.hybrid.fit.plans import lone_step
from c3video.hybrid.fit.task import FitTask
from c3video.hybrid.subbands import STEP_STEPS, plane_levels

_MOST_OFFSET = 10
"""In indexes of quantisation steps; then errors of chroma count 5.7 times."""

_SHARE_OF_CHROMA = 1.0 / 6.0
"""Of the PSNR of a plane of chroma in the mean, in units of that of luma."""

_STEP, _ZERO = 0.5, 0.75
"""Of the step of a frame coded alone, that of the frames which most others are predicted from; and the share of a step
below which a coefficient becomes zero. By both the ratios of errors of eleven clips are guessed to within
2.3 dB, most of them within 1."""


def error_weight(coded: CodedFormat, plane: int) -> float:
    """What errors of a plane count, in units of those of the first: as much as makes its step the best one."""
    return 4.0 ** (coded.chroma_offset / STEP_STEPS) if plane else 1.0


def chroma_offset(task: FitTask) -> int:
    """Indexes by which the steps of chroma are finer than those of luma; 0 where there is no chroma."""
    coded, share = task.coded_as, task.fit_config.chroma_share
    if coded.is_rgb or len(coded.shapes) == 1 or not share:
        return 0
    luma, *chroma = (_expected_error(task, plane) for plane in range(len(coded.shapes)))
    samples = [math.prod(shape) for shape in coded.shapes]
    # A PSNR changes by what the plane's squared error does, in units of that error.
    errors_of_luma = samples[0] * luma / (samples[1] * math.sqrt(math.prod(chroma)))
    weight = share * _SHARE_OF_CHROMA * errors_of_luma
    return int(np.clip(round(STEP_STEPS * math.log(weight, 4.0)), 0, _MOST_OFFSET))


def _expected_error(task: FitTask, plane: int) -> float:
    """Mean squared error of a plane as it might be coded, in squared steps, over some frames."""
    num_frames, coded = len(task.planes), task.coded_as
    step = _STEP * lone_step(task.fit_config.rd_weight, task.num_samples / task.num_pixels) * 2.0**SAMPLE_BITS
    total = count = 0.0
    for index in sorted({0, num_frames // 2, num_frames - 1}):
        samples = task.planes[index][plane].astype(np.float64)
        centred = (samples - (1 << (coded.bit_depth - 1))) * 2.0 ** (SAMPLE_BITS - coded.bit_depth)
        for band in task.fit_engine.analyse(centred, plane_levels(coded.shifts[plane])):
            sizes = np.abs(band) / step
            total += float(np.where(sizes < _ZERO, np.square(sizes), 1.0 / 12.0).sum())
            count += band.size
    return max(total / count, 1e-6)
