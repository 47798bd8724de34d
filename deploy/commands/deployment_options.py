"""How a command names a deployment, and how it is reached: by its file, or by name, profile and region."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.aws.access import Access

CONFIG = "antfold.toml"


def access_arguments(parser: argparse.ArgumentParser) -> None:
    """How AWS is reached."""
    parser.add_argument("--profile", metavar="NAME", help="a profile of ~/.aws/config")
    parser.add_argument("--region", metavar="NAME", help="default: the file's, or the AWS configuration's")
    parser.add_argument("--endpoint", metavar="URL", help="of an AWS emulator")


def named_arguments(parser: argparse.ArgumentParser) -> None:
    """Which deployment."""
    parser.add_argument("--config", metavar="FILE", default=CONFIG, help=f"the deployment file ({CONFIG})")
    parser.add_argument("--name", metavar="NAME", help="the deployment, without a file")


def access_of(options: argparse.Namespace, region: str | None = None) -> Access:
    """The access that the options describe; ``region`` is that of the file."""
    from runtime.aws.access import Access

    return Access(options.profile, options.region or region, options.endpoint)


def named(options: argparse.Namespace) -> tuple[str, Access]:
    """The deployment's name and access, from ``--name`` or the file."""
    if options.name:
        return options.name, access_of(options)
    from deploy.stack.settings import load

    settings = load(options.config)
    return settings.name, access_of(options, settings.region)
