"""``harness doctor``: what this machine has, and what would stop a run."""

from dataclasses import asdict

import typer

from harness.cli.options import DEFAULT_STORE, DataOption, JsonOption, StoreOption, read_folders
from harness.display.console import print_json


def doctor(data: DataOption = None, store: StoreOption = DEFAULT_STORE, json: JsonOption = False) -> None:
    """Show what this machine has: versions, devices, disk, data sets, tracker. Exit code 1 if something stops a run."""
    from harness.api.doctor import doctor as look

    findings = look(data=read_folders(data), store=store)
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            typer.echo(f"{finding.state:<8} {finding.what:<{width}}  {finding.message}")
    if any(finding.state == "problem" for finding in findings):
        raise typer.Exit(1)
