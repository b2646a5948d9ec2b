# SPDX-License-Identifier: MIT
"""Which engine is chosen, and how the extension is left out."""

import pytest

from c3video import native
from c3video.engine import choose_engine
from c3video.errors import ConfigError


def test_without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("C3VIDEO_ISA", "none")
    assert not native.available()
    assert native.instruction_sets() == []
    assert choose_engine() == "numpy"
    with pytest.raises(ConfigError, match="C3VIDEO_ISA is none"):
        choose_engine("native")


@pytest.mark.skipif(not native.available(), reason="the C++ extension was not built (C3VIDEO_NATIVE=0)")
def test_with_it() -> None:
    assert choose_engine() == choose_engine("native") == "native"
