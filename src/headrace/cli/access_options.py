"""Options of those commands that say who may do what."""

from typing import Annotated

import typer

RoleName = Annotated[
    str,
    typer.Option(
        "--role", metavar="viewer|operator|admin", help="viewer: looks; operator: acts on jobs; admin: everything."
    ),
]
Tenant = Annotated[
    str | None, typer.Option("--tenant", metavar="TENANT", help="The only tenant whose jobs are seen. Default: all.")
]
