"""``dataflow deploy``, ``status`` and ``destroy``: the AWS deployment."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.commands.deployment_options import CONFIG, access_arguments, access_of, named, named_arguments
from deploy.commands.shared import Command, UsageError, json_argument, show_json, show_table

if TYPE_CHECKING:
    from deploy.stack.actions.change_sets import Change, Proposal, Stack
    from deploy.stack.actions.status import Status
    from deploy.stack.settings import StackSettings
    from runtime.aws.access import Access


def _service_role(options: argparse.Namespace) -> str | None:
    from deploy.stack.settings import load

    return load(options.config).service_role


def _deploy_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", metavar="FILE", default=CONFIG, help=f"the deployment file ({CONFIG})")
    parser.add_argument("--init", action="store_true", help="write a commented file to start from")
    parser.add_argument("--print-template", action="store_true", help="print the template, without a request to AWS")
    parser.add_argument("--costs", action="store_true", help="print what it costs a month, without a request to AWS")
    parser.add_argument("--dry-run", action="store_true", help="show the changes, and make none")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--bundle", metavar="ZIP", help="use this bundle instead of building one")
    parser.add_argument("--rollback", action="store_true", help="go back to what the last update replaced, at once")
    access_arguments(parser)


def _deploy(options: argparse.Namespace) -> int:
    from deploy.stack import settings
    from deploy.stack.resources import template

    if options.init:
        settings.init(options.config)
        print(f"wrote {options.config}; declare your streams in it, then run: dataflow deploy --dry-run")
        return 0
    said = settings.load(options.config)
    if options.print_template:
        print(template.text(template.template(said), 2), end="")
        return 0
    if options.costs:
        from deploy.stack.costs import report

        print(report(said))
        return 0
    if options.rollback:
        return _roll_back(options, said)
    if options.bundle and not Path(options.bundle).is_file():
        raise UsageError(f"--bundle {options.bundle}: there is no such file")
    if not options.dry_run and not options.yes:
        _needs_terminal(f"deploying {said.name} needs confirmation")
    from deploy.stack.actions.create import Deployment

    deployment = Deployment(said, access_of(options), _tell)
    proposal = deployment.propose(Path(options.bundle) if options.bundle else None, options.dry_run)
    for note in deployment.notes:
        print(note)
    shifts = deployment.shifts
    if not proposal.changes and not shifts:
        print(f"{said.name} matches {options.config}: no changes")
        return 0
    if not _applies(options, deployment.stack, proposal, shifts, said):
        return 0 if options.dry_run else 1
    for line in deployment.renew_kernels():
        print(line, file=sys.stderr)
    watch = deployment.watch()
    if watch.ignored:
        print(f"these alarms ring already, so they do not stop the update: {', '.join(sorted(watch.ignored))}")
    if proposal.changes:
        with _going_on():
            seen = deployment.carry_out(proposal, _step)
    if shifts:
        with _shifting():
            seen = deployment.shift(watch, _report(said), _step)
    for name, value in sorted(seen.outputs.items()):
        print(f"{name}: {value}")
    _show_next(seen.outputs, said, access_of(options, said.region))
    return 0


def _applies(
    options: argparse.Namespace, stack: Stack, proposal: Proposal, shifts: Sequence[str], settings: StackSettings
) -> bool:
    """Show the changes and ask; whether they may be made. If not, they are withdrawn."""
    agreed = False
    try:
        if proposal.changes:
            _show_changes(proposal.changes)
        if shifts:
            print(
                f"new versions of {', '.join(shifts).lower()}: {settings.shift_share:.0%} of the calls for "
                f"{settings.shift_minutes:,} min, then all; an alarm takes the update back"
            )
        question = f"apply {len(proposal.changes)} changes?" if proposal.changes else "finish the interrupted update?"
        agreed = not options.dry_run and (options.yes or _agreed(question))
    finally:
        if not agreed and proposal.changes:
            stack.withdraw(proposal)
    if not agreed:
        print("no changes made" + (" (--dry-run)" if options.dry_run else ""))
    return agreed


def _roll_back(options: argparse.Namespace, settings: StackSettings) -> int:
    from deploy.stack.actions.rollback import Rollback

    if not options.dry_run and not options.yes:
        _needs_terminal(f"taking {settings.name} back needs confirmation")
    rollback = Rollback(settings.name, access_of(options, settings.region))
    proposal = rollback.propose()
    if not proposal.changes:
        print(f"{settings.name} is as it was before the last update: no changes")
        return 0
    if not _applies(options, rollback.stack, proposal, (), settings):
        return 0 if options.dry_run else 1
    with _going_on():
        rollback.stack.carry_out(proposal, _step)
    print(f"{settings.name} runs what it ran before the last update")
    return 0


def _report(settings: StackSettings) -> Callable[[float, int], None]:
    """Shows on one line how much of the shift is left."""

    def report(left: float, alarms: int) -> None:
        if sys.stderr.isatty():
            print(
                f"\r{settings.shift_share:.0%} of the calls run the new version, {int(left) // 60}:"
                f"{int(left) % 60:02} left, {alarms} alarms quiet (Ctrl-C leaves it so)  ",
                end="" if left > 0 else "\n", file=sys.stderr, flush=True,
            )  # fmt: skip

    return report


@contextmanager
def _shifting() -> Iterator[None]:
    """On Ctrl-C, say that the shift stays as it is, and how it ends."""
    try:
        yield
    except KeyboardInterrupt:
        print(
            "\ndataflow: interrupted, so nothing watches the alarms any more; `dataflow status` shows which versions "
            "have the calls, `dataflow deploy` finishes the update, `dataflow deploy --rollback` takes it back",
            file=sys.stderr,
        )
        raise SystemExit(130) from None


def _show_next(outputs: Mapping[str, str], settings: StackSettings, access: Access) -> None:
    from deploy.stack.resources.cloudformation import logical
    from deploy.stack.resources.resource_names import LANDING, reached
    from runtime.aws.kms import KEY_VARIABLE
    from runtime.fleet.aws_lambda import WORKERS_VARIABLE

    store = reached(outputs["Store"], access)
    few = "" if settings.reserve else f"  export {WORKERS_VARIABLE}={settings.worker_concurrency}\n"
    for stream in sorted(settings.streams)[:1]:
        firehose = outputs[logical("Delivery", stream)]
        print(
            f"\nput points into the Firehose {firehose} (they arrive after about a minute), or copy a file:\n"
            f"  aws s3 cp points.ndjson.gz s3://{outputs['LandingBucket']}/{LANDING}/{stream}/"
        )
    print(
        "\nquery; the key signs what workers run, for they run nothing else:\n"
        f"  export {KEY_VARIABLE}={outputs['SigningKey']}\n{few}"
        f"  dataflow query '{store}' metrics.py:uptime --executor lambda:{outputs['Worker']}\n"
        f"  dataflow publish '{store}' metrics.py:uptime --name uptime --target {settings.architecture}\n"
        "\nshow its state:\n"
        "  dataflow status"
    )


def _show_changes(changes: Sequence[Change]) -> None:
    from deploy.commands.store_views import column
    from operators.types import Type

    text = Type.STRING
    show_table(
        {
            "action": column(text, [c.action for c in changes]),
            "resource": column(text, [c.name for c in changes]),
            "type": column(text, [c.type for c in changes]),
            "replaced": column(text, ["" if c.replaces in ("", "False") else c.replaces for c in changes]),
        }
    )


def _status_arguments(parser: argparse.ArgumentParser) -> None:
    named_arguments(parser)
    json_argument(parser)
    access_arguments(parser)


def _status(options: argparse.Namespace) -> int:
    from deploy.stack.actions.status import status

    found = status(*named(options))
    if options.format == "json":
        show_json(found.to_dict())
    else:
        _show_status(found)
    return 0 if found.ok else 1


def _show_status(found: Status) -> None:
    from deploy.commands.store_views import column
    from deploy.passes import sentences
    from operators.types import Type
    from runtime.display.text_tables import iso

    dismissed = any(s.dismissed for s in found.streams)
    text, whole = Type.STRING, Type.INT
    print(f"{found.name}: {found.stack}, changed {found.changed[:19]}")
    if found.functions:
        show_table(
            {
                "function": column(text, [f.name for f in found.functions]),
                "state": column(text, [f.state for f in found.functions]),
                "MB": column(whole, [f.memory for f in found.functions]),
                "seconds": column(whole, [f.timeout for f in found.functions]),
                "concurrency": column(whole, [f.concurrency for f in found.functions]),
                "changed": column(text, [f.changed[:19] for f in found.functions]),
                "version": column(text, [f.version for f in found.functions]),
            }
        )
    for f in found.functions:
        if f.following:
            print(
                f"{f.name}: shifting: {f.share:.0%} on version {f.following} (`dataflow deploy` finishes the update, "
                "`dataflow deploy --rollback` takes it back)"
            )
    if found.streams:
        show_table(
            {
                "stream": column(text, [s.name for s in found.streams]),
                "files": column(whole, [s.files for s in found.streams]),
                "rows": column(whole, [s.rows for s in found.streams]),
                "sources": column(whole, [s.sources for s in found.streams]),
                "quarantined": column(whole, [s.quarantined for s in found.streams]),
                **({"dismissed": column(whole, [s.dismissed for s in found.streams])} if dismissed else {}),
                "rejected in a day": column(whole, [s.rejected_last_day for s in found.streams]),
                "last ingest": column(text, [iso(s.last_ingest)[:19] for s in found.streams]),
                "ago": column(text, [ago(s.age) for s in found.streams]),
            }
        )
    else:
        print("no points yet")
    if found.waiting is not None:
        oldest = "" if found.waiting_seconds is None else f", the oldest for {ago(found.waiting_seconds)}"
        print(f"waiting objects: {found.waiting:,}{oldest}; dead letters: {found.dead or 0:,}")
    print("\n".join(sentences(found.passes)) if found.passes is not None else "reconcile: no pass yet")
    for name, value in sorted(found.outputs.items()):
        print(f"{name}: {value}")
    ringing = sum(state == "ALARM" for state in found.alarms.values())
    print(f"alarms: {len(found.alarms)}, {ringing or 'none'} active")
    if found.attention:
        print("\nneeds attention:")
    for one in found.attention:
        print(f"  {one}")


def ago(seconds: int) -> str:
    """A time span in its largest unit, for people: ``3 h``."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:,} {unit}"
    return f"{seconds:,} s"


def _destroy_arguments(parser: argparse.ArgumentParser) -> None:
    named_arguments(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would be removed, and remove nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--delete-data", action="store_true", help="delete the points too, irreversibly")
    parser.add_argument("--confirm", metavar="NAME", help="the deployment's name once more, for --delete-data")
    access_arguments(parser)


def _destroy(options: argparse.Namespace) -> int:
    from deploy.stack.actions.remove import Removal

    if options.confirm and not options.delete_data:
        raise UsageError("--confirm needs --delete-data")
    name, access = named(options)
    role = None if options.name else _service_role(options)
    if not options.dry_run and not options.delete_data and not options.yes:
        _needs_terminal(f"removing {name} needs confirmation")
    removal = Removal(name, access, _tell, _step, role)
    if options.dry_run:
        _show_changes(removal.proposed())
        print("nothing was removed (--dry-run)" + ("; with --delete-data, the data too" if options.delete_data else ""))
        return 0
    if options.delete_data:
        _be_sure(name, options.confirm)
        with _going_on():
            left = removal.delete()
        print(f"{name} and its data are deleted" + ("; still there:" if left else ""))
    else:
        if not options.yes and not _agreed(f"remove everything of {name} that runs, and keep its data?"):
            print("nothing was removed")
            return 1
        with _going_on():
            left = removal.stop()
        print(f"{name} no longer runs" + ("; its data remains:" if left else ""))
    for line in left:
        print(f"  {line}")
    if left and not options.delete_data:
        print(
            "dataflow deploy starts it again with this data; to delete the data for good: "
            f"dataflow destroy --name {name} --delete-data --confirm {name}"
        )
    return 0


def _be_sure(name: str, confirm: str | None) -> None:
    """The name must be given twice before data is deleted."""
    if confirm is None and sys.stdin.isatty():
        confirm = input(f"this deletes every point of {name} for good; type its name: ").strip()
    if confirm != name:
        raise UsageError(f"--delete-data deletes every point for good: confirm with --confirm {name}")


def _needs_terminal(why: str) -> None:
    if not sys.stdin.isatty():
        raise UsageError(f"{why}, and there is no terminal: give --yes")


def _agreed(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


@contextmanager
def _going_on() -> Iterator[None]:
    """On Ctrl-C, stop waiting, and say that AWS continues."""
    try:
        yield
    except KeyboardInterrupt:
        print("dataflow: interrupted; AWS continues: see `dataflow status`", file=sys.stderr)
        raise SystemExit(130) from None


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        print(f"{what} ...", file=sys.stderr)


def _step(name: str, status: str) -> None:
    if sys.stderr.isatty():
        print(f"  {name}: {status.lower().replace('_', ' ')}", file=sys.stderr)


COMMANDS: dict[str, Command] = {
    "deploy": Command(
        "create or update the AWS deployment that antfold.toml describes",
        "dataflow deploy --dry-run",
        _deploy_arguments,
        _deploy,
    ),
    "status": Command(
        "show the state of a deployment: functions, queues, streams, alarms",
        "dataflow status --name antfold --format json",
        _status_arguments,
        _status,
    ),
    "destroy": Command(
        "remove a deployment; its data stays unless --delete-data is given",
        "dataflow destroy --name antfold --dry-run",
        _destroy_arguments,
        _destroy,
    ),
}
