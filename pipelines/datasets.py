# SPDX-License-Identifier: MIT
"""The sets of clips that jobs run over: `datasets.toml` and a folder in, a list of clips out.

The list is handed on as OUT/clips.json (`handover/clips.py`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from c3video.errors import C3VideoError, ConfigError, SourceError
from c3video.media.source import open_source
from handover.clips import Clip
from handover.provenance import REPOSITORY
from pipelines.process import say

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SETS = ("uvg", "clips", "hd", "kodak", "smoke")
VIDEO_SUFFIXES = (".yuv", ".y4m", ".mkv", ".mp4", ".mov", ".webm", ".avi")
"""In order of preference where a folder has a clip more than once."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


@lru_cache(maxsize=1)
def facts() -> dict[str, Any]:
    """What datasets.toml says."""
    return tomllib.loads((Path(__file__).parent / "datasets.toml").read_text())


def select(
    set_name: str,
    folder: Path | None = None,
    names: Sequence[str] | None = None,
    frames: tuple[int, int | None] | None = None,
) -> list[Clip]:
    """The clips of a set.

    Args:
        set_name: one of SETS.
        folder: where they lie; None for the set's own place.
        names: only these, in this order.
        frames: of each, (first, one past the last or None); a clip that ends earlier gives what it has.

    Raises:
        SourceError: a clip or the folder is missing; the message says what to do.
        ConfigError: a name that the set does not have.
    """
    if set_name == "uvg":
        clips = uvg_clips(folder, names)
    elif set_name == "smoke":
        smoke = facts()["smoke"]
        clips = folder_clips(folder or REPOSITORY / smoke["folder"], names or smoke["names"])
    elif set_name == "hd":
        clips = hd_clips(folder, names)
    elif set_name == "kodak":
        if folder is None:
            raise SourceError(
                "KODAK_DIR is not set: it must name a folder of Kodak's pictures (kodim01.png ...), all or some; "
                f"they are at {facts()['kodak']['published']}"
            )
        clips = folder_clips(folder, names)
    else:
        clips = small_clips(folder, names)
    return [_cut(clip, frames) for clip in clips]


def _cut(clip: Clip, frames: tuple[int, int | None] | None) -> Clip:
    first, last = frames or (0, None)
    if clip.num_frames == 1:
        return clip  # a range is meant for moving pictures
    if first >= clip.num_frames:
        raise SourceError(f"{clip.path}: frames {first}:{'' if last is None else last} of {clip.num_frames}: none left")
    return replace(clip, first=first, last=clip.num_frames if last is None else min(last, clip.num_frames))


def uvg_clips(folder: Path | None, names: Sequence[str] | None = None) -> list[Clip]:
    """Clips of UVG in a folder, as published or as y4m, mkv or mp4 named after them.

    Raises:
        SourceError: says what is missing, where it is published and what to run instead.
    """
    uvg = facts()["uvg"]
    known = {clip["name"]: clip for clip in uvg["clips"]}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ConfigError(f"UVG has no clip {unknown[0]!r}: must be one of {', '.join(known)}")
    wanted = {name: known[name] for name in names or known}
    if folder is None or not folder.is_dir():
        where = "UVG_DIR is not set" if folder is None else f"{folder}: there is no such folder"
        raise SourceError(f"{where}\n{uvg_help()}")
    found: dict[str, Clip] = {}
    wrong: dict[str, str] = {}
    for name, clip in wanted.items():
        for path in _candidates(folder, name, clip["file"]):
            try:
                found[name] = _uvg_clip(path, clip)
                break
            except C3VideoError as error:
                wrong[name] = str(error)
    missing = [name for name in wanted if name not in found]
    if missing:
        words = [f"{folder}: has {len(found)} of {len(wanted)} clips; missing: {', '.join(missing)}"]
        words += [f"not taken: {wrong[name]}" for name in missing if name in wrong]
        if found:
            words.append(f"To go on with what is there: --clips {','.join(found)}")
        raise SourceError("\n".join([*words, uvg_help()]))
    return list(found.values())


def is_whole_uvg(clips: Sequence[Clip]) -> bool:
    """Whether these are all frames of all clips of UVG."""
    wanted = {(clip["name"], 0, clip["num_frames"]) for clip in facts()["uvg"]["clips"]}
    return {(clip.name, clip.first, clip.last) for clip in clips} == wanted


def published_set(clips: Sequence[Clip]) -> str:
    """Name of the published curves (eval/anchors) that figures of these clips may be put beside; "" for none.

    Curves are means over all of a set. The 41 images of CLIC 2020 are not told apart from others here.
    """
    if is_whole_uvg(clips):
        return "uvg"
    kodak = facts()["kodak"]
    names = {f"{kodak['prefix']}{number:02}" for number in range(1, kodak["num_images"] + 1)}
    sizes = {(clip.num_frames, *sorted((clip.width, clip.height))) for clip in clips}
    if {clip.name for clip in clips} == names and sizes == {(1, kodak["short_side"], kodak["long_side"])}:
        return "kodak"
    return ""


def _candidates(folder: Path, name: str, file: str) -> list[Path]:
    """Files that may hold a clip of UVG: the published one, then others named after the clip."""
    stem = file.split("_")[0]
    others = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in VIDEO_SUFFIXES and re.match(rf"({name}|{stem})([^a-z]|$)", path.stem, re.IGNORECASE)
    ]
    others.sort(key=lambda path: (path.name != file, VIDEO_SUFFIXES.index(path.suffix.lower())))
    return others


def _uvg_clip(path: Path, known: dict[str, Any]) -> Clip:
    uvg = facts()["uvg"]
    size, num_frames = (uvg["width"], uvg["height"]), int(known["num_frames"])
    is_raw = path.suffix.lower() == ".yuv"
    raw: dict[str, Any] = {"size": size, "pix_fmt": uvg["pix_fmt"], "fps": Fraction(uvg["fps"])} if is_raw else {}
    with open_source(path, **raw) as source:
        video = source.format
        if (video.width, video.height, video.pix_fmt) != (*size, uvg["pix_fmt"]):
            raise SourceError(
                f"{path}: {video.width}x{video.height} {video.pix_fmt}; must be {size[0]}x{size[1]} {uvg['pix_fmt']}"
            )
        if source.num_frames is not None and source.num_frames != num_frames:
            raise SourceError(f"{path}: {source.num_frames} frames; {known['name']} has {num_frames}")
    return Clip(
        known["name"],
        str(path.resolve()),
        0,
        num_frames,
        *size,
        pix_fmt=uvg["pix_fmt"] if is_raw else None,
        fps=str(uvg["fps"]) if is_raw else None,
        untagged=uvg["untagged"],
        max_gradient_norm=known.get("max_gradient_norm"),
    )


def uvg_help() -> str:
    """What UVG is, where it is, and what to run without it."""
    uvg = facts()["uvg"]
    frame_bytes = uvg["width"] * uvg["height"] * 3 // 2
    lines = [f"{uvg['title']}. UVG_DIR must name a folder with:"]
    for clip in uvg["clips"]:
        size = clip["num_frames"] * frame_bytes
        lines.append(f"  {clip['name']:10} {clip['num_frames']} frames  {size:13,} bytes  {clip['file']}")
    return "\n".join(
        [
            *lines,
            f"Published at {uvg['published']} ({uvg['licence']}): download the archives named like",
            f"{uvg['clips'][0]['archive']} and unpack them with `7z x`. The same frames as",
            "y4m, mkv or mp4, named after the clip, will do, but a lossy copy makes figures of its own.",
            "Without the set: `make clips-eval` (small clips), `make eval-smoke` (a minute).",
        ]
    )


def small_clips(folder: Path | None, names: Sequence[str] | None) -> list[Clip]:
    """A folder's clips, or the usual small ones with scikit-image's stills."""
    clips, stills = facts()["clips"], facts()["stills"]
    if folder is not None:
        return folder_clips(folder, names)
    folder = next(path for path in (REPOSITORY / name for name in clips["folders"]) if path.is_dir())
    images = still_clips(stills["files"])
    if names is None:
        there = {path.stem for path in folder.iterdir()}
        usual = [name for name in clips["names"] if name in there]
        return [*folder_clips(folder, usual or None), *images]
    by_name = {image.name: image for image in images}
    videos = [name for name in names if name not in by_name]
    found = by_name | {clip.name: clip for clip in (folder_clips(folder, videos) if videos else [])}
    return [found[name] for name in names]


def hd_clips(folder: Path | None, names: Sequence[str] | None) -> list[Clip]:
    """A folder's clips, or the usual large ones. Raises SourceError where these are not there."""
    if folder is not None:
        return folder_clips(folder, names)
    hd = facts()["hd"]
    places = [path for path in (REPOSITORY / name for name in hd["folders"]) if path.is_dir()]
    where = {path.stem: path.parent for place in places for path in place.iterdir()}
    missing = [name for name in names or hd["names"] if name not in where]
    if missing:
        raise SourceError(
            f"{', '.join(missing)}: not found in {' or '.join(hd['folders'])}; name a folder of clips of your own with "
            "--folder (make hd-eval CLIPS_DIR=folder)"
        )
    return [clip for name in names or hd["names"] for clip in folder_clips(where[name], [name])]


def still_clips(files: Sequence[str]) -> list[Clip]:
    """Images of scikit-image's wheel as clips of one frame."""
    spec = find_spec("skimage")
    assert spec is not None  # c3video depends on it
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "data"
    return [clip for name in files if (clip := _measured(folder / name)) is not None]


def folder_clips(folder: Path, names: Sequence[str] | None = None) -> list[Clip]:
    """Every video and image of a folder, or those with the given names; a name is the file's without suffix.

    Raw files need their size in the name, as in clip_352x288_30fps.yuv, and are taken for yuv420p.

    Raises:
        SourceError: there is no such folder, or nothing in it can be read.
        ConfigError: a name that is not there.
    """
    if not folder.is_dir():
        raise SourceError(f"{folder}: there is no such folder of clips")
    suffixes = VIDEO_SUFFIXES + IMAGE_SUFFIXES
    paths: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.suffix.lower() in suffixes and not path.name.startswith("."):
            other = paths.get(path.stem)
            if other is None or suffixes.index(path.suffix.lower()) < suffixes.index(other.suffix.lower()):
                paths[path.stem] = path
    unknown = [name for name in names or () if name not in paths]
    if unknown:
        raise ConfigError(f"{folder}: has no clip {unknown[0]!r}: must be one of {', '.join(paths) or '(none)'}")
    clips = [clip for name in names or paths if (clip := _measured(paths[name])) is not None]
    if not clips:
        raise SourceError(f"{folder}: has no clip that can be read")
    return clips


def _measured(path: Path) -> Clip | None:
    """A clip of all frames of a file, counted; None, with a word, where it cannot be read."""
    raw: dict[str, Any] = {}
    if path.suffix.lower() == ".yuv":
        size = re.search(r"(\d+)x(\d+)", path.stem)
        rate = re.search(r"(\d+)fps", path.stem)
        if size is None:
            say(f"{path}: left out: raw video without its size in its name, as in clip_352x288_30fps.yuv")
            return None
        raw = {
            "size": (int(size[1]), int(size[2])),
            "pix_fmt": "yuv420p",
            "fps": Fraction(int(rate[1])) if rate else Fraction(25),
        }
    try:
        with open_source(path, **raw) as source:
            video = source.format
            num_frames = sum(1 for _ in source)
    except C3VideoError as error:
        say(f"left out: {error}")
        return None
    fps = str(raw["fps"]) if raw else None
    return Clip(
        path.stem,
        str(path.resolve()),
        0,
        num_frames,
        video.width,
        video.height,
        pix_fmt=raw.get("pix_fmt"),
        fps=fps,
    )
