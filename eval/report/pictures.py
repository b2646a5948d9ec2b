# SPDX-License-Identifier: MIT
"""Sample frames and the slider between two of them."""

from __future__ import annotations

import base64
import io
from collections import defaultdict
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

from c3video.errors import SourceError
from eval.report.series import middle_first
from eval.report.words import as_json, counted
from eval.run_folder import RunFolder, SampleFrame, by_quality


def look_section(run: RunFolder, picture_mib: float) -> str:
    groups: dict[tuple[str, str], list[SampleFrame]] = defaultdict(list)
    for sample in run.samples or _unlisted_samples(run):
        groups[sample.clip, sample.quality].append(sample)
    chosen: list[dict[str, Any]] = []
    left_out, weight = 0, 0
    for clip, quality in middle_first(groups):
        pictures = []
        size = (0, 0)
        for sample in sorted(groups[clip, quality], key=lambda sample: _PICTURE_ORDER.get(sample.codec, 9)):
            data, size = _as_data_url(run.path / "frames" / sample.file_name)
            pictures.append({"codec": sample.codec, "label": sample.label, "about": _about(sample), "src": data})
        group_weight = sum(len(picture["src"]) for picture in pictures)
        if chosen and weight + group_weight > picture_mib * (1 << 20):
            left_out += 1
            continue
        weight += group_weight
        frame = groups[clip, quality][0].frame
        chosen.append(
            {
                "clip": clip,
                "quality": quality,
                "frame": frame,
                "width": size[0],
                "height": size[1],
                "pictures": pictures,
            }
        )
    if not chosen:
        return ""
    first = chosen[0]
    order = {clip: index for index, clip in enumerate(run.clips)}
    chosen.sort(key=lambda group: (order.get(str(group["clip"]), len(order)), by_quality(str(group["quality"]))))
    options = "".join(
        f'<option value="{index}"{" selected" if group is first else ""}>{escape(str(group["clip"]))}, '
        f"rd_weight {escape(str(group['quality']))}</option>"
        for index, group in enumerate(chosen)
    )
    omitted = f" {counted(left_out, 'further comparison')} would have made the page too heavy." if left_out else ""
    return (
        "<p>One frame of each clip: the source, what c3video decodes to, and x264 and x265 at about the same file "
        "size. Drag across the picture, or use the slider below it.</p>"
        '<figure class="compare"><div class="controls">'
        f'<label>Clip <select name="group">{options}</select></label>'
        '<label>Left <select name="left" data-codec="c3video"></select></label>'
        '<label>Right <select name="right" data-codec="libx265"></select></label></div>'
        '<div class="stage" style="--at:50%"><img class="under" alt=""><img class="over" alt="">'
        '<span class="handle"></span><span class="tag l"></span><span class="tag r"></span></div>'
        '<input type="range" min="0" max="100" step="0.1" value="50" aria-label="Where left meets right, in percent">'
        '<div class="said-of"><div></div><div></div></div>'
        "<figcaption>Samples as decoded, converted to RGB and stored without loss; of frames larger than 960x540 the "
        f"middle. Rates and PSNRs are of the whole clip.{omitted}</figcaption></figure>"
        "<noscript><p>The comparison needs scripts.</p></noscript>"
        f'<script type="application/json" id="pictures">{as_json(chosen)}</script>'
    )


_PICTURE_ORDER = {"source": 0, "c3video": 1, "libx264": 2, "libx265": 3}


def _unlisted_samples(run: RunFolder) -> list[SampleFrame]:
    """Pictures that no index.csv tells about: all that is known of them is in their names."""
    return [
        sample
        for clip, quality in dict.fromkeys((point.clip, point.quality) for point in run.points if point.series.is_ours)
        for codec in _PICTURE_ORDER
        if (run.path / "frames" / (sample := SampleFrame(clip, quality, codec, "", "", 0)).file_name).is_file()
    ]


def _as_data_url(path: Path) -> tuple[str, tuple[int, int]]:
    """A PNG as a data URL, as lossless WebP where that is smaller, and its (width, height)."""
    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as picture:
            size = picture.size
            packed = io.BytesIO()
            picture.convert("RGB").save(packed, "WEBP", lossless=True, method=4)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read as a picture: {error}") from error
    kind, best = min(("png", data), ("webp", packed.getvalue()), key=lambda item: len(item[1]))
    return f"data:image/{kind};base64,{base64.b64encode(best).decode('ascii')}", size


def _about(sample: SampleFrame) -> str:
    parts = []
    if sample.codec == "source":
        return f"frame {sample.frame}"
    if sample.codec_quality:
        parts.append(f"{'rd_weight' if sample.codec == 'c3video' else 'crf'} {sample.codec_quality}")
    if sample.bpp is not None:
        parts.append(f"{sample.bpp:.4f} bpp")
    if sample.psnr_yuv611 is not None:
        parts.append(f"{sample.psnr_yuv611:.2f} dB (6:1:1)")
    if sample.psnr_rgb is not None:
        parts.append(f"{sample.psnr_rgb:.2f} dB (RGB)")
    return ", ".join(parts)
