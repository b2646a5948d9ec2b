# SPDX-License-Identifier: MIT
"""Jobs and measures hand over by files: neither imports the other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("folder", "other"), [("pipelines", "eval"), ("eval", "pipelines")])
def test_jobs_and_measures_do_not_import_each_other(folder: str, other: str) -> None:
    files = sorted((REPOSITORY / folder).rglob("*.py"))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            assert not [name for name in names if name.split(".")[0] == other], path
