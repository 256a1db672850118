"""The envelope of a body: its content coding, inflated under a limit."""

import zlib
from typing import Any

import zstandard

from models.core.errors import BadInput, JevonsError

CODINGS = ("identity", "gzip", "deflate", "zstd")
_STEP_BYTES = 1 << 20
_ZSTD_WINDOW_BYTES = 1 << 27


class TooLarge(JevonsError):
    """A body above the limit, as sent or inflated."""

    code = "too_large"
    status = 413

    def __init__(self, limit: int, state: str) -> None:
        super().__init__(
            f"the body is larger than {limit} bytes {state}. Send smaller batches (a batch of 512 spans is typical), "
            "or raise JEVONS_MAX_BODY_BYTES."
        )


class UnknownCoding(JevonsError):
    """A Content-Encoding that is not taken."""

    code = "unknown_coding"
    status = 415

    def __init__(self, coding: str) -> None:
        super().__init__(f"Content-Encoding {coding[:40]!r} is not taken; send one of {', '.join(CODINGS)}.")


class BadEnvelope(BadInput):
    """A body that is not in the coding it claims, or is cut off."""

    code = "bad_envelope"

    def __init__(self, coding: str, size: int, why: str) -> None:
        super().__init__(f"the body of {size} bytes is not whole {coding}: {why}. Send it again, complete.")


def inflated(body: bytes, coding: str, limit: int) -> bytes:
    """The body without its content coding.

    Units    `limit` in bytes of the answer; inflating stops there, so a bomb costs no more than that.
    Raises   UnknownCoding, TooLarge, BadEnvelope.
    """
    coding = coding.strip().lower() or "identity"
    if coding == "identity":
        if len(body) > limit:
            raise TooLarge(limit, "as sent")
        return body
    if coding in ("gzip", "x-gzip"):
        return _zlib_inflated(body, zlib.MAX_WBITS | 16, "gzip", limit)
    if coding == "deflate":
        # RFC 9110 means zlib; some clients send raw deflate.
        is_zlib = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
        return _zlib_inflated(body, zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS, "deflate", limit)
    if coding == "zstd":
        return _zstd_inflated(body, limit)
    raise UnknownCoding(coding)


def _zlib_inflated(body: bytes, window_bits: int, coding: str, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    waiting: Any = body
    while True:
        stream = zlib.decompressobj(window_bits)
        while not stream.eof:
            try:
                part = stream.decompress(waiting, min(_STEP_BYTES, limit + 1 - size))
            except zlib.error as fault:
                raise BadEnvelope(coding, len(body), str(fault)) from None
            size += len(part)
            if size > limit:
                raise TooLarge(limit, "inflated")
            parts.append(part)
            waiting = stream.unconsumed_tail
            if not part and not waiting and not stream.eof:
                raise BadEnvelope(coding, len(body), "its end is missing")
        waiting = stream.unused_data
        # gzip may hold several members, one after the other.
        if not waiting or coding != "gzip" or not waiting.startswith(b"\x1f\x8b"):
            return b"".join(parts)


def _zstd_inflated(body: bytes, limit: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    try:
        declared = zstandard.frame_content_size(body)
        if declared > limit:
            raise TooLarge(limit, "inflated")
        # Reading through the stream gives what was asked for and no more; a cut frame just ends early.
        with decompressor.stream_reader(body, read_across_frames=False) as reader:
            content = reader.read(limit + 1)
            if len(content) <= limit and declared in (-1, 0):
                # Without a declared size only a whole frame decompresses in one piece.
                content = _whole(body)
    except zstandard.ZstdError as fault:
        raise BadEnvelope("zstd", len(body), str(fault)) from None
    if len(content) > limit:
        raise TooLarge(limit, "inflated")
    if declared > len(content):
        raise BadEnvelope("zstd", len(body), f"{len(content)} of {declared} bytes are there")
    return content


def _whole(body: bytes) -> bytes:
    """A frame that does not tell its size; already known to stay within the limit."""
    stream = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()
    content = stream.decompress(body)
    if not stream.eof:
        raise BadEnvelope("zstd", len(body), "its end is missing")
    return content
