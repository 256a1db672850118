"""What a process has for itself: its own memory, and nothing of what is made to be shared."""

import mmap
import sys

import psutil
import pytest

from app.bench.watch import MIB, anonymous_bytes

SIZE = 64 * MIB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read from /proc")
def test_shared_pages_that_nobody_else_has_touched_are_not_a_process_s_own() -> None:
    process = psutil.Process()
    before = anonymous_bytes(process)
    with mmap.mmap(-1, SIZE) as shared:
        for page in range(0, SIZE, mmap.PAGESIZE):
            shared[page] = 1
        assert process.memory_full_info().uss - before > SIZE / 2
        assert anonymous_bytes(process) - before < SIZE / 2
    own = bytearray(SIZE)
    for page in range(0, SIZE, mmap.PAGESIZE):
        own[page] = 1
    assert anonymous_bytes(process) - before > SIZE / 2
