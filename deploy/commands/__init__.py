"""The commands of the console script: their arguments, and what they call."""

from __future__ import annotations

from deploy.commands import asking, bundling, deploying, ingesting, kernels, listing, publishing, simulating
from deploy.commands.shared import Command

COMMANDS: dict[str, Command] = (
    simulating.COMMANDS
    | ingesting.COMMANDS
    | asking.COMMANDS
    | publishing.COMMANDS
    | listing.COMMANDS
    | kernels.COMMANDS
    | bundling.COMMANDS
    | deploying.COMMANDS
)
"""By name, in the order of the overview."""
