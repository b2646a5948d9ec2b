# SPDX-License-Identifier: MIT
"""Which instruction set runs: the best one or that of C3VIDEO_ISA, for the kernels of decoders and fits alike."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from c3video import native
from c3video.c3.fit.native_synthesis import pointwise
from c3video.engine import choose_engine
from c3video.errors import ConfigError

pytestmark = pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")

SETS = native.instruction_sets() or [""]


def layers() -> tuple[Tensor, list[Tensor]]:
    """Columns, then weight and bias of two layers."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((18, 999), (40, 18), (40,), (6, 40), (6,))
    inputs, *weights = (torch.randn(shape, generator=generator) for shape in shapes)
    return inputs, weights


def outputs_on(name: str) -> Tensor:
    """What the kernels of this very instruction set make of `layers`."""
    inputs, weights = layers()
    outputs = torch.empty(6, 999)
    native.extension().fit_pointwise(inputs, weights, outputs, 1, name)
    return outputs


def test_the_best_one_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("C3VIDEO_ISA", raising=False)
    assert native.isa() == SETS[0]
    assert SETS[-1] == "plain"
    assert torch.equal(pointwise(*layers()), outputs_on(SETS[0]))


@pytest.mark.parametrize("name", SETS)
def test_the_variable_chooses_the_kernels_of_a_fit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C3VIDEO_ISA", name)
    assert native.isa() == name
    assert torch.equal(pointwise(*layers()), outputs_on(name))


@pytest.mark.skipif("avx2" not in SETS, reason="no instruction set that rounds once where plain rounds twice")
def test_instruction_sets_round_apart() -> None:
    """Else the test before proves nothing."""
    assert not torch.equal(outputs_on("plain"), outputs_on("avx2"))


@pytest.mark.skipif("avx512vnni" not in SETS, reason="this processor has no VNNI")
def test_float_kernels_under_the_name_of_vnni_are_those_of_avx512() -> None:
    assert torch.equal(outputs_on("avx512vnni"), outputs_on("avx512"))


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C3VIDEO_ISA", "mmx")
    for call in (native.isa, native.integer_peak, choose_engine, lambda: pointwise(*layers())):
        with pytest.raises(ConfigError, match=r"C3VIDEO_ISA = 'mmx': must be one of .*plain, or none"):
            call()


def test_without_the_variable_the_extension_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("C3VIDEO_ISA", raising=False)
    assert choose_engine() == "native"
    assert native.integer_peak() > 1e7


def test_what_outlives_the_interpreter_is_not_told() -> None:
    """As a plan in the graph of a backward pass that a signal ended."""
    code = (
        "import ctypes; from c3video import native; reader = native.extension().Reader(b''); "
        "ctypes.pythonapi.Py_IncRef(ctypes.py_object(reader))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (run.stdout, run.stderr) == (b"", b"")
