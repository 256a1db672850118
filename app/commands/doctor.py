"""`jevons doctor`: checks every part and says what to do."""

import json

import typer

from app.options import AsJson, DataDir, configure


def doctor(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check versions, disk, database, roles, migrations, partitions, audit trail and broker."""
    from dataclasses import asdict

    from app.doctor import examine

    chosen = configure(data_dir=data_dir)
    findings = []
    for finding in examine(chosen):
        findings.append(finding)
        if not as_json:
            print(f"{'ok ' if finding.is_ok else 'BAD'} {finding.name:<11} {finding.seen}")
            if not finding.is_ok and finding.next_step:
                print(f"    {'':<11} → {finding.next_step}")
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    if not all(finding.is_ok for finding in findings):
        raise typer.Exit(1)


def register(cli: typer.Typer) -> None:
    """Add `doctor`."""
    cli.command()(doctor)
