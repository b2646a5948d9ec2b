# SPDX-License-Identifier: MIT
from __future__ import annotations

import numpy as np
import pytest

from c3video.coding.rangecoder import MAX_EXCESS_BITS, SymbolReader, SymbolWriter
from c3video.coding.tables import RADIUS, cumulative
from c3video.errors import CorruptSegmentError


def random_residuals(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scales, fractions = rng.integers(0, 64, size), rng.integers(-8, 8, size)
    residuals = np.rint(rng.laplace(scale=2.0**-5 * np.exp(scales / 8)) * 1.5).astype(np.int64)
    return scales, fractions, residuals


def written(scales: np.ndarray, fractions: np.ndarray, residuals: np.ndarray) -> bytes:
    writer = SymbolWriter()
    writer.code(scales, fractions, residuals)
    return writer.finish()


class TenLineReader:
    """The coder of docs/c3v.md, section 6, on the words of constriction."""

    def __init__(self, payload: bytes) -> None:
        self.words = np.frombuffer(payload, "<u4").tolist()
        self.state = 0
        self.refill()
        self.refill()

    def refill(self) -> None:
        if self.state < 1 << 32 and self.words:
            self.state = self.state << 32 | self.words.pop()

    def slot(self, bounds: np.ndarray) -> int:
        low_bits = self.state & 0xFFFFFF
        slot = int(np.searchsorted(bounds, low_bits, side="right")) - 1
        start, end = int(bounds[slot]), int(bounds[slot + 1])
        self.state = (self.state >> 24) * (end - start) + low_bits - start
        self.refill()
        return slot


def test_what_is_written_is_read() -> None:
    scales, fractions, residuals = random_residuals(5000)
    reader = SymbolReader(written(scales, fractions, residuals))
    assert np.array_equal(reader.code(scales, fractions), residuals)
    reader.finish()


@pytest.mark.parametrize("excess", [1, 2, 3, 4095, 4096, 4097, 2**MAX_EXCESS_BITS - 1])
@pytest.mark.parametrize("scale", [0, 33, 63])
def test_escapes_of_every_length_are_read(excess: int, scale: int) -> None:
    residuals = np.array([0, RADIUS[scale] + excess, 1, -RADIUS[scale] - excess])
    scales, fractions = np.full(4, scale), np.array([0, -8, 7, 3])
    reader = SymbolReader(written(scales, fractions, residuals))
    assert reader.code(scales, fractions).tolist() == residuals.tolist()
    reader.finish()


def test_longer_escape_cannot_be_written() -> None:
    with pytest.raises(OverflowError, match="at most"):
        written(np.array([0]), np.array([0]), np.array([RADIUS[0] + 2**MAX_EXCESS_BITS]))


def test_words_decode_with_the_ten_line_reader() -> None:
    scales, fractions, residuals = random_residuals(3000, seed=1)
    radii = np.array(RADIUS)[scales]
    residuals = np.clip(residuals, -radii, radii)
    reader = TenLineReader(written(scales, fractions, residuals))
    for scale, fraction, residual in zip(scales, fractions, residuals, strict=True):
        assert reader.slot(cumulative(int(scale), int(fraction))) - RADIUS[scale] - 1 == residual
    assert (reader.state, reader.words) == (0, [])


def test_estimate_is_what_the_payload_takes() -> None:
    scales, fractions, residuals = random_residuals(20000, seed=2)
    writer = SymbolWriter()
    writer.code(scales, fractions, residuals)
    size_bits = 8 * len(writer.finish())
    assert abs(size_bits - writer.estimated_bits) < 64 + 1e-3 * size_bits


def test_reader_and_writer_estimate_alike() -> None:
    scales, fractions, residuals = random_residuals(500, seed=3)
    writer = SymbolWriter()
    writer.code(scales, fractions, residuals)
    reader = SymbolReader(writer.finish())
    reader.code(scales, fractions)
    assert reader.estimated_bits == writer.estimated_bits


def test_nothing_written_is_an_empty_payload() -> None:
    assert SymbolWriter().finish() == b""
    SymbolReader(b"").finish()


def test_left_over_data_is_noticed() -> None:
    scales, fractions, residuals = random_residuals(400)
    reader = SymbolReader(written(scales, fractions, residuals))
    reader.code(scales[:-50], fractions[:-50])
    with pytest.raises(CorruptSegmentError, match="data left"):
        reader.finish()


@pytest.mark.parametrize("payload", [b"abc", b"\x01\0\0\0\0\0\0\0"])
def test_impossible_payloads_raise(payload: bytes) -> None:
    with pytest.raises(CorruptSegmentError):
        SymbolReader(payload)


def test_random_payloads_end_in_our_error_or_in_bounded_symbols() -> None:
    rng = np.random.default_rng(5)
    noticed = 0
    for _ in range(200):
        payload = rng.integers(1, 256, 4 * int(rng.integers(1, 30)), dtype=np.uint8).tobytes()
        scales, fractions, _ = random_residuals(60, seed=int(rng.integers(1000)))
        try:
            reader = SymbolReader(payload)
            assert np.abs(reader.code(scales, fractions)).max() < 2**21
            reader.finish()
        except CorruptSegmentError:
            noticed += 1
    assert noticed == 200, "60 symbols never use up random words to the last bit"
