"""`headrace doctor`: what is wrong with the database, and what to do about it."""

from typing import TYPE_CHECKING

import typer
from rich.text import Text

from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url
from headrace.cli.output import print_json, say, visible

if TYPE_CHECKING:
    from headrace.doctor import Finding

STYLES = {"critical": "bold red", "warning": "yellow", "info": "dim"}


def doctor(url: Url = None, schema: Schema = "headrace", as_json: AsJson = False) -> None:
    """Look for what is wrong or about to be, and print remedies to copy; exit 1 if there is anything worse than info.

    It changes nothing, and needs no superuser: what the role may not see is said.
    """
    findings = with_app(url, schema, lambda app: app.diagnose())
    wrong = [finding for finding in findings if finding.severity != "info"]
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            _print(finding)
        if not wrong:
            say("nothing is wrong")
    if wrong:
        raise typer.Exit(1)


def _print(finding: "Finding") -> None:
    say(Text.assemble((f"{finding.severity:9}", STYLES[finding.severity]), visible(finding.what)))
    if finding.detail:
        say(Text(f"{'':9}{visible(finding.detail)}", "dim"))
    if finding.remedy:
        say(Text.assemble((f"{'':9}→ ", "green"), visible(finding.remedy)))
