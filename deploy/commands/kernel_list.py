"""``dataflow kernels``: lists the kernels of a store."""

from __future__ import annotations

import argparse

from deploy.commands.shared import Command, json_argument, show_json, show_table, store_argument


def _arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    json_argument(parser)


def _kernels(options: argparse.Namespace) -> int:
    from deploy.commands.store_views import kernels_columns, kernels_json
    from runtime import Store
    from runtime.query.kernel_store import listed

    store = Store(options.store)
    store.catalogue.streams()  # raises if there is no store
    kernels = list(listed(store.objects))
    if options.format == "json":
        show_json(kernels_json(kernels))
    elif kernels:
        show_table(kernels_columns(kernels))
    else:
        print("no kernels yet: queries on a fleet and dataflow publish write them")
    return 0


COMMANDS: dict[str, Command] = {
    "kernels": Command(
        "list the kernels that workers load", "dataflow kernels s3://lake/telemetry", _arguments, _kernels
    ),
}
