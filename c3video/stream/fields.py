# SPDX-License-Identifier: MIT
"""What structures of a stream are made of: types of values, fields, tables of fields that read and write themselves.

Integers are little-endian. A value has exactly one encoding: what a reader accepts is what a writer writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from c3video.coding.varint import read_varint, write_varint
from c3video.errors import ConfigError, StreamError

Data = bytes | bytearray | memoryview
"""What is read: a record is gathered in one place and looked at through views, so that it is not copied."""


class FieldType(Protocol):
    """How one value becomes bytes."""

    @property
    def name(self) -> str: ...

    @property
    def size_bytes(self) -> int | None:
        """None where it depends on the value."""

    def write(self, value: Any) -> bytes: ...

    def read(self, data: Data, at: int) -> tuple[Any, int]:
        """Value at `data[at:]`, and where it ends. Raises ValueError."""


@dataclass(frozen=True)
class Unsigned:
    """u8, u16, u32, u64: an unsigned integer of 1, 2, 4 or 8 bytes, low byte first."""

    size_bytes: int

    @property
    def name(self) -> str:
        return f"u{8 * self.size_bytes}"

    def write(self, value: int) -> bytes:
        return value.to_bytes(self.size_bytes, "little")

    def read(self, data: Data, at: int) -> tuple[int, int]:
        value, end = take(data, at, self.size_bytes)
        return int.from_bytes(value, "little"), end


@dataclass(frozen=True)
class Varint:
    """varint: 1 to 9 bytes of 7 bits each, low bits first; all but the last have their top bit set.

    The last is 0 only for the value 0, so that each value has one form.
    svarint: a varint that carries v >= 0 as 2v and v < 0 as -2v - 1.
    """

    signed: bool
    size_bytes: None = None

    @property
    def name(self) -> str:
        return "svarint" if self.signed else "varint"

    def write(self, value: int) -> bytes:
        return write_varint(2 * abs(value) - (value < 0) if self.signed else value)

    def read(self, data: Data, at: int) -> tuple[int, int]:
        value, end = read_varint(data, at)
        return ((value >> 1) ^ -(value & 1) if self.signed else value), end


@dataclass(frozen=True)
class Blob:
    """blob: a varint n, then n bytes. The range is that of n."""

    name: str = "blob"
    size_bytes: None = None

    def write(self, value: bytes) -> bytes:
        return VARINT.write(len(value)) + value

    def read(self, data: Data, at: int) -> tuple[bytes, int]:
        size, at = VARINT.read(data, at)
        content, end = take(data, at, size)
        return bytes(content), end  # the one copy of what may be a view of a record


@dataclass(frozen=True)
class Constant:
    """bytes: always these."""

    content: bytes
    name: str = "bytes"

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def write(self, value: bytes) -> bytes:
        return value

    def read(self, data: Data, at: int) -> tuple[bytes, int]:
        content, end = take(data, at, len(self.content))
        value = bytes(content)
        if value != self.content:
            raise ValueError(f"{value.hex(' ')} instead of {self.content.hex(' ')}")
        return value, end


def take(data: Data, at: int, size: int) -> tuple[Data, int]:
    if at + size > len(data):
        raise ValueError(f"{size} bytes are needed, {len(data) - at} are left")
    return data[at : at + size], at + size


U8, U16, U32, U64 = Unsigned(1), Unsigned(2), Unsigned(4), Unsigned(8)
VARINT, SVARINT, BLOB = Varint(signed=False), Varint(signed=True), Blob()


@dataclass(frozen=True)
class Field:
    """One line of a table.

    Args:
        low, high: the range of each value (of its length, for a blob), both ends allowed.
        count: for a field that is repeated, the name of the number of values: an earlier field, or a count
            that the structure is read with.
        since: version of the format that brought the field.
        get: where the value is found in what is written, if not in its attribute of that name.
        usual: the value, or values of a repeated field, that it has where it is not written.
    """

    name: str
    type: FieldType
    low: int
    high: int
    meaning: str
    count: str | None = None
    since: int = 1
    get: Callable[[Any], Any] | None = None
    usual: int | tuple[int, ...] | None = None

    def check(self, value: int | bytes) -> None:
        """Raise ValueError where a value is out of range."""
        number, of = (value, "") if isinstance(value, int) else (len(value), " bytes")
        if not self.low <= number <= self.high:
            raise ValueError(f"{number}{of}: must be in {self.low}..{self.high}")


def constant(name: str, content: bytes, meaning: str) -> Field:
    return Field(name, Constant(content), len(content), len(content), meaning)


@dataclass(frozen=True)
class Structure:
    """Fields one after the other, without padding; values are a dict by name of int, bytes or tuples.

    Where some have usual values a mask comes first: bit i says that the i-th of those fields has another value, and is
    written. Its bytes are as few as hold all bits, low bits first.
    """

    name: str
    fields: tuple[Field, ...]

    @property
    def mask_bytes(self) -> int:
        """Size of the mask."""
        return -(-len(self._with_usual) // 8)

    @property
    def _with_usual(self) -> tuple[Field, ...]:
        return tuple(field for field in self.fields if field.usual is not None)

    @property
    def size_bytes(self) -> int:
        """Size of a structure whose fields all have a fixed one."""
        sizes = [field.type.size_bytes for field in self.fields if field.count is None and field.usual is None]
        assert len(sizes) == len(self.fields)
        return sum(size for size in sizes if size is not None)

    def values_of(self, source: object, *others: object) -> dict[str, Any]:
        """Values of an object whose attributes are named as the fields, or of others where it lacks one.

        A field that counts another is the length of what is counted.
        """

        def value_of(field: Field) -> Any:
            if field.get is not None:
                return field.get(source)
            return next(getattr(place, field.name) for place in (source, *others) if hasattr(place, field.name))

        counted = {field.count: field for field in self.fields if field.count is not None}
        return {
            field.name: len(value_of(counted[field.name])) if field.name in counted else value_of(field)
            for field in self.fields
            if not isinstance(field.type, Constant)
        }

    def write(self, values: Mapping[str, Any]) -> bytes:
        """Bytes of `values`, which hold the counts too; constants may be left out.

        Raises:
            ConfigError: a value is out of its range.
        """
        unusual = [values[field.name] != field.usual for field in self._with_usual]
        mask = sum(1 << bit for bit, is_unusual in enumerate(unusual) if is_unusual)
        out = bytearray(mask.to_bytes(self.mask_bytes, "little"))
        for field in self.fields:
            value = field.type.content if isinstance(field.type, Constant) else values[field.name]
            if field.count is not None and len(value) != values[field.count]:
                raise ConfigError(
                    f"{self.name}: {len(value)} {field.name}: must be {values[field.count]} ({field.count})"
                )
            for item in (value,) if field.count is None else value:
                try:
                    field.check(item)
                except ValueError as error:
                    raise ConfigError(f"{self.name}: {field.name} = {error}") from None
                if value != field.usual:
                    out += field.type.write(item)
        return bytes(out)

    def read(self, data: Data, offset_bytes: int, **counts: int) -> dict[str, Any]:
        """Values of a structure that fills `data`.

        Args:
            offset_bytes: place of `data` in the stream, for messages.
            counts: those that no field of the structure holds.

        Raises:
            StreamError: bytes are missing or left over, or a value is out of its range.
        """
        values, at = self.read_start(data, offset_bytes, 0, **counts)
        self.check_end(data, offset_bytes, at)
        return values

    def read_start(self, data: Data, offset_bytes: int, at: int, **counts: int) -> tuple[dict[str, Any], int]:
        """Values of a structure that starts at `data[at:]`, and where it ends. Otherwise as `read`."""
        values: dict[str, Any] = dict(counts)
        usual, at = self._read_mask(data, offset_bytes, at)
        for field in self.fields:
            start, count = at, None if field.count is None else values[field.count]
            value: Any = field.usual
            if field not in usual:
                items = []
                for _ in range(1 if count is None else count):
                    try:
                        item, end = field.type.read(data, at)
                        field.check(item)
                    except ValueError as error:
                        raise self._wrong(field.name, str(error), offset_bytes + at) from None
                    items.append(item)
                    at = end
                value = items[0] if count is None else tuple(items)
                if value == field.usual:
                    raise self._wrong(field.name, f"{value}: is usual and must not be written", offset_bytes + start)
            elif count is not None and len(value) != count:
                problem = f"{len(value)} values: must be {count} ({field.count})"
                raise self._wrong(field.name, problem, offset_bytes + at)
            values[field.name] = value
        return values, at

    def _read_mask(self, data: Data, offset_bytes: int, at: int) -> tuple[list[Field], int]:
        """The fields that are not written, and where the mask ends."""
        try:
            content, end = take(data, at, self.mask_bytes)
        except ValueError as error:
            raise self._wrong("mask", str(error), offset_bytes + at) from None
        mask, fields = int.from_bytes(content, "little"), self._with_usual
        if mask >> len(fields):
            raise self._wrong("mask", f"{mask:#x}: has more than {len(fields)} bits", offset_bytes + at)
        return [field for bit, field in enumerate(fields) if not mask >> bit & 1], end

    def _wrong(self, name: str, problem: str, offset_bytes: int) -> StreamError:
        return StreamError(f"{self.name}: {name} at byte {offset_bytes}: {problem}", offset_bytes=offset_bytes)

    def check_end(self, data: Data, offset_bytes: int, at: int) -> None:
        """Raise StreamError where `data` goes on after `at`."""
        if at != len(data):
            raise StreamError(
                f"{self.name}: {len(data) - at} bytes are left over at byte {offset_bytes + at}",
                offset_bytes=offset_bytes + at,
            )
