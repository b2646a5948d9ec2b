# SPDX-License-Identifier: MIT
"""The list of files in docs/architecture.md, made of what each file says of itself in its first sentence.

python -m tests.architecture      writes it again, after files came, went or changed
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "architecture.md"
START, END = "<!-- files: written by `python -m tests.architecture` -->\n", "<!-- end of files -->\n"
SUFFIXES = (".h", ".cpp", ".py", ".txt")
"""Of what is listed. A .cpp shares the line of its .h, whose sentence is taken."""


def listed_files(package: Path) -> list[Path]:
    """Sources of the package; caches, built libraries and data have no line."""
    return sorted(path for path in package.rglob("*") if path.suffix in SUFFIXES and "__pycache__" not in path.parts)


def sentence(path: Path) -> str:
    """The first sentence of a docstring or of the comment at the top; "" where there is none."""
    text = path.read_text()
    if path.suffix == ".py":
        comment = ast.get_docstring(ast.parse(text)) or ""
    else:
        mark = "#" if path.suffix == ".txt" else "//"
        lines = [line.removeprefix(mark).strip() for line in re.findall(rf"^(?:{mark}.*\n)+", text)[:1] or [""]]
        lines = [line.removeprefix(mark).strip() for line in lines[0].split("\n")]
        comment = "\n".join(line for line in lines if not line.startswith("SPDX"))
    paragraph = " ".join(comment.strip().partition("\n\n")[0].split())
    return re.split(r"\. (?=[A-Z])", paragraph)[0].rstrip(".:")


def summaries(files: Iterable[Path]) -> dict[str, str]:
    """Names of the files of one folder, those of one kernel joined -> their sentence."""
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        by_stem[path.stem].append(path)
    found = {}
    for paths in by_stem.values():
        paths.sort(key=lambda path: SUFFIXES.index(path.suffix))
        names = ", ".join([f"`{paths[0].name}`", *(f"`{path.suffix}`" for path in paths[1:])])
        found[names] = next(filter(None, map(sentence, paths)), "")
    return found


def file_list(package: Path) -> str:
    """Markdown: a table for each folder of the package."""
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in listed_files(package):
        folders[path.parent].append(path)
    lines = []
    for folder, files in sorted(folders.items()):
        lines += [f"### `{folder.relative_to(package.parent)}/`", ""]
        inits = [path for path in files if path.name == "__init__.py"]
        lines += [textwrap.fill(f"{sentence(path)}. (`__init__.py`)", 120) + "\n" for path in inits]
        rows = summaries(path for path in files if path not in inits)
        if rows:
            lines += ["| file | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items()), ""]
    return "\n".join(lines)


def main() -> None:
    """Put the present list into the document."""
    before, _, rest = DOCUMENT.read_text().partition(START)
    DOCUMENT.write_text(f"{before}{START}\n{file_list(ROOT / 'c3video')}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
