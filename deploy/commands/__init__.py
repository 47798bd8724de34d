"""The commands of the console script: their arguments, and what they call."""

from __future__ import annotations

from deploy.commands import (
    bundle,
    compact_command,
    deploy,
    erase_command,
    follow_command,
    format_list,
    ingest_command,
    kernel_list,
    mending_commands,
    points_commands,
    preview_command,
    publish,
    quarantine_command,
    query_command,
    rejects_command,
    retain_command,
    serve_command,
    simulate,
    store,
    undo_command,
    upkeep_commands,
    watch_command,
)
from deploy.commands.shared import Command

COMMANDS: dict[str, Command] = (
    simulate.COMMANDS
    | preview_command.COMMANDS
    | ingest_command.COMMANDS
    | watch_command.COMMANDS
    | rejects_command.COMMANDS
    | quarantine_command.COMMANDS
    | format_list.COMMANDS
    | query_command.COMMANDS
    | follow_command.COMMANDS
    | serve_command.COMMANDS
    | points_commands.COMMANDS
    | publish.COMMANDS
    | store.COMMANDS
    | undo_command.COMMANDS
    | erase_command.COMMANDS
    | retain_command.COMMANDS
    | compact_command.COMMANDS
    | upkeep_commands.COMMANDS
    | kernel_list.COMMANDS
    | bundle.COMMANDS
    | deploy.COMMANDS
    | mending_commands.COMMANDS
)
"""By name, in the order of the overview."""
