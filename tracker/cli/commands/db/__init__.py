"""`tracker db`: the schema, backups, copies and clean-up of the database."""

from __future__ import annotations

import typer

from tracker.cli.command_group import CommandGroup
from tracker.cli.commands.db import backup, copy, new_inbox, prune, restore, versions

db_group = typer.Typer(
    cls=CommandGroup, help="Upgrade, check, back up, copy and prune the database.", no_args_is_help=True
)
db_group.command()(backup.backup)
db_group.command()(copy.copy)
db_group.command("new-inbox")(new_inbox.new_inbox)
db_group.command()(prune.prune)
db_group.command()(restore.restore)
db_group.command("after-restore")(restore.after_restore)
db_group.command()(versions.check)
db_group.command()(versions.upgrade)
