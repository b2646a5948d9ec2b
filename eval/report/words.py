# SPDX-License-Identifier: MIT
"""Figures and lists as words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(items: Iterable[str]) -> str:
    """a, b and c."""
    words = list(items)
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def clip_name(name: str) -> str:
    """HTML that may be broken where a name has underscores, and is wherever it must be in narrow tables."""
    return escape(name).replace("_", "_<wbr>")


def percent_text(value: float) -> str:
    return f"{value:+.1f}%".replace("-", "−")


def more_or_less(percent: float) -> str:
    return f"{abs(percent):.1f}% {'fewer' if percent < 0 else 'more'} bits"


def sign_class(value: float) -> str:
    return "win" if value < 0 else "loss"


def figure_text(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def size_text(number: float) -> str:
    return f"{number:,.0f} B" if number < 10_000 else f"{number / 1000:,.1f} kB"


def rate_text(bpp: float, kbps_of_bpp: float | None) -> str:
    """In kb/s where a clip has a length in time (see Point.kbps_of_bpp), else in bits per pixel."""
    if kbps_of_bpp is None:
        return f"{bpp:.3g} bpp"
    return f"{short_number(bpp * kbps_of_bpp)} kb/s"


def short_number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def as_json(value: object) -> str:
    return json.dumps(value).replace("</", "<\\/")


def table_box(title: str, heads: Sequence[str], rows: Iterable[str], *, text_columns: int = 1) -> str:
    """A table that scrolls sideways where it is wider than the page.

    Args:
        heads: of its columns, plain text.
        rows: <tr> elements.
        text_columns: so many of the first columns are set flush left.
    """
    head = "".join(
        f'<th scope="col"{" class=text" if index < text_columns else ""}>{escape(name)}</th>'
        for index, name in enumerate(heads)
    )
    return (
        f'<p class="note">{escape(title)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
