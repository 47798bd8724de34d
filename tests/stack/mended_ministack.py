"""ministack with versions and aliases as AWS has them, where 1.5 differs. Run as a program, with ministack's arguments.

- A function that a stack updates keeps its versions and aliases, and a version is not published of an unchanged one.
- A version's reference is its ARN, and it goes with its resource.
- Calls of an alias with weights are divided among its versions.
- Stacks may have log streams, which do nothing, and alarms of several metrics, which are those of the first.
"""

from __future__ import annotations

import random
import sys
from typing import Any

sys.path = [p for p in sys.path if not p.endswith("tests/stack")]  # of which ministack wants nothing

from ministack.services import lambda_svc  # noqa: E402
from ministack.services.cloudformation import provisioners  # noqa: E402

_KEPT = ("versions", "aliases", "next_version", "concurrency", "policy", "tags")
_CHANGING = ("LastModified", "RevisionId", "Version")

_create, _invoke = provisioners._lambda_create, lambda_svc._invoke
_alarm = provisioners._cw_metric_alarm_create
_publish, _alias = provisioners._lambda_version_create, provisioners._lambda_alias_create


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


async def invoke(
    name: str, event: Any, headers: dict[str, str], path_qualifier: str | None = None, query: Any = None
) -> Any:
    """Invoke a function; of an alias with weights, one of its versions."""
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
    handlers["AWS::Logs::LogStream"] = {"create": log_stream, "delete": lambda *_: None}
    lambda_svc._invoke = invoke
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
