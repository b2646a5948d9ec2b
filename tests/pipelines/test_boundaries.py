# SPDX-License-Identifier: MIT
"""Jobs and measures hand over by files: neither imports the other, and what both may import knows of neither."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("folder", "others"),
    [("pipelines", {"eval", "tests"}), ("eval", {"pipelines", "tests"}), ("handover", {"eval", "pipelines", "tests"})],
)
def test_jobs_and_measures_do_not_import_each_other(folder: str, others: set[str]) -> None:
    files = sorted((REPOSITORY / folder).rglob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            assert not {name.split(".")[0] for name in names} & others, path
