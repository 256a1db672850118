"""OTLP files: one body per protobuf file, per JSON document or per line, plain, gzipped or zstandard."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import zstandard

from ingest.otlp import Encoding
from models.core.errors import BadInput
from models.core.vocabulary import Signal

_TOP_KEYS = {"resourceSpans": Signal.TRACES, "resourceLogs": Signal.LOGS, "resourceMetrics": Signal.METRICS}
_SUFFIXES = {".bin", ".pb", ".json", ".jsonl", ".ndjson"}
_PACKED = {".gz", ".zst"}
MAX_FILE_BYTES = 2 * 2**30
"""Inflated size of one file; a larger one is to be split, since a body is held in memory."""


class UnreadableFile(BadInput):
    """A file that cannot be opened, inflated or recognised."""

    code = "unreadable_file"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")


@dataclass(slots=True, frozen=True)
class FileBody:
    """One OTLP body found in a file."""

    origin: str
    """The path, with `:line` for files of one document per line."""
    signal: Signal
    encoding: Encoding
    body: bytes


def otlp_files(paths: Sequence[Path]) -> list[Path]:
    """The files meant by paths: themselves, or everything below a directory whose name looks like OTLP.

    Raises   UnreadableFile for a path that does not exist, or a directory that holds no such file.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.is_file() and _kind(file) in _SUFFIXES)
            if not inside:
                raise UnreadableFile(path, "the directory holds no .bin, .json or .jsonl file")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UnreadableFile(path, "no such file or directory")
    return found


def read_bodies(path: Path, signal: Signal | None = None) -> Iterator[FileBody]:
    """The OTLP bodies of one file.

    The signal is the one given; else the document's top key; else the beginning of the file's name.
    Raises   UnreadableFile.
    """
    kind = _kind(path)
    data = _inflated(path)
    if kind in (".bin", ".pb"):
        told = signal or _signal_of_name(path)
        if told is None:
            raise UnreadableFile(path, "begin its name with traces, logs or metrics, or say --signal")
        yield FileBody(str(path), told, "protobuf", data)
        return
    if kind not in _SUFFIXES:
        raise UnreadableFile(path, f"unknown kind {kind or path.name!r}; expected .bin, .json or .jsonl (.gz, .zst)")
    if kind == ".json" and _is_one_document(data):
        yield FileBody(str(path), _signal_of(data, path, signal), "json", data)
        return
    for number, line in enumerate(data.splitlines(), start=1):
        if line.strip():
            yield FileBody(f"{path}:{number}", _signal_of(line, path, signal), "json", line)


def _is_one_document(data: bytes) -> bool:
    """Whether a .json file is one document: only a file whose first line is whole by itself has one per line."""
    first, _, rest = data.lstrip().partition(b"\n")
    if not rest.strip():
        return True
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        return True
    return False


def _signal_of(document: bytes, path: Path, signal: Signal | None) -> Signal:
    if signal is not None:
        return signal
    # The top key is the first name in every document seen; parsing the whole twice would double the time.
    head = document[:200].decode("utf-8", "replace")
    named = [told for key, told in _TOP_KEYS.items() if f'"{key}"' in head]
    if len(named) == 1:
        return named[0]
    try:
        keys = orjson.loads(document)
    except orjson.JSONDecodeError:
        keys = {}
    for key, told in _TOP_KEYS.items():
        if isinstance(keys, dict) and key in keys:
            return told
    told_by_name = _signal_of_name(path)
    if told_by_name is None:
        raise UnreadableFile(path, "no resourceSpans, resourceLogs or resourceMetrics at the top, so no OTLP/JSON")
    return told_by_name


def _signal_of_name(path: Path) -> Signal | None:
    return next((signal for signal in Signal if path.name.lower().startswith(signal.value)), None)


def _kind(path: Path) -> str:
    return Path(path.stem).suffix.lower() if path.suffix.lower() in _PACKED else path.suffix.lower()


def _inflated(path: Path) -> bytes:
    packing = path.suffix.lower()
    try:
        with path.open("rb") as file:
            if packing == ".gz":
                data = gzip.GzipFile(fileobj=file).read(MAX_FILE_BYTES + 1)
            elif packing == ".zst":
                data = zstandard.ZstdDecompressor().stream_reader(file).read(MAX_FILE_BYTES + 1)
            else:
                data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error, zstandard.ZstdError) as fault:
        raise UnreadableFile(path, f"cannot be read: {fault}") from None
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableFile(path, f"holds more than {MAX_FILE_BYTES} bytes inflated; split it")
    return data
