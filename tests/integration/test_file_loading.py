"""Files go down the road of the network: plain or packed, whole or by line, once however often they are loaded."""

import gzip
import json
import time
from pathlib import Path

import pytest
import zstandard
from sqlalchemy import text

from app.collector import Collector
from app.file_loading import load_files
from ingest.files import UnreadableFile
from tests.conftest import Database
from tests.integration.test_otlp_http import traces


def documents(traces_wanted: range) -> list[str]:
    end = str(time.time_ns())
    return [
        json.dumps(
            {
                "resourceSpans": [
                    {
                        "scopeSpans": [
                            {"spans": [{"traceId": f"{trace:032x}", "spanId": "01" * 8, "endTimeUnixNano": end}]}
                        ]
                    }
                ]
            }
        )
        for trace in traces_wanted
    ]


def test_every_kind_of_file_is_loaded_once_and_a_broken_one_is_named(migrated: Database, tmp_path: Path) -> None:
    body = traces(70, 3).SerializeToString()
    (tmp_path / "traces-1.bin").write_bytes(body)
    (tmp_path / "traces-1.bin.gz").write_bytes(gzip.compress(body))
    (tmp_path / "export.jsonl.zst").write_bytes(zstandard.compress("\n".join(documents(range(71, 75))).encode()))
    (tmp_path / "one.json").write_text(documents(range(75, 76))[0])
    (tmp_path / "traces-broken.bin").write_bytes(body[:-4])
    for _ in range(2):
        loaded = load_files(Collector(migrated.engine), 1, [tmp_path])
        assert (loaded.files, loaded.bodies, loaded.records) == (5, 7, 3 + 3 + 4 + 1)
        (fault,) = loaded.faults
        assert "traces-broken.bin: the body of" in fault
    with migrated.engine.connect() as connection:
        assert connection.execute(text("select count(*) from spans")).scalar_one() == 3 + 4 + 1
        dirty = "select count(*) from (select distinct trace_id from dirty_traces) traces"
        assert connection.execute(text(dirty)).scalar_one() == 6


def test_a_path_that_is_not_there_is_said(migrated: Database, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="no such file"):
        load_files(Collector(migrated.engine), 1, [tmp_path / "nothing"])
    (tmp_path / "data.bin").write_bytes(b"")
    loaded = load_files(Collector(migrated.engine), 1, [tmp_path / "data.bin"])
    assert "say --signal" in loaded.faults[0]
