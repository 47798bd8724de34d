"""The deployment file: every setting, and one sentence for every mistake."""

from __future__ import annotations

import re
from dataclasses import fields
from inspect import signature
from pathlib import Path

import pytest

from deploy.stack import settings
from deploy.stack.example import EXAMPLE
from deploy.stack.settings import ScheduleSettings, SettingsError, StackSettings, StreamSettings, Tenant, parse
from runtime.fleet.aws_lambda import invoker
from runtime.fleet.rules import Rules
from runtime.ingest.formats import names


def uncommented() -> str:
    text = re.sub(r"^# (?=[a-z_\[]+.*(=|\]))", "", EXAMPLE, flags=re.M)
    return text.replace('"..."', '"other"').replace("key/...", "key/0ab1")


def test_the_example_is_the_defaults() -> None:
    found = parse(EXAMPLE)
    assert found == StackSettings(streams={"telemetry": StreamSettings("device", "ts", "ms", duplicates="exact")})


def test_the_example_names_every_setting() -> None:
    text = uncommented()
    for cls in (StackSettings, StreamSettings, ScheduleSettings, Tenant):
        for f in fields(cls):
            if f.name not in ("streams", "schedules", "tenants", "reading"):
                assert re.search(rf"^{f.name} = ", text, re.M), f.name
    found = parse(text)
    assert found.tenants == {"acme": Tenant("arn:aws:iam::444455556666:root")}
    assert found.streams["telemetry"].reading == {
        "time_zone": "Europe/Berlin", "null": ["NA", "-999"], "type": {"amount": "decimal(2)"},
    }  # fmt: skip
    assert found.schedules[0].alert == ("uptime < 0.95",)
    assert found.kms_key == "arn:aws:kms:eu-west-1:111122223333:key/0ab1"
    for f in fields(StackSettings):  # what is shown is the default, where there is one
        if f.type in ("int", "bool") or f.name in ("name", "architecture"):
            assert getattr(found, f.name) == f.default, f.name


STREAM = "[streams.a]\nkey = 'k'\ntime = 't'\n"
MANY = ", ".join(f"t{i} = '1'" for i in range(41))
SCHEDULE = "[[schedules]]\nevery = 'rate(1 hour)'\n"
DELIVER = SCHEDULE + "query = 'q'\ndeliver = 'alerts'\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[deployment", "not TOML"),
        ("[deploymnt]", "'deploymnt' is no setting; did you mean 'deployment'"),
        (
            "[deployment]\nworker_memry = 1",
            r"\[deployment\]: 'worker_memry' is no setting; did you mean 'worker_",
        ),
        ("[deployment]\nzzz = 1", "'zzz' is no setting; there are name, region"),
        ("deployment = 3", r"\[deployment\] is 3: it must be a table"),
        ("[deployment]\nname = 'Ant'", "name = 'Ant' must have 3 to 24"),
        ("[deployment]\nname = 'an'", "name = 'an' must have 3 to 24"),
        (f"[deployment]\nname = 'a{'-a' * 12}'", "must have 3 to 24"),
        ("[deployment]\nname = 'a--b'", "name = 'a--b' must have"),
        ("[deployment]\narchitecture = 'mips'", "'mips' is none of x86_64, arm64"),
        ("[deployment]\nworker_memory = '1769'", "worker_memory = '1769' must be a whole number"),
        ("[deployment]\nworker_memory = true", "worker_memory = True must be a whole number"),
        ("[deployment]\nworker_memory = 10241", "worker_memory = 10241 must be 512 to 10,240 MB"),
        ("[deployment]\nquery_timeout = 901", "query_timeout = 901 must be 30 to 900 seconds"),
        ("[deployment]\nworker_timeout = 301", "worker_timeout = 301 must be 30 to 300 seconds"),
        ("[deployment]\ningest_concurrency = 1", "ingest_concurrency = 1 must be 2 to"),
        ("[deployment]\nshift_minutes = -1", "shift_minutes = -1 must be 0 to 1,440 minutes"),
        ("[deployment]\nshift_minutes = 1.5", "shift_minutes = 1.5 must be a whole number"),
        ("[deployment]\nshift_share = 1", "shift_share = 1 must be 0.01 to 0.5 of the calls"),
        ("[deployment]\nshift_share = nan", "shift_share = nan must be 0.01 to 0.5 of the calls"),
        ("[deployment]\nshift_share = true", "shift_share = True must be a number"),
        ("[deployment]\nfirehose_mb = 129", "firehose_mb = 129 must be 1 to 128 MiB"),
        ("[deployment]\nlog_days = 31", "CloudWatch has no retention of log_days = 31; the nearest is 30"),
        ("[deployment]\nkms_key = 'alias/mine'", "must be a key's ARN"),
        ("[deployment]\nformer_kms_keys = ['mine']", "former_kms_keys = 'mine' must be a key's ARN"),
        ("[deployment]\nformer_kms_keys = 'created'", "former_kms_keys = 'created' must be a list of texts"),
        ("[deployment]\npermissions_boundary = 'bounds'", "permissions_boundary = 'bounds' must be a policy's ARN"),
        ("[deployment]\nservice_role = 'arn:aws:iam::1:role/x'", "service_role = .* must be a role's ARN"),
        ("[deployment]\nreserve = 1", "reserve = 1 must be true or false"),
        ("[deployment]\ntags = { antfold = 'x' }", "tags: 'antfold' is set by the deployment itself"),
        ("[deployment]\ntags = { 'aws:x' = 'x' }", "tags: 'aws:x' is set by AWS itself"),
        ("[deployment]\ntags = { team = 5 }", "tags: 'team' = 5 must be texts of up to 128 and 256"),
        ("[deployment]\ntags = { team = 'a?' }", r"tags: 'team' = 'a\?' must be texts"),
        (f"[deployment]\ntags = {{ a = '{'x' * 257}' }}", "must be texts of up to 128 and 256"),
        (f"[deployment]\ntags = {{ {MANY} }}", "there are 41; AWS takes 40"),
        (STREAM + "reject_share = 1.5", "reject_share = 1.5 must be 0 to 1"),
        (STREAM + "reject_share = '5%'", "reject_share = '5%' must be a number"),
        (STREAM + "silent_minutes = 5", "silent_minutes = 5 must be 15 to 10,080 minutes"),
        (STREAM + "silent_minutes = 17", "silent_minutes = 17 must be a multiple of 5; the next is 20"),
        (STREAM + "silent_minutes = 1445", "silent_minutes = 1445 must be a multiple of 60; the next is 1500"),
        ("[streams.a]\nkey = 'k'", r"\[streams.a\]: the stream a is new: say which column is its time"),
        ("[streams.a]\nkey = 'k'\ntime = 't'\nunit = 'h'", r"\[streams.a\]: unit 'h' is unknown"),
        ("[streams.a]\nkey = 'k'\ntime = 'k'", "must be different columns"),
        ("[streams.'a/b']\nkey = 'k'\ntime = 't'", r"\[streams.a/b\]: the name must have"),
        ("streams = 1", r"\[streams\] is 1: it must be a table"),
        ("[schedules]\nquery = 'q'", r"written as \[\[schedules\]\]"),
        ("[[schedules]]\nquery = 'q'", r"\[\[schedules\]\] number 1: 'every' is missing"),
        ("[[schedules]]\nquery = 'q'\nevery = '1h'", r"every = '1h' must be rate\(1 hour\)"),
        ("[[schedules]]\nquery = 'q'\nevery = 'rate(1 hour)'\nalert = 'a<1'", "alert = 'a<1' must be a list of texts"),
        ("[[schedules]]\nquery = 'q'\nevery = 'rate(1 hour)'\nalert = [1]", r"alert = \[1\] must be a list of texts"),
        (SCHEDULE + "query = 'reconcile'", "reconcile already has a schedule"),
        (SCHEDULE + "query = 'a b'", "number 1: 'a b' cannot be the name of a query"),
        (SCHEDULE + "query = 'q@3'", "number 1: 'q@3' cannot be the name of a query"),
        (SCHEDULE + f"query = '{'q' * 60}'", "has more than the 64 characters of a schedule's name"),
        (SCHEDULE + "query = 'q'\nalert = ['a is low']", "number 1: the threshold 'a is low' is not of the form"),
        (SCHEDULE + "query = 'q'\nsince = 'last week'", "number 1: since: 'last week' is not a time"),
        (SCHEDULE + "query = 'q'\nuntil = 'today'\nzone = 'Mars'", "Mars"),
        (SCHEDULE + "query = 'q'\nparams = {at = 2024-03-01}", "params: Object of type date .* write times as texts"),
        (SCHEDULE + "query = 'q'\nparams = {at = nan}", "params: Out of range float values"),
        (DELIVER + "until = 'today'", "number 1: a schedule with deliver takes no until"),
        (DELIVER + "alert = ['n < 1']", "number 1: a schedule with deliver takes no alert"),
        (DELIVER + "csv = true", "number 1: a schedule with deliver takes no csv"),
        (DELIVER + "since = '-7d'", "number 1: a schedule with deliver takes no since that moves, such as '-7d'"),
        (DELIVER + "since = 'today'", "number 1: a schedule with deliver takes no since that moves"),
        (DELIVER + "mode = 'table'", "number 1: a schedule with deliver: mode is 'changes' or 'final'"),
        (DELIVER + "lateness = 'soon'", "number 1: a schedule with deliver: .*lateness"),
        (
            SCHEDULE + "query = 'q'\ndeliver = 'topic'",
            "number 1: a schedule's deliver is 'alerts' or the ARN of a topic",
        ),
        (SCHEDULE + "query = 'q'\ndeliver = true", "deliver = True must be a text"),
        (SCHEDULE + "query = 'q'\nlateness = '5m'", "number 1: a schedule's lateness goes with deliver"),
        (SCHEDULE + "query = 'q'\nmode = 'final'", "number 1: a schedule's mode goes with deliver"),
        ("[tenants.a]\nprincipal = '*'", r"\[tenants.a\]: principal = '\*' must be the ARN"),
        ("[tenants.'*']\nprincipal = 'arn:aws:iam::444455556666:root'", r"\[tenants.\*\]: the name must have"),
    ],
)
def test_mistakes(text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=f"^here.toml.*{says}") as caught:
        parse(text, "here.toml")
    assert "\n" not in str(caught.value).rstrip()


def test_callers_of_a_worker_wait_for_it() -> None:
    """An invocation that outlives the patience of who asked is paid for, repeated, and never answers."""
    longest = settings._RANGES["worker_timeout"][1]
    (waits,) = [p.default for p in signature(invoker).parameters.values() if p.name == "seconds"]
    assert longest < waits < Rules().attempt_seconds


def test_two_schedules_of_one_query_are_told_apart() -> None:
    one = "[[schedules]]\nquery = 'q'\nevery = 'rate(1 hour)'\n"
    with pytest.raises(SettingsError, match=r"number 2: q already has a schedule"):
        parse(one + one)
    assert len(parse(one + one + "version = 2").schedules) == 2
    with pytest.raises(SettingsError, match=r"number 2: q-v2 already has a schedule"):
        parse(one + "version = 2\n" + one.replace("'q'", "'q-v2'"))


def test_a_schedule_that_delivers() -> None:
    more = "since = '2024-03-01'\nlateness = '10m'\nmode = 'final'\nsave = false\nversion = 2\n"
    (found,) = parse(DELIVER + more).schedules
    assert (found.deliver, found.lateness, found.mode, found.title) == ("alerts", "10m", "final", "q-v2")
    arn = "arn:aws-us-gov:sns:us-gov-west-1:444455556666:changes.fifo"
    assert parse(DELIVER.replace("alerts", arn)).schedules[0].deliver == arn


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "antfold.toml"
    with pytest.raises(SettingsError, match="no such file; `dataflow deploy --init`"):
        settings.load(path)
    settings.init(path)
    assert settings.load(path) == parse(EXAMPLE)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(SettingsError, match="not UTF-8"):
        settings.load(path)
    with pytest.raises(SettingsError, match="already exists"):
        settings.init(path)
    assert path.read_bytes() == b"name = '\xff'"


def test_formats_are_those_of_ingest() -> None:
    for name in names():
        assert parse(f"[streams.a]\nkey = 'k'\ntime = 't'\nformat = '{name}'").streams["a"].format == name


def test_what_is_of_alarms_is_no_option_of_ingest() -> None:
    """The functions are told what they read with, and nothing else."""
    (stream,) = parse(STREAM + "silent_minutes = 60\nreject_share = 0.5").streams.values()
    assert (stream.silent_minutes, stream.reject_share) == (60, 0.5)
    assert stream.options() == {"key": "k", "time": "t", "format": "auto"}
