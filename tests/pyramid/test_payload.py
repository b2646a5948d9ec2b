# SPDX-License-Identifier: MIT
"""Pictures as bytes: what went in comes out, estimates hold, damage is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from c3video.coding.rangecoder import SymbolReader, SymbolWriter
from c3video.coding.tables import best_scale
from c3video.coding.varint import write_varint
from c3video.errors import ConfigError, CorruptSegmentError
from c3video.pyramid import payload
from c3video.pyramid.config import PyramidConfig
from c3video.pyramid.differences import Difference, difference_shifts, nearest_difference, weights_from
from c3video.pyramid.payload import decode_picture, encode_picture, patch_places, split_payloads
from c3video.pyramid.priors import Prior, prior_of, zero_prior
from c3video.pyramid.weights import PyramidWeights
from c3video.video import VideoFormat
from tests.pyramid.models import NUM_CASES, case, random_symbols, random_weights

SMALL = PyramidConfig(num_grids=3, num_taps=4, entropy_layers=(5,), synthesis_width=4, refine_width=0, num_hyper=2)
VIDEO = VideoFormat(14, 9, "yuv420p")


def small_picture(scale: float = 0.7) -> tuple[bytes, PyramidWeights, list[np.ndarray]]:
    weights = random_weights(SMALL, "420", seed=1)
    symbols = random_symbols(SMALL, 9, 14, seed=2, scale=scale)
    return encode_picture(weights, symbols, VIDEO)[0], weights, symbols


@pytest.mark.parametrize("trial", range(NUM_CASES))
def test_what_went_in_comes_out(trial: int) -> None:
    made = case(trial)
    coded = decode_picture(made.data, replace(made.config, prior=9), made.video)  # the prior is that of the bytes
    assert coded.weights.config == made.config
    assert coded.weights.gains == made.weights.gains
    for name, array in made.weights.arrays.items():
        np.testing.assert_array_equal(coded.weights.arrays[name], array, err_msg=name)
    for found, given in zip(coded.symbols, made.symbols, strict=True):
        np.testing.assert_array_equal(found, given)
    found, given = coded.bits.by_part(), made.bits.by_part()
    assert list(found) == list(given)
    np.testing.assert_allclose(list(found.values()), list(given.values()), rtol=1e-12, atol=1e-6)
    assert encode_picture(coded.weights, coded.symbols, made.video)[0] == made.data


@pytest.mark.parametrize("trial", range(NUM_CASES))
def test_bits_that_were_promised_are_those_of_the_bytes(trial: int) -> None:
    made = case(trial)
    num_patches = len(patch_places(made.config, made.video.height, made.video.width))
    assert sum(made.bits.by_part().values()) == pytest.approx(8 * len(made.data))
    # A payload ends in whole words; each but the last has its size before it; the prior has a byte.
    # What a coder's last state holds may be a few bits more than its tables promised.
    assert -8 <= made.bits.overhead - 8 <= num_patches * (64 + 24)
    assert all(bits >= 0 for bits in made.bits.by_part().values())


def test_patches_are_whole_parts_of_all_grids() -> None:
    config = PyramidConfig(num_grids=8, patch_size=128, num_hyper=2)
    places = patch_places(config, 300, 129)
    assert len(places) == 6
    for grid, k in enumerate((0, 1, 2, 3, 4, 5, 6, 7, 6, 7)):
        seen = np.zeros((300 + (1 << k) - 1 >> k, 129 + (1 << k) - 1 >> k), dtype=int)
        for place in places:
            seen[place.slices[grid]] += 1
        assert (seen == 1).all()
    assert places[3].shapes[0] == (128, 1)
    assert places[3].shapes[7] == (1, 1)


def test_a_patch_needs_the_first_one_s_weights_only() -> None:
    """The same part of two pictures has the same bytes, whatever is beside it."""
    config = replace(SMALL, patch_size=128)
    video = VideoFormat(140, 130, "gray")
    weights = random_weights(config, "gray")
    symbols = random_symbols(config, 130, 140)
    first = split_payloads(encode_picture(weights, symbols, video)[0], 4)[1]
    for place, grid in zip(patch_places(config, 130, 140)[1].slices, symbols, strict=True):
        grid[place] = 0
    second = split_payloads(encode_picture(weights, symbols, video)[0], 4)[1]
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False, True, True]


def test_a_picture_at_the_prior_costs_next_to_nothing() -> None:
    config = PyramidConfig(num_hyper=4)
    weights = PyramidWeights(config, "420", prior_of(config, "420").arrays, (64,) * 7)
    symbols = [np.zeros_like(grid) for grid in random_symbols(config, 9, 14)]
    data, bits = encode_picture(weights, symbols, VIDEO)
    assert bits.weights["entropy"] < 10
    assert sum(bits.weights.values()) < 60
    coded = decode_picture(data, config, VIDEO)
    assert all(np.array_equal(coded.weights.arrays[name], array) for name, array in weights.arrays.items())


def test_differences_may_be_multiples() -> None:
    weights = random_weights(SMALL, "420", seed=1)
    arrays = {name: array << 6 >> 6 if name != "w1" else (array >> 6) << 6 for name, array in weights.arrays.items()}
    weights = PyramidWeights(SMALL, "420", arrays, weights.gains)
    symbols = random_symbols(SMALL, 9, 14)
    plain, _ = encode_picture(weights, symbols, VIDEO)
    shifted, _ = encode_picture(weights, symbols, VIDEO, {"w1": Difference(6, arrays["w1"] >> 6)})
    assert len(shifted) < len(plain)
    np.testing.assert_array_equal(decode_picture(shifted, SMALL, VIDEO).weights.arrays["w1"], arrays["w1"])


def test_a_prior_says_how_each_weight_is_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand: w1 begins with differences 3 in units of 2^(2 + 1), -1 of 2^0 and 2 of 2^14, in tables of their own."""
    zero = zero_prior(SMALL, "420")
    steps, spreads = dict(zero.steps), dict(zero.spreads)
    steps["w1"], spreads["w1"] = np.zeros_like(zero.arrays["w1"]), np.zeros_like(zero.arrays["w1"])
    steps["w1"][0, :3], spreads["w1"][0, :3] = (1, -128, 127), (5, -128, 127)
    prior = replace(zero, config=replace(SMALL, prior=200), steps=steps, spreads=spreads)
    monkeypatch.setattr(payload, "prior_of", lambda config, layout: prior)
    differences = np.zeros(prior.arrays["w1"].size, dtype=np.int64)
    differences[:3] = (3, -1, 1)
    arrays = {**prior.arrays, "w1": prior.arrays["w1"].copy()}
    arrays["w1"][0, :3] = (3 << 3, -1, 1 << 14)
    weights = PyramidWeights(prior.config, "420", arrays, (64,) * 3)

    coder, given = SymbolWriter(), best_scale(differences, spreads["w1"])[0]
    scales = np.full(differences.size, given)
    scales[:3] = (min(given + 5, 63), 0, 63)

    def code(values: list[int], scale: int) -> None:
        coder.code(np.full(len(values), scale), np.zeros(len(values), dtype=int), np.array(values))

    code([0, 0, 0], payload.GAIN_SCALE)
    code([0], payload.FLAG_SCALE)
    for name in arrays:
        code([(3 if name == "w1" else 0) - payload.CODE_ORIGIN], payload.CODE_SCALE)
        if name == "w1":
            code([given - payload.INDEX_ORIGIN], payload.INDEX_SCALE)
            coder.code(scales, np.zeros_like(scales), differences)
    by_hand, written = coder.finish(), SymbolWriter()
    given_differences = {"w1": Difference(2, differences.reshape(arrays["w1"].shape))}
    payload.code_weights(written, prior.config, "420", weights, given_differences)
    assert written.finish() == by_hand
    found, _ = payload.code_weights(SymbolReader(by_hand), prior.config, "420", None, None)
    assert all(np.array_equal(found.arrays[name], array) for name, array in arrays.items())


def based_prior(monkeypatch: pytest.MonkeyPatch, steps: int = 0) -> Prior:
    """One whose w1 and r1 have a basis at random, with weights that stay at zero."""
    config, rng = replace(SMALL, refine_width=3, prior=200), np.random.default_rng(8)
    zero = zero_prior(config, "420")
    bases = {
        name: rng.integers(-1500, 1501, (k, k)) + 4096 * np.eye(k, dtype=np.int64)
        for name, k in (("w1", 11), ("r1.0", 9), ("r1.1", 18))
    }
    changed = {
        name: np.broadcast_to(steps + np.arange(array.shape[1]) % 3, array.shape) if name == "w1" else array
        for name, array in zero.steps.items()
    }
    prior = replace(zero, config=config, bases=bases, steps=changed)
    monkeypatch.setattr(payload, "prior_of", lambda config, layout: prior)
    return prior


def test_coefficients_of_a_basis_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows (3, -1) in units of 2^1 and 2^3: weights are the halves, rounded up, of sums of the basis's rows."""
    zero = zero_prior(SMALL, "420")
    basis, steps = 4096 * np.eye(5, dtype=np.int64), np.zeros_like(zero.steps["w3"])
    basis[0, :3], basis[1, :3] = (2048, 4096, -1024), (-1, 257, 12000)
    steps[:, 0], steps[:, 1] = 1, 3
    arrays = dict(zero.arrays) | {"w3": np.array([[10, 20, 30, 40, 50], [0, 0, 0, 0, -7]])}
    prior = replace(
        zero,
        config=replace(SMALL, prior=200),
        arrays=arrays,
        steps=dict(zero.steps) | {"w3": steps},
        bases={"w3": basis},
    )
    monkeypatch.setattr(payload, "prior_of", lambda config, layout: prior)
    values = np.array([[3, -1, 0, 0, 4], [0, 0, 0, 0, 1]])
    # 6 * 2048 + 8 = 3.002, 6 * 4096 - 8 * 257 = 5.498, 6 * -1024 - 8 * 12000 = -24.94 of 4096
    expected = np.array([[13, 25, 5, 40, 54], [0, 0, 0, 0, -6]])
    difference = Difference(0, values)
    np.testing.assert_array_equal(weights_from(prior, "w3", difference), expected)
    weights = PyramidWeights(prior.config, "420", arrays | {"w3": expected}, (64,) * 3)
    writer = SymbolWriter()
    payload.code_weights(writer, prior.config, "420", weights, {"w3": difference})
    found, _ = payload.code_weights(SymbolReader(writer.finish()), prior.config, "420", None, None)
    np.testing.assert_array_equal(found.arrays["w3"], expected)


@pytest.mark.parametrize("shift", [0, 3, 10])
def test_a_picture_with_bases_comes_back_to_the_byte(shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    prior, rng = based_prior(monkeypatch, steps=-2), np.random.default_rng(shift)
    differences = {
        name: Difference(shift, np.rint(rng.laplace(scale=600 / (1 << shift), size=array.shape)).astype(np.int64))
        for name, array in prior.arrays.items()
        if name not in ("b2", "c1.0")
    }
    arrays = {name: array.copy() for name, array in prior.arrays.items()}
    arrays |= {name: weights_from(prior, name, difference) for name, difference in differences.items()}
    weights = PyramidWeights(prior.config, "420", arrays, (64, 70, 3))
    symbols = random_symbols(prior.config, 9, 14)
    data, bits = encode_picture(weights, symbols, VIDEO, differences)
    coded = decode_picture(data, prior.config, VIDEO)
    for name, array in arrays.items():
        np.testing.assert_array_equal(coded.weights.arrays[name], array, err_msg=name)
    assert encode_picture(coded.weights, coded.symbols, VIDEO, differences) == (data, bits)
    with pytest.raises(ConfigError, match="differences of w1: do not make its weights"):
        encode_picture(weights, symbols, VIDEO, differences | {"w1": Difference(shift, differences["w1"].values + 1)})
    with pytest.raises(ConfigError, match="differences of w1"):  # plain ones are none of coefficients
        encode_picture(weights, symbols, VIDEO, {})


@pytest.mark.parametrize("shift", [0, 4, 9])
def test_what_is_nearest_is_near(shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    prior = based_prior(monkeypatch)
    for name, array in prior.arrays.items():
        wanted = array + np.random.default_rng(1).integers(-3000, 3001, array.shape)
        found = weights_from(prior, name, nearest_difference(prior, name, wanted, shift))
        units = 1 << difference_shifts(prior, name, shift)
        largest = units / 2
        if name in prior.bases:
            rows = units.reshape(-1, len(prior.bases[name]))
            largest = (rows / 2 @ np.abs(prior.bases[name]) / 4096 + 0.5).reshape(array.shape)
        assert (np.abs(found - wanted) <= largest).all(), name


def test_coefficients_that_sums_have_no_room_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = based_prior(monkeypatch)
    values = np.zeros(prior.arrays["w1"].shape, dtype=np.int64)
    for value, shift, largest in ((32768, 0, 32768), (-32, 10, 32768), (1 << 20, 10, 1 << 30)):
        coder = SymbolWriter()
        coder.code(np.full(3, payload.GAIN_SCALE), np.zeros(3, dtype=int), np.zeros(3, dtype=int))
        coder.code(np.array([payload.FLAG_SCALE]), np.array([0]), np.array([0]))
        coder.code(np.array([payload.CODE_SCALE]), np.array([0]), np.array([shift + 1 - payload.CODE_ORIGIN]))
        coder.code(np.array([payload.INDEX_SCALE]), np.array([0]), np.array([63 - payload.INDEX_ORIGIN]))
        values[2, 3] = value
        coder.code(np.full(values.size, 63), np.zeros(values.size, dtype=int), values.ravel())
        with pytest.raises(CorruptSegmentError, match=f"coefficient {largest} of w1: must be in -32767..32767"):
            decode_picture(b"\xc8" + coder.finish(), prior.config, VIDEO)


def test_what_does_not_fit_is_refused() -> None:
    weights = random_weights(SMALL, "420")
    symbols = random_symbols(SMALL, 9, 14)
    with pytest.raises(ConfigError, match="shapes"):
        encode_picture(weights, symbols[:2], VIDEO)
    with pytest.raises(ConfigError, match="layout 420"):
        encode_picture(weights, symbols, VideoFormat(14, 9, "gray"))
    symbols[0][3, 3] = -32768
    with pytest.raises(ConfigError, match="latent 32768"):
        encode_picture(weights, symbols, VIDEO)


def test_every_cut_is_noticed() -> None:
    data, _, _ = small_picture()
    for size in range(len(data)):
        with pytest.raises(CorruptSegmentError):
            decode_picture(data[:size], SMALL, VIDEO)


def test_flipped_bytes_are_nearly_always_noticed() -> None:
    """A flip in the raw bits of an escape makes another good payload: the crc32 of a record is for that."""
    data, _, symbols = small_picture()
    rng = np.random.default_rng(0)
    unnoticed = 0
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= int(rng.integers(1, 256))
        try:
            coded = decode_picture(bytes(damaged), SMALL, VIDEO)
        except CorruptSegmentError:
            continue
        unnoticed += 1
        assert [grid.shape for grid in coded.symbols] == [grid.shape for grid in symbols]
        assert max(np.abs(grid).max() for grid in coded.symbols) <= payload.MAX_SYMBOL
    assert unnoticed < len(data) / 20


def test_bytes_too_many_are_noticed() -> None:
    data, _, _ = small_picture()
    for more in (b"\0", b"\0\0\0\0", b"\1\0\0\0", b"\x55\xaa\x55\xaa"):
        with pytest.raises(CorruptSegmentError):
            decode_picture(data + more, SMALL, VIDEO)


@pytest.mark.parametrize("seed", range(40))
def test_noise_is_refused(seed: int) -> None:
    noise = np.random.default_rng(seed).bytes(1 + 4 * (seed % 30))
    with pytest.raises(CorruptSegmentError):
        decode_picture(b"\0" + noise[1:], SMALL, VIDEO)


def test_sizes_of_patches_are_checked() -> None:
    config = replace(SMALL, patch_size=128)
    video = VideoFormat(200, 5, "gray")
    weights = random_weights(config, "gray")
    data, _ = encode_picture(weights, random_symbols(config, 5, 200), video)
    (first, second) = split_payloads(data, 2)[1]
    size = len(write_varint(len(first)))
    for wrong in (
        b"\0" + write_varint(len(data)) + data[1 + size :],  # beyond the end
        b"\0" + write_varint(len(first) - 4) + data[1 + size :],
        b"\0" + b"\x80" * 9 + data[1 + size :],  # no varint
        b"\0\x80",
        b"",
        b"\0" + write_varint(len(second)) + second + first,
    ):
        with pytest.raises(CorruptSegmentError):
            decode_picture(wrong, config, video)


def crafted(gain: int = 0, code: int = 0, index: int = 0, value: int = 0, escape: int = 0) -> bytes:
    """The beginning of a payload with one array's differences (of `w1`) and numbers as given."""
    coder = SymbolWriter()

    def put(number: int, scale: int) -> None:
        coder.code(np.array([scale]), np.array([0]), np.array([number]))

    put(gain, payload.GAIN_SCALE)
    for _ in range(SMALL.num_grids - 1):
        put(0, payload.GAIN_SCALE)
    put(0, payload.FLAG_SCALE)
    put(code - payload.CODE_ORIGIN, payload.CODE_SCALE)
    put(index, payload.INDEX_SCALE)
    for _ in range(SMALL.num_inputs * 5):
        put(value, min(max(payload.INDEX_ORIGIN + index, 0), 63))
    put(escape, 63)
    return b"\0" + coder.finish()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"gain": -64}, "gain of grid 0 = 0: must be in 1..255"),
        ({"gain": 192}, "gain of grid 0 = 256"),
        ({"gain": -(1 << 20)}, "gain of grid 0"),
        ({"code": 12}, "code of w1 = 12: must be in 0..11"),
        ({"code": -1}, "code of w1 = -1"),
        ({"code": 1, "index": 20}, "scale index of w1 = 64: must be in 0..63"),
        ({"code": 1, "index": -45}, "scale index of w1 = -1"),
    ],
)
def test_numbers_out_of_range_are_named(numbers: dict[str, int], message: str) -> None:
    with pytest.raises(CorruptSegmentError, match=message):
        decode_picture(crafted(**numbers), SMALL, VIDEO)


def test_weights_that_cannot_be_computed_with_are_refused() -> None:
    def coded(name: str, value: int, shift: int) -> bytes:
        coder = SymbolWriter()
        coder.code(np.full(3, payload.GAIN_SCALE), np.zeros(3, dtype=int), np.zeros(3, dtype=int))
        coder.code(np.array([payload.FLAG_SCALE]), np.array([0]), np.array([0]))
        for other, array in prior_of(SMALL, "420").arrays.items():
            chosen = other == name
            coder.code(
                np.array([payload.CODE_SCALE]), np.array([0]), np.array([chosen * (shift + 1) - payload.CODE_ORIGIN])
            )
            if chosen:
                coder.code(np.array([payload.INDEX_SCALE]), np.array([0]), np.array([63 - payload.INDEX_ORIGIN]))
                coder.code(np.full(array.size, 63), np.zeros(array.size, dtype=int), np.full(array.size, value))
        return b"\0" + coder.finish()

    for name, value, shift, message in (
        ("b3", 128, 8, "weight 32768 of b3"),
        ("b3", -(1 << 20), 8, "weight 268435456 of b3"),
        ("w1", 30000, 0, "sums of w1 may reach"),
        ("m.1", 30000, 0, "sums of m.1 may reach"),
        ("u", 17000, 0, "sums of u may reach"),
    ):
        with pytest.raises(CorruptSegmentError, match=message):
            decode_picture(coded(name, value, shift), SMALL, VIDEO)


def test_an_unknown_prior_is_named() -> None:
    data, _, _ = small_picture()
    with pytest.raises(CorruptSegmentError, match="prior 254: must be 0 or one of"):
        decode_picture(b"\xfe" + data[1:], SMALL, VIDEO)
