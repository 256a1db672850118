"""Attribute values: what OTLP carries as Python values, and what is refused with a reason."""

import base64
import math
import re
from collections.abc import Iterable
from typing import Any

from google.protobuf.message import DecodeError

from ingest.redaction import Redactor
from ingest.wire import KeyValue

MAX_INT = 2**63 - 1
LOG_BODY = "log.body"
"""The key under which a structured log body is kept."""
MAX_DEPTH = 32
"""Nesting of an attribute value; deeper ones are refused before they exhaust the stack."""

MAX_REMEMBERED_TEXTS = 4_000
MAX_REMEMBERED_BYTES = 256

_parsed: Any = KeyValue.FromString

Pair = tuple[str | None, Any]
"""Key and value of an attribute; no key where nothing of it may be kept."""


class Unreadable(Exception):
    """One record cannot be taken; the text says why. Its neighbours go on."""


_COUNT_KEY = re.compile(r"token|usage")
# A limit is no count: instrumentations send -1 for "no limit".
_NO_COUNT_KEY = re.compile(r"request|max_|limit|budget|\.id$|_id$|logprob|tokenizer")


def is_count_key(key: str) -> bool:
    """Whether a number under this key counts tokens or usage."""
    return _COUNT_KEY.search(key) is not None and _NO_COUNT_KEY.search(key) is None


def check_number(key: str, value: float) -> None:
    """Refuse counts that no provider can mean.

    Raises   Unreadable for NaN, infinite, negative or more than 2⁶³ − 1 under a count key.
    """
    if not is_count_key(key):
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise Unreadable(f"attribute {key} is {value}, which is no count")
    if value < 0:
        raise Unreadable(f"attribute {key} is {value}; a count cannot be negative")
    if value > MAX_INT:
        raise Unreadable(f"attribute {key} is {value:g}, above the largest count 2^63-1")


def text_of(raw: bytes, what: str, key: str = "") -> str:
    """UTF-8 as text. `what` and `key` name it in a refusal.

    Raises   Unreadable for bad UTF-8 and for NUL, which PostgreSQL's text and jsonb refuse.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as fault:
        found = f"is not valid UTF-8 (byte {fault.start}: 0x{raw[fault.start]:02x})"
        raise Unreadable(f"{what} {key} {found}" if key else f"{what} {found}") from None
    if "\0" in text:
        raise Unreadable(f"{what} {key} contains a NUL character" if key else f"{what} contains a NUL character")
    return text


def check_text(text: str, what: str) -> str:
    """Text that came as JSON.

    Raises   Unreadable for NUL and for lone surrogates.
    """
    if "\0" in text:
        raise Unreadable(f"{what} contains a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as fault:
            raise Unreadable(
                f"{what} is not valid UTF-8 (character {fault.start} is the lone surrogate "
                f"U+{ord(text[fault.start]):04X})"
            ) from None
    return text


def any_value(value: Any, key: str, depth: int = 0) -> Any:
    """A wire.AnyValue as a Python value; bytes as base64, as OTLP/JSON has them."""
    if value.HasField("string_value"):
        return text_of(value.string_value, "attribute", key)
    if value.HasField("int_value"):
        number = value.int_value
        if number < 0:
            check_number(key, number)
        return number
    if value.HasField("bool_value"):
        return value.bool_value
    if value.HasField("double_value"):
        check_number(key, value.double_value)
        return finite(value.double_value)
    if depth >= MAX_DEPTH:
        raise Unreadable(f"attribute {key} is nested deeper than {MAX_DEPTH} levels")
    if value.HasField("array_value"):
        return [any_value(item, key, depth + 1) for item in value.array_value.values]
    if value.HasField("kvlist_value"):
        pairs = [(text_of(item.key, f"a key of {key}"), item.value) for item in value.kvlist_value.values]
        return {name: any_value(item, f"{key}.{name}", depth + 1) for name, item in pairs}
    if value.HasField("bytes_value"):
        return base64.b64encode(value.bytes_value).decode()
    return None


def finite(number: float) -> float | None:
    """A float that JSON can carry; NaN and infinities say nothing and become unknown."""
    return number if math.isfinite(number) else None


class AttributeReader(dict[bytes, Pair]):
    """Raw `KeyValue` bytes → (key, value), read once and remembered: agents repeat most of their attributes.

    A mapping whose missing entries are decoded on the way; `dict(map(reader.__getitem__, raws))` therefore runs
    in C for everything seen before. Entries are shared between spans: treat values as immutable. A reader serves
    one thread.
    Raises   Unreadable from a lookup whose bytes cannot be taken.
    """

    def __init__(self, redactor: Redactor | None = None, max_entries: int = 20_000, max_entry_bytes: int = 256) -> None:
        super().__init__()
        self._redactor = redactor
        self._max_entries = max_entries
        self._max_entry_bytes = max_entry_bytes
        # What redaction adds beside the attribute at hand (hashes); such attributes are never remembered.
        self._added: dict[str, Any] = {}
        self._keys: dict[bytes, str] = {}
        self._names: dict[bytes, str] = {}

    def __missing__(self, raw: bytes) -> Pair:
        """Decode, reduce and remember one attribute."""
        try:
            entry = _parsed(raw)
        except DecodeError:
            raise Unreadable("an attribute is cut off or is no KeyValue") from None
        raw_key = entry.key
        key = self._keys.get(raw_key)
        if key is None:
            key = _remembered(self._keys, raw_key, text_of(raw_key, "an attribute key"))
        value = any_value(entry.value, key)
        if self._redactor is None:
            pair: Pair = (key, value)
        else:
            kept_key, kept, added = self._redactor(key, value)
            pair = (kept_key, kept)
            if added is not None:
                self._added.update(added)
                return pair
        if len(raw) <= self._max_entry_bytes:
            if len(self) >= self._max_entries:
                self.clear()
            self[raw] = pair
        return pair

    def read(self, raws: Any) -> dict[str, Any]:
        """Attributes of one record from raw bytes; the last of two equal keys counts."""
        if self._added:
            self._added.clear()
        attributes: dict[Any, Any] = dict(map(self.__getitem__, raws))
        return self._finished(attributes) if self._added or None in attributes else attributes

    def read_pairs(self, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """Attributes of one record from keys and values."""
        self._added.clear()
        attributes: dict[Any, Any] = {}
        for key, value in pairs:
            kept_key, kept = key, value
            if self._redactor is not None:
                kept_key, kept, added = self._redactor(key, value)
                if added is not None:
                    self._added.update(added)
            attributes[kept_key] = kept
        return self._finished(attributes)

    def _finished(self, attributes: dict[Any, Any]) -> dict[str, Any]:
        attributes.pop(None, None)
        if self._added:
            attributes.update(self._added)
            self._added.clear()
        return attributes

    def body(self, value: Any) -> Any:
        """The body of a log record, reduced to what may be kept. A text is only ever taken for a name."""
        if self._redactor is None or isinstance(value, str):
            return value
        return self._redactor(LOG_BODY, value)[1]

    def name_of(self, raw: bytes, what: str) -> str:
        """A name in UTF-8, reduced to what may be kept, and remembered: agents repeat their names.

        Raises   Unreadable as `text_of`.
        """
        name = self._names.get(raw)
        return _remembered(self._names, raw, self.name(text_of(raw, what))) if name is None else name

    def name(self, text: str) -> str:
        """A name, reduced to what may be kept."""
        return text if self._redactor is None else self._redactor.name(text)

    def fault(self, text: str) -> str | None:
        """An error message, reduced to what may be kept."""
        if not text:
            return None
        return text if self._redactor is None else self._redactor.fault(text)


def _remembered(memo: dict[bytes, str], raw: bytes, text: str) -> str:
    if len(memo) >= MAX_REMEMBERED_TEXTS:
        memo.clear()
    if len(raw) <= MAX_REMEMBERED_BYTES:
        memo[raw] = text
    return text
