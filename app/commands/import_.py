"""`jevons import`: session files, spend logs and usage reports of tools that emit no OTLP."""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.options import AsJson, DataDir, configure

if TYPE_CHECKING:
    from ingest.transcripts.common import Imported
    from models.core.telemetry import Rejection

SHOWN_REJECTIONS = 20


class Tool(StrEnum):
    """Whose files are read."""

    CLAUDE_CODE = "claude-code"
    CODEX = "codex"
    GEMINI_CLI = "gemini-cli"
    LITELLM = "litellm"
    COPILOT = "copilot"


def reader_of(tool: Tool) -> "Callable[[Sequence[Path]], Imported]":
    """The importer of a tool."""
    from ingest.transcripts import claude_code, codex, gemini_cli, litellm

    return {
        Tool.CLAUDE_CODE: claude_code.read_sessions,
        Tool.CODEX: codex.read_sessions,
        Tool.GEMINI_CLI: gemini_cli.read_sessions,
        Tool.LITELLM: litellm.read_spend_logs,
    }[tool]


def import_files(
    tool: Annotated[Tool, typer.Argument(help="Whose files they are.")],
    paths: Annotated[list[Path], typer.Argument(help="Session files, spend logs or reports, or directories of them.")],
    project: Annotated[str | None, typer.Option(help="Project to load into; made when missing.")] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Load requests from session files and spend logs, or Copilot's usage report. Loading them twice loads once."""
    configure(data_dir=data_dir)
    if tool is Tool.COPILOT:
        _import_copilot(paths, project, as_json)
        return
    from app import wiring
    from app.importing import store_imported

    imported = reader_of(tool)(paths)
    parts = wiring.current()
    project_id = _project(project)
    stored = store_imported(parts.engine, project_id, imported.spans, show_progress=not as_json)
    parts.hint("derive")
    if as_json:
        print(
            json.dumps(
                {
                    "files": imported.files,
                    "requests": len(imported.spans),
                    "stored": stored.stored,
                    "already_stored": stored.duplicates,
                    "repeated": imported.repeated,
                    "rejections": [rejection.as_json() for rejection in imported.rejections],
                }
            )
        )
        return
    print(
        f"{imported.files} files: {len(imported.spans)} requests, {stored.stored} new, "
        f"{stored.duplicates} already stored, {imported.repeated} repeats within the files"
    )
    _print_rejections(imported.rejections)


def _import_copilot(paths: list[Path], project: str | None, as_json: bool) -> None:
    """GitHub's usage report: charges of their own, tied to the report month by month."""
    from app.reported import import_copilot
    from models.core.money import plain, rounded

    done = import_copilot(paths, lambda: _project(project), show_progress=not as_json)
    report = done.report
    if as_json:
        print(
            json.dumps(
                {
                    "files": report.files,
                    "lines": len(report.lines),
                    "new": done.recorded.added - done.recorded.superseded,
                    "replaced": done.recorded.superseded,
                    "unchanged": done.recorded.unchanged,
                    "repeated": report.repeated,
                    "months": [
                        {
                            "period": tie.month,
                            "lines": tie.lines,
                            "credits": plain(tie.credits),
                            "consumed": plain(tie.consumed),
                            "gross": plain(tie.gross),
                            "discount": plain(tie.discount),
                            "net": plain(tie.net),
                            "off_percent": plain(rounded(tie.off * 100, 4)),
                            "tied": tie.is_tied,
                        }
                        for tie in done.ties
                    ],
                    "rejections": [rejection.as_json() for rejection in report.rejections],
                }
            )
        )
    else:
        print(
            f"{report.files} files: {len(report.lines)} lines, {done.recorded.added - done.recorded.superseded} new, "
            f"{done.recorded.superseded} replaced, {done.recorded.unchanged} unchanged, {report.repeated} repeats"
        )
        for tie in done.ties:
            verdict = "agree" if tie.is_tied else "do not agree"
            print(
                f"  {tie.month}: {plain(tie.credits)} credits = {plain(tie.consumed)} USD consumed; report: gross "
                f"{plain(tie.gross)}, discount {plain(tie.discount)}, net {plain(tie.net)}; "
                f"{verdict} ({plain(rounded(tie.off * 100, 4))} % off)"
            )
        _print_rejections(report.rejections)
    if not all(tie.is_tied for tie in done.ties):
        raise typer.Exit(1)


def _project(name: str | None) -> int:
    from app import wiring
    from models.store.projects import ensure_project

    if name is None:
        return 1
    with wiring.transaction() as connection:
        return ensure_project(connection, name).id


def _print_rejections(rejections: "Sequence[Rejection]") -> None:
    for rejection in rejections[:SHOWN_REJECTIONS]:
        print(f"  not taken: {rejection.position}: {rejection.reason}")
    if len(rejections) > SHOWN_REJECTIONS:
        print(f"  and {len(rejections) - SHOWN_REJECTIONS} more")


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command("import")(import_files)
