"""`jevons lint`: what an instrumentation lacks, for the CI of those who instrument."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.options import AsJson
from models.core.vocabulary import Signal


def lint(
    paths: Annotated[list[Path], typer.Argument(help="OTLP files or directories: .bin, .json, .jsonl, .gz, .zst.")],
    threshold: Annotated[float, typer.Option(min=0, max=100, help="Least score in percent; below it exit 1.")] = 80.0,
    signal: Annotated[Signal | None, typer.Option(help="Signal of files whose name and content do not tell.")] = None,
    as_json: AsJson = False,
) -> None:
    """Name what the telemetry in OTLP files lacks, the key to set and how; exit 1 under the threshold."""
    from ingest.calls import derive_calls
    from ingest.file_spans import spans_of_files
    from ingest.lint import lint_calls
    from ingest.metric_check import metric_gaps

    read = spans_of_files(paths, signal)
    calls = derive_calls(read.spans).calls
    found, gaps = lint_calls(calls), metric_gaps(read.spans, calls)
    passed = found.score is not None and found.score >= threshold
    if as_json:
        print(
            json.dumps(
                {
                    "score": found.score,
                    "threshold": threshold,
                    "passed": passed,
                    "calls": found.calls,
                    "findings": [asdict(finding) for finding in found.findings],
                    "metric_gaps": [asdict(gap) for gap in gaps],
                    "rejections": [rejection.as_json() for rejection in read.rejections],
                }
            )
        )
    else:
        for finding in found.findings:
            print(
                f"{finding.instrumentation or '(no scope)'}: {finding.failing} of {finding.calls} calls without "
                f"{finding.check}\n    missing  {finding.missing}\n    fix      {finding.fix}"
            )
        for gap in gaps:
            print(
                f"{gap.scope}: the metric {gap.metric} of {gap.service or 'a service without a name'} tells "
                f"{gap.said:,} output tokens, its calls {gap.counted:,}\n"
                "    fix      export the spans or logs of the same requests: metrics make no calls"
            )
        for rejection in read.rejections:
            print(f"not taken: {rejection.position}: {rejection.reason}")
        shown = "no calls found" if found.score is None else f"score {found.score} % over {found.calls} calls"
        print(f"{shown}; threshold {threshold} %")
    if not passed:
        raise typer.Exit(1)


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(lint)
