# SPDX-License-Identifier: MIT
"""Markdown wrapped at 120 columns: `python -m tests.markdown FILE ...` wraps paragraphs that have a longer line.

Tables, code and headings stay as they are, and so does every paragraph without a long line.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

WIDTH = 120
_ITEM = re.compile(r" *(?:[*-]|\d+\.) ")
_BEFORE_MARK = re.compile(r"(?<=\S) (?=(?:[+\-*=#>]|\d+\.) \S)")
"""The space before a sign that, at the start of a line, would begin a list or a heading."""
_NOT_PROSE = ("```", "|", "#", "<", "!", "[")


def _wrap(text: str, first: str, rest: str) -> list[str]:
    bound = _BEFORE_MARK.sub("\0", text)
    lines = textwrap.wrap(bound, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False,
                          break_on_hyphens=False)  # fmt: skip
    return [line.replace("\0", " ") for line in lines]


def wrapped(text: str) -> str:
    """The same words, in lines of at most WIDTH where they can be broken."""
    lines, out = text.split("\n"), []
    at, is_code, in_list = 0, False, False
    while at < len(lines):
        line = lines[at]
        at += 1
        is_code ^= line.startswith("```")
        item = _ITEM.match(line)
        in_list = bool(item) if line.strip() and not line.startswith(" ") else in_list
        is_block = line.startswith("    ") and not (item and in_list)
        if is_code or is_block or not line.strip() or line.startswith(_NOT_PROSE):
            out.append(line)
            continue
        paragraph = [line]
        while at < len(lines) and lines[at].strip() and not lines[at].startswith(_NOT_PROSE[:4]):
            starts_other = _ITEM.match(lines[at]) or (not item and lines[at].startswith("    "))
            if starts_other:
                break
            paragraph.append(lines[at])
            at += 1
        if max(map(len, paragraph)) <= WIDTH:
            out += paragraph
            continue
        words = " ".join(part.strip() for part in paragraph)
        first = item[0] if item else line[: len(line) - len(line.lstrip())]
        out += _wrap(words.removeprefix(first.strip()).strip(), first, " " * len(first))
    return "\n".join(out)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(wrapped(Path(name).read_text()))
