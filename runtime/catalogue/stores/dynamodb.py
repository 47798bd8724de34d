"""The catalogue's table in DynamoDB; several stores may share one."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

from operators import forking
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Budget, Fault, classify
from runtime.catalogue.items.seal import damaged
from runtime.catalogue.key_value import (
    Check,
    ConditionFailed,
    Get,
    Heads,
    Item,
    KeyScan,
    OutcomeUnknown,
    Put,
    PutHead,
    Query,
    Row,
    Transact,
    WriteCondition,
)
from runtime.catalogue.stores.kinds import KINDS
from runtime.errors import StoreError

PARTITION, SORT, NUMBER, BODY = "pk", "sk", "number", "body"
"""The attributes of an item."""

_CREATION_SECONDS = 120.0
_KEYS = [{"AttributeName": PARTITION, "KeyType": "HASH"}, {"AttributeName": SORT, "KeyType": "RANGE"}]


class DynamoTable:
    """A ``KeyValueTable`` in the DynamoDB table ``name``, which is created if it does not exist and ``create()`` allows
    it.

    ``owner`` is the store that the items belong to: partitions are ``<owner>|<partition>``, so that the items of
    different stores never collide. Reads are strongly consistent. A transaction with an unknown outcome is repeated
    under its idempotency token; finally ``OutcomeUnknown`` is raised.
    """

    most = 100

    def __init__(
        self,
        name: str,
        owner: str,
        access: Access | None = None,
        create: Callable[[], bool] = lambda: False,
        budget: Budget | None = None,
    ) -> None:
        self.name = name
        self.create = create
        self.client = Client("dynamodb", access or Access(), budget, _check_replies)
        self._before = f"{owner}|"
        self._lock = forking.lock()

    def get(self, request: Get) -> Item | None:
        """Answer a ``Get``."""
        key = {PARTITION: {"S": self._before + request.partition}, SORT: {"S": request.sort}}
        reply = self._call("read", lambda db: db.get_item(TableName=self.name, Key=key, ConsistentRead=True))
        item = reply.get("Item")
        return None if item is None else self._item(item)

    def query(self, request: Query) -> list[Row]:
        """Answer a ``Query``."""
        rows: list[Row] = []
        for row in self._rows(request):
            rows.append(row)
            if request.last:
                break
        return rows

    def scan(self, request: KeyScan) -> tuple[bytes, bytes]:
        """Answer a ``KeyScan``."""
        return request.split(self.query(request.query))

    def transact(self, request: Transact) -> None:
        """Carry out a ``Transact``."""
        if len(request.items) > self.most:
            raise StoreError(f"a transaction of {len(request.items)} items is over the limit of {self.most}.")
        items = [self._operation(item) for item in request.items]
        token = uuid4().hex  # a repeated request gets the outcome of the first
        try:
            self._call("write", lambda db: _transact(db, items, token))
        except ServiceFault as error:
            if error.unknown:
                raise OutcomeUnknown(str(error)) from error
            raise

    def heads(self) -> Heads | None:
        """None: a table is never copied or restored in place, and its own items record the last commit."""
        return None

    def put_head(self, request: PutHead) -> None:
        """Nothing to do."""

    def problems(self) -> list[str]:
        """None: the service checks its data itself."""
        return []

    def _item(self, item: Any) -> Item:
        """The number and the body of an item."""
        try:
            return int(item[NUMBER]["N"]), bytes(item[BODY]["B"])
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(f"table {self.name!r}", "an item lacks its number or its body") from error

    def close(self) -> None:
        """Close the connections; a later request opens them again."""
        self.client.close()

    def _rows(self, request: Query) -> Iterator[Row]:
        """The items of a range, page by page; from its end if ``last``."""
        if request.low >= request.high:
            return
        values = {":p": {"S": self._before + request.partition}, ":high": {"S": request.high}}
        # Only one sort key range is allowed: "between" includes its end, and cannot compare with an empty text.
        condition = f"{PARTITION} = :p and {SORT} < :high"
        if request.low:
            condition = f"{PARTITION} = :p and {SORT} between :low and :high"
            values[":low"] = {"S": request.low}
        more: dict[str, Any] = {"Limit": 2} if request.last else {}  # 2: the first may be the end, which is dropped
        while True:
            page = self._page(condition, values, not request.last, more)
            for item in page["Items"]:
                sort = str(item[SORT]["S"])
                if sort < request.high:
                    yield (sort, *self._item(item))
            if "LastEvaluatedKey" not in page:
                return
            more["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _page(self, condition: str, values: dict[str, Any], forward: bool, more: dict[str, Any]) -> Any:
        return self._call(
            "read",
            lambda db: db.query(
                TableName=self.name,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                ProjectionExpression=f"{SORT}, {BODY}, #n",
                ExpressionAttributeNames={"#n": NUMBER},
                ScanIndexForward=forward,
                ConsistentRead=True,
                **more,
            ),
        )

    def _operation(self, item: Put | Check) -> dict[str, Any]:
        """One item of a TransactWriteItems request."""
        key = {PARTITION: {"S": self._before + item.partition}, SORT: {"S": item.sort}}
        condition = _condition(item.when, item.bound)
        if isinstance(item, Check):
            return {"ConditionCheck": {"TableName": self.name, "Key": key, **condition}}
        written = key | {NUMBER: {"N": str(item.number)}, BODY: {"B": item.body}}
        return {"Put": {"TableName": self.name, "Item": written, **condition}}

    def _call(self, verb: str, attempt: Callable[[Any], Any]) -> Any:
        what = f"{verb} the catalogue table {self.name!r}"
        try:
            return self.client.call(what, attempt)
        except ServiceFault as error:
            if error.code == "ResourceNotFoundException":
                if not self.create():
                    raise StoreError(
                        f"there is no catalogue table {self.name!r} in this account and region, so no store: ingest "
                        "something first (dataflow ingest), or check ?table= and the region."
                    ) from error
            elif error.code == "ValidationException" and "schema" in str(error):
                raise StoreError(
                    f"the DynamoDB table {self.name!r} has other keys than {PARTITION} and {SORT} (both strings): it "
                    "is of another program; name another one with ?table=."
                ) from error
            else:
                raise
        with self._lock:
            self._make()
        return self.client.call(what, attempt)

    def _make(self) -> None:
        """Create the table, unless another process does, and wait until it exists."""
        what = f"create the catalogue table {self.name!r}"
        try:
            self.client.call(what, self._create)
        except ServiceFault as error:
            if error.code != "ResourceInUseException":  # exists already, or is being created
                raise
        end = time.monotonic() + _CREATION_SECONDS
        while time.monotonic() < end:
            reply = self.client.call(what, lambda db: db.describe_table(TableName=self.name))
            if reply["Table"]["TableStatus"] in ("ACTIVE", "UPDATING"):
                return
            self.client.sleep(0.5)
        raise StoreError(f"cannot {what}: it is not active after {_CREATION_SECONDS:.0f} s; repeat later.")

    def _create(self, db: Any) -> Any:
        return db.create_table(
            TableName=self.name,
            KeySchema=_KEYS,
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in (PARTITION, SORT)],
            BillingMode="PAY_PER_REQUEST",
        )


def _condition(when: WriteCondition, bound: int) -> dict[str, Any]:
    """The condition as an expression on the existing item."""
    names, values = {"#n": NUMBER}, {":n": {"N": str(bound)}}
    match when:
        case WriteCondition.ALWAYS:
            return {}
        case WriteCondition.ABSENT:
            return {"ConditionExpression": f"attribute_not_exists({PARTITION})"}
        case WriteCondition.BELOW:
            expression = f"attribute_not_exists({PARTITION}) or #n < :n"
        case WriteCondition.EQUAL:
            expression = "#n = :n"
    return {
        "ConditionExpression": expression,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }


def _transact(db: Any, items: list[dict[str, Any]], token: str) -> None:
    """Send a transaction; ``ConditionFailed`` when conditions do not hold, ``ServiceFault`` for other refusals."""
    try:
        db.transact_write_items(TransactItems=items, ClientRequestToken=token)
    except db.exceptions.TransactionCanceledException as error:
        reasons = [str(reason.get("Code")) for reason in error.response.get("CancellationReasons", ())]
        failed = [i for i, code in enumerate(reasons) if code == "ConditionalCheckFailed"]
        if failed:
            raise ConditionFailed(failed) from error
        # Refused because of one item: throttled, or in conflict with another transaction.
        code = next((code for code in reasons if code not in ("None", "")), "")
        raise ServiceFault(
            classify(400, code), f"a transaction of the catalogue was refused: {error}", code, error
        ) from error


def _check_replies(db: Any) -> None:
    """Verify the checksum of every reply: with its retries off, boto3 accepts a damaged one."""
    db.meta.events.register("response-received.dynamodb", _check_reply)


def _check_reply(response_dict: Any, **_: object) -> None:
    if response_dict is None:
        return
    said = response_dict["headers"].get("x-amz-crc32")
    body = response_dict["body"]
    if said is not None and isinstance(body, bytes) and int(said) != zlib.crc32(body):
        raise ServiceFault(Fault.LOST, "a reply of DynamoDB is damaged (its checksum is wrong): check the network.")


KINDS["dynamodb"] = lambda place: DynamoTable(place.name, place.owner, place.access or Access(), place.create)
