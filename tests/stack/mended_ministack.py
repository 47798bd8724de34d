"""ministack with versions and aliases as AWS has them, where 1.5 differs, and with tables that can be restored.

Run as a program, with ministack's arguments.

- A function that a stack updates keeps its versions and aliases, and a version is not published of an unchanged one.
- A version's reference is its ARN, and it goes with its resource.
- Calls of an alias with weights are divided among its versions.
- Stacks may have log streams, which do nothing, and alarms of several metrics, which are those of the first.
- A stack's table has the key, the recovery and the tags that its template says.
- A table is restored as it was at the end of a given second, and with a key that is given.
- A function of which no call may run at once refuses calls.
"""

from __future__ import annotations

import random
import sys
import time
from collections import defaultdict
from typing import Any

sys.path = [p for p in sys.path if not p.endswith("tests/stack")]  # of which ministack wants nothing

from ministack.services import dynamodb, kms, lambda_svc  # noqa: E402
from ministack.services.cloudformation import provisioners  # noqa: E402

_KEPT = ("versions", "aliases", "next_version", "concurrency", "policy", "tags")
_CHANGING = ("LastModified", "RevisionId", "Version")

_create, _invoke = provisioners._lambda_create, lambda_svc._invoke
_alarm = provisioners._cw_metric_alarm_create
_publish, _alias = provisioners._lambda_version_create, provisioners._lambda_alias_create
_table = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]["create"]

_WRITES = ("_put_item", "_update_item", "_delete_item", "_batch_write_item", "_transact_write_items")
_Items = dict[str, dict[str, Any]]
_moments: dict[str, list[tuple[int, _Items]]] = {}
"""Of each table with recovery, the items before the first write of a second, by that second."""


def create(logical_id: str, props: dict[str, Any], stack: str) -> Any:
    """Create a function, or update it."""
    before = lambda_svc._functions.get(props.get("FunctionName", ""))
    made = _create(logical_id, props, stack)
    if before is not None:
        lambda_svc._functions[made[0]].update({name: before[name] for name in _KEPT})
    return made


def publish(logical_id: str, props: dict[str, Any], stack: str) -> Any:
    """Publish a version, unless nothing has changed since the last one."""
    func, _, resource, _ = provisioners._lambda_function_for_cfn_ref(props["FunctionName"])
    versions = (func or {}).get("versions", {})
    if versions:
        last = max(versions, key=int)
        if _settings(versions[last]["config"]) == _settings(func["config"]):
            raise ValueError(
                f"A version for this Lambda function exists ( {last} ). Modify the function to create one."
            )
    _, attributes = _publish(logical_id, props, stack)
    return f"{resource}:{attributes['Version']}", attributes


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in _CHANGING}


def unpublish(physical_id: str, props: dict[str, Any]) -> None:
    """Delete a version."""
    func, *_ = provisioners._lambda_function_for_cfn_ref(props["FunctionName"])
    if func is not None:
        func["versions"].pop(physical_id.rpartition(":")[2], None)


def alias(logical_id: str, props: dict[str, Any], stack: str) -> Any:
    """Create or update an alias; CloudFormation lists weights, Lambda maps them."""
    weights = props.get("RoutingConfig", {}).get("AdditionalVersionWeights", ())
    mapped = {w["FunctionVersion"]: float(w["FunctionWeight"]) for w in weights}
    plain = {name: value for name, value in props.items() if name != "RoutingConfig"}
    return _alias(
        logical_id, {**plain, **({"RoutingConfig": {"AdditionalVersionWeights": mapped}} if mapped else {})}, stack
    )


def log_stream(logical_id: str, props: dict[str, Any], stack: str) -> Any:
    """A log stream, whose reference is its name."""
    return props["LogStreamName"], {}


def alarm(logical_id: str, props: dict[str, Any], stack: str) -> Any:
    """Create or update an alarm; of metric math, one on its first metric."""
    stats = [part["MetricStat"] for part in props.get("Metrics", ()) if "MetricStat" in part]
    plain = {name: value for name, value in props.items() if name != "Metrics"}
    for found in stats[:1]:
        plain |= {**found["Metric"], "Period": found["Period"], "Statistic": found["Stat"]}
    return _alarm(logical_id, plain, stack)


def table(logical_id: str, props: dict[str, Any], stack: str) -> Any:
    """Create a table, with all that its template says of it."""
    made = _table(logical_id, props, stack)
    described = dynamodb._tables[made[0]]
    described["SSEDescription"] = dynamodb._sse_description_from_spec(
        {"Enabled": True, **given} if (given := props.get("SSESpecification")) else None
    )
    recovery = props.get("PointInTimeRecoverySpecification", {})
    dynamodb._pitr_settings[made[0]] = recovery.get("PointInTimeRecoveryEnabled", False)
    dynamodb._tags[described["TableArn"]] = list(props.get("Tags", ()))
    return made


def _copied(items: _Items) -> _Items:
    return {partition: dict(found) for partition, found in items.items()}


def noting(write: Any) -> Any:
    """A write that first notes what the tables with recovery hold, once a second."""

    def noted(data: dict[str, Any]) -> Any:
        now = int(time.time())
        for name, described in list(dynamodb._tables.items()):
            moments = _moments.setdefault(name, [])
            if dynamodb._pitr_settings.get(name) and (not moments or moments[-1][0] < now):
                moments.append((now, _copied(described["items"])))
        return write(data)

    return noted


def restoring(restore: Any) -> Any:
    """A restore that takes the time and the key that it is given."""

    def restored(data: dict[str, Any]) -> Any:
        source, target = data.get("SourceTableName", ""), data.get("TargetTableName", "")
        if source and not dynamodb._pitr_settings.get(source):
            return dynamodb.error_response_json("PointInTimeRecoveryUnavailableException", "it is not enabled", 400)
        reply = restore(data)
        if reply[0] == 200:
            described = dynamodb._tables[target]
            moment = data.get("RestoreDateTime")
            later = [found for second, found in _moments.get(source, ()) if moment is not None and second > moment]
            if later:
                described["items"] = defaultdict(dict, _copied(later[0]))
            if key := data.get("SSESpecificationOverride"):
                found = kms._resolve_key(key["KMSMasterKeyId"])["Arn"]
                described["SSEDescription"] = dynamodb._sse_description_from_spec({**key, "KMSMasterKeyId": found})
        return reply

    return restored


async def invoke(
    name: str, event: Any, headers: dict[str, str], path_qualifier: str | None = None, query: Any = None
) -> Any:
    """Invoke a function; of an alias with weights, one of its versions."""
    if lambda_svc._functions.get(name, {}).get("concurrency") == 0:
        return lambda_svc.error_response_json("TooManyRequestsException", "Rate Exceeded.", 429)
    said = path_qualifier or (query or {}).get("Qualifier")
    qualifier = said[0] if isinstance(said, list) else said
    routed = lambda_svc._functions.get(name, {}).get("aliases", {}).get(qualifier, {}).get("RoutingConfig")
    for version, weight in (routed or {}).get("AdditionalVersionWeights", {}).items():
        if random.random() < weight:
            path_qualifier = version
    return await _invoke(name, event, headers, path_qualifier, query)


def main() -> None:
    """Run ministack."""
    handlers = provisioners._RESOURCE_HANDLERS
    handlers["AWS::Lambda::Function"]["create"] = create
    handlers["AWS::Lambda::Version"] = {"create": publish, "delete": unpublish}
    handlers["AWS::Lambda::Alias"]["create"] = alias
    handlers["AWS::CloudWatch::Alarm"]["create"] = alarm
    handlers["AWS::DynamoDB::Table"]["create"] = table
    for name in _WRITES:
        setattr(dynamodb, name, noting(getattr(dynamodb, name)))
    for name in ("_restore_table_to_point_in_time", "_restore_table_from_backup"):
        setattr(dynamodb, name, restoring(getattr(dynamodb, name)))
    handlers["AWS::Logs::LogStream"] = {"create": log_stream, "delete": lambda *_: None}
    lambda_svc._invoke = invoke
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
