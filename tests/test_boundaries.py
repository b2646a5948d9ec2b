# SPDX-License-Identifier: MIT
"""Who may import whom: the decoder knows nothing of fits and sources, and each library has one home."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "c3video"
FILES = sorted(PACKAGE.rglob("*.py"))
ENCODER_ONLY = (
    "c3video.coding.fit",
    "c3video.c3.fit",
    "c3video.hybrid.fit",
    "c3video.pyramid.fit",
    "c3video.encoder",
    "c3video.segment_fit",
    "c3video.journal",
    "c3video.crew",
    "c3video.api",
    "c3video.media.source",
    "torch",
    "av",
)
"""What no part of a decoder may import."""


class _WithoutTypes(ast.NodeTransformer):
    """Leaves out what only type checkers load."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if is_for_types else self.generic_visit(node)


def imports_of(path: Path, *, for_types: bool = True) -> set[str]:
    return imports_in(path.read_text(), for_types=for_types)


def imports_in(text: str, *, for_types: bool = True) -> set[str]:
    """Modules that a source names; what is imported from one, under its dotted name, for it may be a module too."""
    found: set[str] = set()
    tree = ast.parse(text)
    for node in ast.walk(tree if for_types else _WithoutTypes().visit(tree)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "relative imports would go unseen"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def is_in(name: str, modules: Iterable[str]) -> bool:
    """Whether a dotted name is one of the modules, or lies in one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


@pytest.mark.parametrize(
    ("line", "module"),
    [
        ("import c3video.encoder", "c3video.encoder"),
        ("import c3video.encoder as story", "c3video.encoder"),
        ("from c3video import encoder", "c3video.encoder"),
        ("from c3video.encoder import encode", "c3video.encoder"),
        ("from c3video.hybrid import engine, fit", "c3video.hybrid.fit"),
        ("from c3video.hybrid.fit import encode as encode_frames", "c3video.hybrid.fit"),
        ("from c3video.media import source", "c3video.media.source"),
        ("def late():\n    from c3video.pyramid import fit", "c3video.pyramid.fit"),
        ("from torch import Tensor", "torch"),
    ],
)
def test_no_way_to_import_goes_unseen(line: str, module: str) -> None:
    assert any(is_in(name, [module]) for name in imports_in(line))
    others = "from c3video.encoders import encode\nfrom c3video.hybrid import fitted, engine\nimport torchvision"
    assert not any(is_in(name, [module]) for name in imports_in(others))


def test_what_only_type_checkers_load_can_be_left_out() -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from c3video import encoder"
    assert "c3video.encoder" in imports_in(text)
    assert "c3video.encoder" not in imports_in(text, for_types=False)


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_decoder_loads_no_fit_no_source_no_torch_no_av() -> None:
    loaded = modules_after("import c3video.decoder, c3video.media.sink")
    assert {"c3video.c3.synthesis", "c3video.hybrid.reconstruction", "c3video.pyramid.synthesis"} <= loaded
    for name in (
        "c3video.coding.fit",
        "c3video.c3.fit",
        "c3video.hybrid.fit",
        "c3video.pyramid.fit",
        "c3video.media.source",
        "c3video.encoder",
        "torch",
        "av",
        "skimage",
    ):
        assert name not in loaded


def test_package_and_command_line_load_nothing_heavy() -> None:
    loaded = modules_after("import c3video, c3video.cli")
    assert not loaded & {"torch", "av", "numpy", "constriction", "skimage", "tqdm"}


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("constriction", {"coding/rangecoder.py"}),
        (
            "av",
            {f"media/{name}.py" for name in ("source", "container", "conversion", "av_sink", "avframe")},
        ),
        ("skimage", {"metrics.py"}),
        ("ray", {"crew/cluster.py"}),
    ],
)
def test_each_library_has_its_home(library: str, homes: set[str]) -> None:
    importers = {
        str(path.relative_to(PACKAGE))
        for path in FILES
        if any(name.split(".")[0] == library for name in imports_of(path, for_types=False))
    }
    assert importers == homes


MODELS = ("c3video.c3", "c3video.hybrid", "c3video.pyramid")
ROOMS = {
    "coding": (*MODELS, "c3video.stream", "c3video.media"),
    "c3": ("c3video.hybrid", "c3video.pyramid", "c3video.media"),
    "pyramid": ("c3video.c3", "c3video.hybrid", "c3video.media"),
    "hybrid": ("c3video.media",),
    "crew": (*MODELS, *(f"c3video.{room}" for room in ("coding", "stream", "media", "native", "encoder"))),
    "media": (*MODELS, "c3video.coding", "c3video.stream", "c3video.native"),
}
"""What the files of a folder may not import: `hybrid` stands on `c3` and `pyramid`, all of them on `coding`."""


def is_encoder_only(path: Path) -> bool:
    return "fit" in path.relative_to(PACKAGE).parts


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_stand_on_each_other_one_way(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        for name in imports_of(path):
            assert not is_in(name, ROOMS[room]), (path, name)


@pytest.mark.parametrize("room", ["coding", "c3", "pyramid", "hybrid", "stream", "native"])
def test_decoding_side_knows_nothing_of_fits_and_sources(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        if not is_encoder_only(path):
            for name in imports_of(path):
                assert not is_in(name, ENCODER_ONLY), (path, name)


def test_torch_is_of_the_encoder_only() -> None:
    importers = {path for path in FILES if "torch" in {n.split(".")[0] for n in imports_of(path)}}
    others = {str(path.relative_to(PACKAGE)) for path in importers if not is_encoder_only(path)}
    assert not others


def test_an_encode_that_tunes_no_network_loads_no_torch(tmp_path: Path) -> None:
    """It takes longer to load than such an encode does."""
    for profile in ("default", "pyramid"):
        loaded = modules_after(
            "import numpy as np, c3video\n"
            "from c3video.video import ArraySource, VideoFormat\n"
            "source = ArraySource(np.zeros((2, 16, 16), np.uint8), VideoFormat(16, 16, 'gray'))\n"
            f"c3video.encode(source, {str(tmp_path / profile)!r}, profile={profile!r}, preset='ultrafast', workers=1)"
        )
        assert "c3video.segment_fit" in loaded
        assert "torch" not in loaded


def test_codec_knows_nothing_of_eval_and_pipelines() -> None:
    for path in FILES:
        assert not {name.split(".")[0] for name in imports_of(path)} & {"eval", "handover", "pipelines", "tests"}, path


def test_nothing_is_unpickled_or_evaluated() -> None:
    for path in FILES:
        tree = ast.parse(path.read_text())
        called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
        assert not called & {"eval", "exec", "compile"}, path
        assert not imports_of(path) & {"pickle", "marshal", "shelve", "torch.serialization"}, path
