"""`tracker db`: the database as a whole: its schema, copies of it, and what it forgets. One module per verb."""

from __future__ import annotations

import typer

from tracker.cli import Commands, app

db = typer.Typer(
    cls=Commands, help="The database as a whole: schema, backups, moving, tidying.", no_args_is_help=True
)
app.add_typer(db, name="db")

from tracker.cli.db import backup as _backup  # noqa: E402, F401 -- each registers its commands on `db`
from tracker.cli.db import copy as _copy  # noqa: E402, F401
from tracker.cli.db import prune as _prune  # noqa: E402, F401
from tracker.cli.db import restore as _restore  # noqa: E402, F401
from tracker.cli.db import versions as _versions  # noqa: E402, F401
