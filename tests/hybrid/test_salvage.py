# SPDX-License-Identifier: MIT
"""Of a damaged segment comes what is whole, and what motion makes of it where subbands are lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video.engine import choose_engine
from c3video.errors import CorruptSegmentError
from c3video.hybrid.config import HybridConfig
from c3video.hybrid.engine import ENGINES
from c3video.hybrid.frame_order import coding_order
from c3video.hybrid.payload import parse_payload
from c3video.hybrid.salvage import salvage_frames
from c3video.hybrid.subbands import cut_slice, join_slices
from c3video.segment_model import Salvaged
from c3video.stream.layout import Header, Segment
from c3video.video import Planes
from tests.hybrid.streams import SyntheticSegment, frame_header, reconstructed, synthetic_segment

ENGINE = ENGINES[choose_engine()]
NUM_FRAMES, GOP = 6, 4


def made_of(num_slices: int, **options: object) -> tuple[Header, SyntheticSegment]:
    header = frame_header(64, 48, "yuv420p", HybridConfig(num_slices=num_slices))
    return header, synthetic_segment(header, NUM_FRAMES, gop=GOP, density=0.3, **options)  # type: ignore[arg-type]


def damaged(header: Header, made: SyntheticSegment, payload: int, place: float) -> Segment:
    """A segment with a bit turned at a share of one of its payloads."""
    (data,) = made.segment.patches
    assert isinstance(header.model, HybridConfig)
    parsed = parse_payload(data, NUM_FRAMES, header.model)
    wanted = parsed.payloads[payload]
    at = data.rindex(wanted) + int(place * (len(wanted) - 1))
    broken = bytearray(data)
    broken[at] ^= 16
    return replace(made.segment, patches=(bytes(broken),))


def salvage(header: Header, segment: Segment) -> list[Salvaged | None]:
    found = list(salvage_frames(header, segment, ENGINE))
    assert len(found) == NUM_FRAMES
    return found


def assert_same(found: Planes, wanted: Planes) -> None:
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_whole_segment_is_what_it_was() -> None:
    header, made = made_of(2, has_picture=True)
    for found, planes in zip(salvage(header, made.segment), made.planes, strict=True):
        assert found is not None
        assert found.is_exact
        assert_same(found.planes, planes)


@pytest.mark.parametrize(("num_slices", "broken"), [(1, 0), (2, 0), (2, 1)])
@pytest.mark.parametrize("has_picture", [False, True])
def test_frames_go_on_by_motion_without_a_broken_slice(num_slices: int, broken: int, has_picture: bool) -> None:
    """As the oracle makes them of nothing in that slice, from the first frame on that is not what it was."""
    header, made = made_of(num_slices, has_picture=has_picture)
    frames = coding_order(NUM_FRAMES, GOP)
    num_adrift = 0
    for place in (0.1, 0.3, 0.5):
        found = salvage(header, damaged(header, made, 1 + broken, place))
        kept = [item for item in found if item is not None]
        if len(kept) < NUM_FRAMES:  # a first frame of subbands that is broken has nothing to go on from
            assert not has_picture
            assert found == [None] * NUM_FRAMES
            continue
        exact = [kept[frame.index].is_exact for frame in frames]
        first = exact.index(False) if False in exact else NUM_FRAMES
        assert not any(exact[first:])
        symbols = []
        for number, whole in enumerate(made.symbols.frames):
            parts = [cut_slice(whole, index, num_slices) for index in range(num_slices)]
            if number >= first:
                parts[broken] = [[np.zeros_like(band) for band in plane] for plane in parts[broken]]
            symbols.append(join_slices(parts))
        start = made.planes[0] if has_picture else None
        wanted = reconstructed(header, made.model, replace(made.symbols, frames=tuple(symbols)), frames, start)
        for item, planes in zip(kept, wanted, strict=True):
            assert_same(item.planes, planes)
        num_adrift += NUM_FRAMES - first
    assert num_adrift


def test_frames_that_come_first_in_coding_order_are_kept_where_all_else_is_lost() -> None:
    """Frame 4 too, which stands after the damage in display order."""
    header, made = made_of(1)
    hashes = list(made.segment.frame_hashes)
    hashes[3] ^= 1  # the fifth in coding order 0 4 2 1 3 5
    found = salvage(header, replace(made.segment, frame_hashes=tuple(hashes)))
    assert [item is not None for item in found] == [True, True, True, False, True, False]
    assert all(item.is_exact for item in found if item is not None)


def test_nothing_is_moved_by_broken_motion() -> None:
    header, made = made_of(2)
    for item in salvage(header, damaged(header, made, 0, 0.1)):
        assert item is None or item.is_exact


def test_segment_without_its_picture_gives_nothing() -> None:
    header, made = made_of(1, has_picture=True)
    (data,) = made.segment.patches
    assert made.model.picture is not None
    broken = bytearray(data)
    broken[data.index(made.model.picture) + len(made.model.picture) // 2] ^= 4
    assert salvage(header, replace(made.segment, patches=(bytes(broken),))) == [None] * NUM_FRAMES
    with pytest.raises(CorruptSegmentError):
        list(salvage_frames(header, replace(made.segment, patches=(data[:-1],)), ENGINE))
