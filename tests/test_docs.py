# SPDX-License-Identifier: MIT
"""Documents against the code: tables that a decoder's author would copy (field tables: tests/stream), and layout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from c3video.coding import sparse_tables
from c3video.coding.tables import DECAY, RADIUS
from c3video.hybrid import compensation, loop_filter, subbands
from c3video.hybrid import payload as segment
from c3video.hybrid.context_network import network_shapes
from c3video.hybrid.wavelet import LIFTING
from c3video.pyramid.priors import PRIORS
from c3video.video import LAYOUTS
from tests import architecture, document_decoder
from tests.markdown import WIDTH, wrapped
from tests.vectors.make import PYRAMID_DOCUMENT, prior_row, pyramid_prior_row

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = REPOSITORY / "c3video"
DOCUMENT = (REPOSITORY / "docs" / "c3v.md").read_text()
ARCHITECTURE = (REPOSITORY / "docs" / "architecture.md").read_text()
ROOMS = ("c3video", "docs", "eval", "handover", "pipelines", "tests")
MARKDOWN = sorted([*REPOSITORY.glob("*.md"), *(path for room in ROOMS for path in (REPOSITORY / room).rglob("*.md"))])


def test_probability_constants_are_those_of_the_code() -> None:
    section = DOCUMENT[DOCUMENT.index("## 5.") : DOCUMENT.index("## 6.")]
    assert [int(word, 16) for word in re.findall(r"\b[0-9A-F]{16}\b", section)] == list(DECAY)
    radii = re.findall(r"^    ((?:\d+ ?)+)$", section, flags=re.M)
    assert [int(word) for line in radii for word in line.split()] == list(RADIUS)


def test_pixel_formats_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \| (\d) x (\d) \| (\d) \| (\d+) \|$", DOCUMENT, flags=re.M)
    assert [(int(n), name, int(h), int(w), int(c), int(m)) for n, name, h, w, c, m in rows] == [
        (x.number, x.name, x.cell_height, x.cell_width, x.num_cell_channels, x.max_value) for x in LAYOUTS.values()
    ]


def test_constants_of_the_frame_model_are_those_of_the_code() -> None:
    """As tests/document_decoder.py finds them."""
    assert tuple(document_decoder.STEPS) == subbands.STEP_OCTAVE
    assert [tuple(row) for row in document_decoder.NORMS.values()] == list(subbands.NORMS)
    assert list(document_decoder.NORMS) == [1, 2, 3, 4, 5]
    assert f"(0..{subbands.MAX_STEP_INDEX})" in document_decoder.section(11)
    assert tuple(map(int, re.findall(r"lift\((-?\d+),", document_decoder.section(11))))[:4] == LIFTING[::-1]
    assert compensation.TAPS.tolist() == document_decoder.TAPS
    # Of blocks of 16 and their parts, in planes of full and of half size.
    used = {side: compensation.RISES[side] for side in (2, 4, 8)}
    assert {side: tuple(row) for side, row in document_decoder.WINDOWS.items()} == used
    assert tuple(document_decoder.P) == sparse_tables.ZERO
    assert tuple(document_decoder.Q) == sparse_tables.TAIL
    assert f"1..{segment.MAX_GOP} |" in document_decoder.section(17)
    assert f"exponent (0..{segment.MAX_EXPONENT})" in document_decoder.section(17)


@pytest.mark.parametrize("name", segment.CONTEXT_NETWORKS)
def test_priors_are_those_of_the_document(name: str) -> None:
    """`python -m tests.vectors.make` writes their digests."""
    assert prior_row(name) in document_decoder.section(14).splitlines()


def test_filters_are_those_of_the_document() -> None:
    """The same command writes their digest."""
    assert prior_row("filters") in document_decoder.section(18).splitlines()
    shapes = re.findall(r"^\| \w+ \| \(([\d, ]+)\) \|$", document_decoder.section(18), flags=re.M)
    assert tuple(tuple(map(int, shape.split(", "))) for shape in shapes) == loop_filter.FILTER_SHAPES
    numbers = f"else 1..{loop_filter.NUM_LUMA} for the first plane and 1..{loop_filter.NUM_CHROMA} for others"
    assert numbers in document_decoder.section(18)


@pytest.mark.parametrize("number", PRIORS)
def test_priors_of_the_pyramid_are_those_of_its_document(number: int) -> None:
    """The same command writes them."""
    assert pyramid_prior_row(number) in PYRAMID_DOCUMENT.read_text().splitlines()


def test_shapes_of_networks_are_those_of_the_document() -> None:
    rows = re.findall(r"^\| (\w+) \| (\(.*\)) \|$", document_decoder.section(14), flags=re.M)
    for inputs, classes in segment.CONTEXT_NETWORKS.values():
        shapes = {
            name: tuple(int({"inputs": inputs, "classes": classes}.get(x, x)) for x in shape.strip("()").split(", "))
            for name, shape in rows
        }
        assert shapes == network_shapes(inputs, classes)


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_lines_of_markdown_wrap(path: Path) -> None:
    """At WIDTH; rows of tables cannot. `python -m tests.markdown` does it."""
    lines = enumerate(path.read_text().splitlines(), 1)
    assert not [number for number, line in lines if len(line) > WIDTH and not line.startswith("|")]


def test_wrapping_keeps_words_lists_tables_and_code() -> None:
    long = "word + 3. " * 20
    text = (
        f"# {long}\n\n{long}\n* {long}\n  1. {long}\n\n    {long}\n\n| {long} |\n\n```\n{long}\n```\n\nshort\nlines\n"
    )
    found = wrapped(text)
    assert found.split() == text.split()
    assert wrapped(found) == found
    kept = [f"# {long}", f"    {long}", f"| {long} |", f"\n{long}\n```", "short\nlines"]
    assert all(part in found for part in kept)
    lines = found.split("\n")
    assert [line for line in lines if len(line) > WIDTH] == [f"# {long}", f"    {long}", f"| {long} |", long]
    assert not [line for line in lines if line.lstrip().startswith(("+", "3."))]
    assert sum(line.startswith("* word") for line in lines) == sum(line.startswith("  1. word") for line in lines) == 1


def test_list_of_files_is_that_of_the_package() -> None:
    """`python -m tests.architecture` writes it."""
    assert f"{architecture.START}\n{architecture.file_list(PACKAGE)}\n{architecture.END}" in ARCHITECTURE
    listed = ARCHITECTURE[ARCHITECTURE.index(architecture.START) :]
    for path in architecture.listed_files(PACKAGE):
        folder = listed.split(f"### `{path.parent.relative_to(REPOSITORY)}/`\n")[1].partition("### ")[0]
        if path.name == "__init__.py":
            assert folder.count("(`__init__.py`)") == 1, path
        elif path.suffix != ".cpp" or not path.with_suffix(".h").exists():
            assert folder.count(f"\n| `{path.name}`") == 1, path


def test_every_file_says_what_it_is() -> None:
    rows = re.findall(r"^\| (`.*`) \| (.*) \|$", architecture.file_list(PACKAGE), flags=re.M)
    assert len(rows) > 50
    assert not [name for name, text in rows if not text]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/method.md"])
def test_files_that_documents_name_are_there(name: str) -> None:
    """In code marks, from the root or from the package; what jobs write (runs/, demo/) is not there yet."""
    named = re.findall(r"`((?:[\w.-]+/)+(?:[\w-]+\.(?:py|md|cpp|h|csv|toml))?)`", (REPOSITORY / name).read_text())
    missing = [path for path in named if not any((root / path).exists() for root in (REPOSITORY, PACKAGE))]
    assert not [path for path in missing if not path.startswith(("runs/", "demo/", "bench/", "fit/"))]
