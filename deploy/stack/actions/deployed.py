"""What a deployment says of itself: its outputs, the streams that its functions were given, its store."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from deploy.handlers.environment import Landing
from deploy.stack.actions.change_sets import DeployError, Stack
from deploy.stack.resources.resource_names import LANDING, ResourceNames, reached
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault

if TYPE_CHECKING:
    from runtime import Store


@dataclass(frozen=True)
class DeployedParts:
    """The parts of the deployment ``name`` that commands work on; DeployError if there is no such deployment."""

    name: str
    access: Access

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The outputs of its stack."""
        seen = Stack(self.name, self.access).seen()
        if seen is None:
            raise no_stack(self.name)
        if "Store" not in seen.outputs or "LandingBucket" not in seen.outputs:
            raise DeployError(
                f"the stack {self.name} is in {seen.status} and has no outputs: `dataflow status --name {self.name}` "
                "says why"
            )
        return seen.outputs

    @cached_property
    def store(self) -> Store:
        """Its store, opened as the deployment is reached."""
        from runtime import Store

        return Store(self.store_url)

    @property
    def store_url(self) -> str:
        """The URL of its store, with profile, region and endpoint if given."""
        return reached(self.outputs["Store"], self.access)

    @property
    def landing(self) -> Landing:
        """Where its objects arrive."""
        return Landing(self.outputs["LandingBucket"], LANDING)

    def streams(self) -> Mapping[str, Any] | None:
        """The streams that ingest was given, with their options; None if this identity cannot read them."""
        function = ResourceNames(self.name).function("ingest")
        client = Client("lambda", self.access)
        try:
            reply = client.call(
                f"look at the function {function}",
                lambda aws: aws.get_function_configuration(FunctionName=function),
            )
            given = json.loads(reply["Environment"]["Variables"]["ANTFOLD_STREAMS"])
        except (ServiceFault, KeyError, ValueError):
            return None
        return given if isinstance(given, dict) else None


def no_stack(name: str) -> DeployError:
    """The error for a deployment that does not exist."""
    return DeployError(
        f"there is no stack {name} in this account and region: `dataflow deploy` creates one; check the name and "
        "--region"
    )
