"""Imported sessions are stored once, and derive to the same calls out of the database as out of the files."""

import json
from pathlib import Path

from sqlalchemy import text

from app.importing import store_imported
from ingest.calls import derive_calls
from ingest.transcripts import claude_code
from models.store.telemetry import load_spans
from tests.conftest import Database


def test_an_import_and_its_repeat_store_each_request_once(migrated: Database, tmp_path: Path) -> None:
    rows = [
        {
            "type": "assistant",
            "uuid": f"u-{number}",
            "sessionId": "s-1",
            "timestamp": f"2026-03-01T10:00:{number:02d}.000Z",
            "requestId": f"req_{number:020d}",
            "message": {
                "id": f"msg_{number:020d}",
                "model": "claude-opus-4-5-20251101",
                "usage": {"input_tokens": 3, "cache_read_input_tokens": 900, "output_tokens": 10 + number},
            },
        }
        for number in range(12)
    ]
    file = tmp_path / "s-1.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows[:9]))
    first = store_imported(migrated.engine, 1, claude_code.read_sessions([file]).spans)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported = claude_code.read_sessions([file])
    again = store_imported(migrated.engine, 1, imported.spans)
    assert (first.stored, first.duplicates) == (9, 0)
    assert (again.stored, again.duplicates) == (3, 9)
    traces = {span.trace_id for span in imported.spans}
    with migrated.engine.connect() as connection:
        kept = load_spans(connection, 1, traces)
        assert connection.execute(text("select count(*) from dirty_traces")).scalar_one() >= 1
    assert derive_calls(kept) == derive_calls(imported.spans)
