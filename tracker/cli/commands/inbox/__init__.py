"""`tracker inbox`: the callbacks that the provider sent, and decisions about them."""

from __future__ import annotations

import typer

from tracker.cli.command_group import CommandGroup
from tracker.cli.commands.inbox import join_and_ignore, list_and_show, send_sample, tail

inbox_group = typer.Typer(
    cls=CommandGroup, help="Look at callbacks, and decide what they belong to.", no_args_is_help=True
)
inbox_group.command("list")(list_and_show.list_callbacks)
inbox_group.command("show")(list_and_show.show_callback)
inbox_group.command("join")(join_and_ignore.join_callback)
inbox_group.command("ignore")(join_and_ignore.ignore_callback)
inbox_group.command("tail")(tail.tail_callbacks)
inbox_group.command("send-sample")(send_sample.send_sample)
