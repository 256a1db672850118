"""Arrays of PostgreSQL in their binary form, made in one go: the driver would pack each element in Python."""

import struct
from collections.abc import Sequence
from datetime import date

from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

_EPOCH = date(2000, 1, 1).toordinal()


class Int4s(bytes):
    """An integer[] without nulls."""


class Int8s(bytes):
    """A bigint[] without nulls."""


class Dates(bytes):
    """A date[] without nulls."""


class ByteStrings(bytes):
    """A bytea[] without nulls."""


def int4s(values: Sequence[int]) -> Int4s:
    """Pack 32-bit integers."""
    return Int4s(_fixed(23, "i", 4, values))


def int8s(values: Sequence[int]) -> Int8s:
    """Pack 64-bit integers."""
    return Int8s(_fixed(20, "q", 8, values))


def dates(values: Sequence[date]) -> Dates:
    """Pack days."""
    return Dates(_fixed(1082, "i", 4, [value.toordinal() - _EPOCH for value in values]))


def byte_strings(values: Sequence[bytes]) -> ByteStrings:
    """Pack byte strings of any length."""
    if len(sizes := set(map(len, values))) == 1:
        # Ids: all of one length, so that what stands before each is the same.
        size = struct.pack("!i", *sizes)
        return ByteStrings(b"".join((_head(17, len(values)), size, size.join(values))))
    parts = [part for value in values for part in (struct.pack("!i", len(value)), value)]
    return ByteStrings(b"".join((_head(17, len(values)), *parts)))


def _fixed(element_oid: int, code: str, size: int, values: Sequence[int]) -> bytes:
    count = len(values)
    interleaved = [part for value in values for part in (size, value)]
    return _head(element_oid, count) + struct.pack("!" + f"i{code}" * count, *interleaved)


def _head(element_oid: int, count: int) -> bytes:
    """Dimensions, no nulls, element type; then length and lower bound of the only dimension.

    Source   array_send of PostgreSQL.
    """
    return struct.pack("!iiIii", 1, 0, element_oid, count, 1) if count else struct.pack("!iiI", 0, 0, element_oid)


class _PackedDumper(Dumper):
    """Hands the bytes over as they are."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        return bytes(obj)


class _Int4sDumper(_PackedDumper):
    oid = 1007


class _Int8sDumper(_PackedDumper):
    oid = 1016


class _DatesDumper(_PackedDumper):
    oid = 1182


class _ByteStringsDumper(_PackedDumper):
    oid = 1001


def register(adapters: AdaptersMap) -> None:
    """Make a connection take the packed arrays as parameters."""
    adapters.register_dumper(Int4s, _Int4sDumper)
    adapters.register_dumper(Int8s, _Int8sDumper)
    adapters.register_dumper(Dates, _DatesDumper)
    adapters.register_dumper(ByteStrings, _ByteStringsDumper)
