"""`headrace why`: why a job is where it is."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer
from rich.text import Text

from headrace.cli.job_page import print_why
from headrace.cli.opening import with_app
from headrace.cli.options import AsJson, Schema, Url, read_job_id
from headrace.cli.output import print_json, say, state_text


def why(
    job_id: Annotated[UUID, typer.Argument(metavar="ID", parser=read_job_id, help="The job's id.")],
    url: Url = None,
    schema: Schema = "headrace",
    as_json: AsJson = False,
) -> None:
    """Say why a job does not run, or how it ended, and what happens next."""
    told = with_app(url, schema, lambda app: app.why(job_id))
    if as_json:
        print_json(told.as_dict())
        return
    say(Text.assemble((f"job {told.job_id}", "bold"), "  ", state_text(told.state), f"  {told.task} in {told.queue}"))
    print_why(told)
