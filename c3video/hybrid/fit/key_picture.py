# SPDX-License-Identifier: MIT
"""The first frame of a segment as a picture of the pyramid model, fitted at the rate that its place asks for.

How much a frame that others are predicted from is worth shows in the step of its depth: a bit there is worth
SLOPE_OF_STEP squared steps of error, and the picture is fitted with the rd_weight that says the same.
"""

from __future__ import annotations

from collections.abc import Callable

from c3video.hybrid.coded_planes import from_coded, to_coded
from c3video.hybrid.fit.chroma import error_weight
from c3video.hybrid.fit.frame_coding import KeyPicture, luma_step
from c3video.hybrid.fit.importance import BlockImportance, spread
from c3video.hybrid.fit.plans import SLOPE_OF_STEP
from c3video.hybrid.fit.task import FitTask
from c3video.native.pyramid import NATIVE_WRITING
from c3video.progress import Progress
from c3video.pyramid.config import PyramidFitConfig
from c3video.pyramid.fit.loop import fit_picture
from c3video.pyramid.payload import encode_picture
from c3video.video import Planes

_LONGEST_OF_FEW, _FEW_STEPS = 2, 2_000
"""Side of rectangles of latents that are looked at in fits of no more steps, before other frames: larger ones take a
tenth of the time of a picture and bring less to a segment."""

_NETWORK_SHARE, _MOST_NETWORK_STEPS = 0.1, 400
"""Of all steps, those of the networks alone."""


def picture_rd_weight(task: FitTask, step_index: int) -> float:
    """rd_weight of a picture that is coded alone, at which a bit is worth as much as at a quantisation step."""
    step = luma_step(step_index, task.coded_as)
    return SLOPE_OF_STEP * step * step * task.num_pixels / task.num_samples


def fit_key(
    task: FitTask,
    target: Planes,
    rd_weight: float,
    importance: BlockImportance | None,
    seed: int,
    report: Callable[[Progress], None] = lambda progress: None,
) -> KeyPicture:
    """Fit the first frame.

    Args:
        target: coded planes that it is fitted to.
        importance: how much the error of each block counts; None: all alike.

    Raises:
        FitError: the loss is not finite, or weights do not fit into a decoder's integers.
    """
    num_steps = task.fit_config.picture_steps(len(task.planes))
    network_steps = min(round(_NETWORK_SHARE * num_steps), _MOST_NETWORK_STEPS)
    noise_steps = num_steps - network_steps
    is_hurried = len(task.planes) > 1 and num_steps <= _FEW_STEPS
    longest_choice = _LONGEST_OF_FEW if is_hurried else PyramidFitConfig.longest_choice
    planes = from_coded(target, task.video.layout)
    fitted = fit_picture(
        planes,
        task.video,
        task.config.key,
        PyramidFitConfig(
            rd_weight,
            chroma_weight=error_weight(task.coded_as, 1),
            noise_steps=noise_steps,
            network_steps=network_steps,
            longest_choice=longest_choice,
        ),
        importance=None if importance is None else [spread(importance, plane.shape) for plane in planes],
        seed=seed,
        report=report,
        num_threads=task.num_threads,
    )
    data, _ = encode_picture(fitted.weights, fitted.symbols, task.video, fitted.differences, NATIVE_WRITING)
    synthesise = task.engine.pictures.synthesise
    decoded = synthesise(fitted.weights, fitted.symbols, task.video.layout, task.num_threads)
    return KeyPicture(data, to_coded(decoded, task.video.layout), fitted.notes)
