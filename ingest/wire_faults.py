"""Where a protobuf body breaks: the message a sender can act on, since the parser itself says only "error"."""

from typing import Any

from google.protobuf.message import DecodeError

_WIRE_TYPES = {0: "varint", 1: "64-bit", 2: "length-delimited", 5: "32-bit"}


class _Broken(Exception):
    """The walk met bytes that are no field."""


def where_it_breaks(body: bytes, message: Any) -> str:
    """Describe the first fault of a body that `message` (a protobuf class) could not parse.

    Units    offsets in bytes from the start of the inflated body.
    """
    return _describe(body, 0, message.DESCRIPTOR, message.DESCRIPTOR.name)


def _describe(data: bytes, offset: int, descriptor: Any, path: str) -> str:
    counts: dict[int, int] = {}
    try:
        for number, wire_type, start, end, at in _fields(data):
            field = descriptor.fields_by_number.get(number)
            index = counts.get(number, 0)
            counts[number] = index + 1
            if field is None or field.message_type is None or wire_type != 2:
                continue
            inner = data[start:end]
            try:
                field.message_type._concrete_class.FromString(inner)
            except DecodeError:
                name = f"{field.name}[{index}]" if field.is_repeated else field.name
                where = name if "." not in path and path.endswith("Data") else f"{path}.{name}"
                return _describe(inner, offset + start, field.message_type, where)
            del at
    except _Broken as broken:
        at, why = broken.args
        return f"{path}: {why} at byte {offset + at}"
    return f"{path}: unreadable between byte {offset} and byte {offset + len(data)}"


def _fields(data: bytes) -> Any:
    """Yield (field number, wire type, start, end, offset of the tag) of one message."""
    at = 0
    while at < len(data):
        tag_at = at
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if number == 0 or wire_type not in _WIRE_TYPES:
            raise _Broken(tag_at, f"field {number} with wire type {wire_type} is not OTLP")
        if wire_type == 0:
            start = at
            _, at = _varint(data, at)
        else:
            length = {1: 8, 5: 4}.get(wire_type, -1)
            if length < 0:
                length, at = _varint(data, at)
            start, at = at, at + length
            if at > len(data):
                raise _Broken(
                    tag_at, f"field {number} claims {length} bytes and {len(data) - start} are left (cut off?)"
                )
        yield number, wire_type, start, at, tag_at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    begin = at
    while True:
        if at >= len(data):
            raise _Broken(begin, "a number is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise _Broken(begin, "a number is longer than 64 bits")
