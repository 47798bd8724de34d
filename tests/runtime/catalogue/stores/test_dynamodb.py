"""DynamoDB: requests, limits, and lost replies."""

from __future__ import annotations

import boto3
import pytest

from runtime.catalogue import Committed, DynamoCatalogue, OutcomeUnknown, new_attempt
from runtime.catalogue.index import MAX_TRANSACTION, in_batches
from runtime.catalogue.items.file_lists import MAX_ITEM
from runtime.catalogue.key_value import Check, ConditionFailed, Get, KeyScan, Put, Query, Transact, WriteCondition
from runtime.catalogue.stores.dynamodb import DynamoTable
from runtime.errors import StoreError
from runtime.testing.contracts.catalogue_contract import SCHEMA, D, add, files, source
from tests.runtime.faults import Faults, cancelled, db_error


@pytest.fixture
def catalogue(aws: None) -> DynamoCatalogue:
    made = DynamoCatalogue("antfold", "lake/p", create=lambda: True)
    assert made.streams() == []
    return made


@pytest.fixture
def table(catalogue: DynamoCatalogue) -> DynamoTable:
    assert isinstance(catalogue.table, DynamoTable)
    return catalogue.table


@pytest.fixture
def faults(table: DynamoTable) -> Faults:
    return Faults(table.client)


def test_all_reads_are_strong(catalogue: DynamoCatalogue, faults: Faults) -> None:
    add(catalogue, "a", D)
    catalogue.snapshot("s")
    catalogue.sources("s")
    reads = [request for name, request in faults.requests if name in ("GetItem", "Query")]
    assert len(reads) > 5
    assert all(request["ConsistentRead"] is True for request in reads)
    assert {name for name, _ in faults.requests} == {"GetItem", "Query", "TransactWriteItems"}


def test_where_items_lie(catalogue: DynamoCatalogue) -> None:
    """One partition per store, stream and kind, one more per month of the day index: what CATALOGUE.md says."""
    add(catalogue, "a", D, D + 40)
    items = boto3.client("dynamodb").scan(TableName="antfold")["Items"]
    places = {item["pk"]["S"] for item in items}
    month = {"lake/p|s/DAY#2024-03", "lake/p|s/DAY#2024-04"}
    kinds = ("STREAMS", "COUNT", "s/LOG", "s/HEAD", "s/SRC", "s/CLAIM", "s/WM", "s/DIR")
    assert places == {f"lake/p|{name}" for name in kinds} | month
    assert {frozenset(item) for item in items} == {frozenset({"pk", "sk", "number", "body"})}


def test_stores_share_a_table(catalogue: DynamoCatalogue) -> None:
    others = [DynamoCatalogue("antfold", owner) for owner in ("lake/", "lake/p/s", "lake2/p", "lake/p2")]
    entries = add(catalogue, "a", D)
    for other in others:
        assert other.streams() == []
        assert other.audit("s") == []
        add(other, "a", D + 1, stream="s")
    assert list(catalogue.snapshot("s").files) == entries
    assert [s.total_files for s in (other.snapshot("s") for other in others)] == [1] * 4


def test_no_table_and_none_to_be_made(aws: None) -> None:
    made: list[bool] = []
    catalogue = DynamoCatalogue("antfold", "lake/p", create=lambda: bool(made))
    for call in (catalogue.streams, lambda: add(catalogue, "a", D)):
        with pytest.raises(StoreError, match=r"no catalogue table 'antfold'.*ingest something first.*\?table="):
            call()
    assert boto3.client("dynamodb").list_tables()["TableNames"] == []
    made.append(True)
    add(catalogue, "a", D)
    assert catalogue.snapshot("s").total_files == 1


def test_two_make_the_table_at_once(catalogue: DynamoCatalogue, faults: Faults) -> None:
    """One creation is refused, for the table is there; and it is waited for."""
    faults.refuse("GetItem", db_error(400, "ResourceNotFoundException"))
    faults.refuse("DescribeTable", db_error(400, "ThrottlingException"))
    assert catalogue.is_ingested("s", "0" * 64) is None
    assert (faults.sent["CreateTable"], faults.sent["DescribeTable"]) == (1, 1)


def test_a_table_of_another_program(aws: None) -> None:
    boto3.client("dynamodb").create_table(
        TableName="antfold",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(StoreError, match=r"other keys than pk and sk.*name another one with \?table="):
        add(DynamoCatalogue("antfold", "lake/p", create=lambda: True), "a", D)


def test_throttles_and_conflicts_are_waited_for(catalogue: DynamoCatalogue, faults: Faults) -> None:
    faults.refuse(
        "TransactWriteItems",
        db_error(400, "ProvisionedThroughputExceededException"),
        cancelled("None", "TransactionConflict", "None"),
        cancelled("ThrottlingError", "None", "None"),
        db_error(400, "TransactionInProgressException"),
        db_error(500, "InternalServerError"),
    )
    faults.refuse("Query", db_error(400, "ThrottlingException"), db_error(503, "ServiceUnavailable"))
    faults.refuse("GetItem", db_error(400, "RequestLimitExceeded"))
    entries = add(catalogue, "a", D)
    assert list(catalogue.snapshot("s").files) == entries
    assert len(faults.waits) == 8
    assert catalogue.audit("s") == []


def test_repeats_of_a_transaction_carry_one_token(table: DynamoTable, faults: Faults) -> None:
    """So that DynamoDB reports the outcome of the first to the second."""
    faults.refuse("TransactWriteItems", db_error(500, "InternalServerError"))
    put = Transact([Put("s/LOG", "1", b"x", WriteCondition.ABSENT)])
    table.transact(put)
    with pytest.raises(ConditionFailed):
        table.transact(put)
    tokens = [request["ClientRequestToken"] for name, request in faults.requests if name == "TransactWriteItems"]
    assert len(tokens) == 3
    assert tokens[0] == tokens[1] != tokens[2]


@pytest.mark.parametrize("times", [1, 5])
def test_a_lost_reply_to_a_commit(catalogue: DynamoCatalogue, faults: Faults, times: int) -> None:
    """It happened, and the reply was lost: one commit, and this attempt learns that it was its own."""
    attempt = new_attempt()
    faults.lose("TransactWriteItems", times)
    assert catalogue.commit("s", SCHEMA, source("a"), files("s", attempt, D), attempt) == Committed(1)
    assert catalogue.snapshot("s").total_files == 1
    assert catalogue.audit("s") == []


def test_all_writes_are_lost(catalogue: DynamoCatalogue, faults: Faults) -> None:
    """The outcome is unknown, and said to be; the same source commits later, once."""
    attempt = new_attempt()
    faults.refuse("TransactWriteItems", *[db_error(500, "InternalServerError")] * 1000)
    with pytest.raises(OutcomeUnknown, match="cannot write the catalogue table 'antfold'"):
        catalogue.commit("s", SCHEMA, source("a"), files("s", attempt, D), attempt)
    assert catalogue.streams() == []
    assert faults.sent["TransactWriteItems"] == 0
    faults._refusals.clear()
    assert catalogue.commit("s", SCHEMA, source("a"), files("s", attempt, D), attempt) == Committed(1)


def test_lost_and_then_refused_is_unknown(table: DynamoTable, faults: Faults) -> None:
    """What became of the repetition says nothing of the first request."""
    faults.lose("TransactWriteItems", 1)
    table.client.sleep = lambda seconds: faults.refuse("TransactWriteItems", db_error(400, "AccessDeniedException"))
    with pytest.raises(OutcomeUnknown, match="permission denied"):
        table.transact(Transact([Put("s/LOG", "1", b"x", WriteCondition.ABSENT)]))
    assert table.get(Get("s/LOG", "1")) == (0, b"x")


def test_refused_for_good_is_no_unknown_outcome(table: DynamoTable, faults: Faults) -> None:
    faults.refuse("TransactWriteItems", db_error(400, "AccessDeniedException"))
    with pytest.raises(StoreError, match="permission denied") as caught:
        table.transact(Transact([Put("s/LOG", "1", b"x")]))
    assert not isinstance(caught.value, OutcomeUnknown)


def test_a_damaged_reply_is_not_believed(table: DynamoTable, faults: Faults) -> None:
    table.transact(Transact([Put("s/LOG", "1", b"right")]))
    wrong = db_error(200, "x")
    wrong.headers["x-amz-crc32"] = "12345"
    faults.refuse("GetItem", wrong)
    assert table.get(Get("s/LOG", "1")) == (0, b"right")
    faults.refuse("GetItem", *[wrong] * 100)
    with pytest.raises(StoreError, match="is damaged"):
        table.get(Get("s/LOG", "1"))


def test_pages(table: DynamoTable, faults: Faults) -> None:
    """A query's reply is at most 1 MB: it is asked for page by page, from either end."""
    for i in range(12):
        table.transact(Transact([Put("s/LOG", f"{i:03d}", b"%03d" % i * 100_000)]))
    faults.requests.clear()
    rows = table.query(Query("s/LOG", "002", "011"))
    assert [sort for sort, _, _ in rows] == [f"{i:03d}" for i in range(2, 11)]
    assert rows[3][2] == b"005" * 100_000
    assert len(faults.requests) >= 3
    heads, tails = table.scan(KeyScan(Query("s/LOG"), 3))
    assert heads == b"".join(b"%03d" % i for i in range(12))
    assert len(tails) == 12 * (300_000 - 3)
    assert [sort for sort, _, _ in table.query(Query("s/LOG", high="011", last=True))] == ["010"]


def test_ranges(table: DynamoTable) -> None:
    table.transact(Transact([Put("s/LOG", sort, sort.encode()) for sort in ("a", "b", "c")]))
    for low, high, found in (
        ("", "\x7f", "abc"),
        ("", "c", "ab"),
        ("b", "c", "b"),
        ("b", "b", ""),
        ("c", "a", ""),
        ("aa", "bb", "b"),
        ("d", "e", ""),
    ):
        assert "".join(sort for sort, _, _ in table.query(Query("s/LOG", low, high))) == found, (low, high)
        assert "".join(sort for sort, _, _ in table.query(Query("s/LOG", low, high, last=True))) == found[-1:]


@pytest.mark.parametrize(
    ("when", "bound", "holds"),
    [
        (WriteCondition.ALWAYS, 0, (True, True)),
        (WriteCondition.ABSENT, 0, (True, False)),
        (WriteCondition.BELOW, 5, (True, False)),
        (WriteCondition.BELOW, 6, (True, True)),
        (WriteCondition.EQUAL, 5, (False, True)),
        (WriteCondition.EQUAL, 6, (False, False)),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_conditions(
    table: DynamoTable, when: WriteCondition, bound: int, holds: tuple[bool, bool], there: bool
) -> None:
    """On an item that is not there, or has the number 5; as a put and as a check beside another put."""
    if there:
        table.transact(Transact([Put("p", "x", b"old", number=5)]))
    for items in (
        [Put("p", "other", b"o"), Check("p", "x", when, bound)],
        [Put("p", "other", b"o"), Put("p", "x", b"new", when, bound, 7)],
    ):
        if when is WriteCondition.ALWAYS and isinstance(items[1], Check):
            continue
        if holds[there]:
            table.transact(Transact(items))
        else:
            with pytest.raises(ConditionFailed) as caught:
                table.transact(Transact(items))
            assert caught.value.failed == (1,)
            assert table.get(Get("p", "other")) is None


def test_the_largest_record_fits_an_item(table: DynamoTable) -> None:
    put = Put("s" * 100 + "/LOG", "0" * 12, b"x" * MAX_ITEM, WriteCondition.ABSENT)
    table.transact(Transact([put, Put("s/SRC", "0" * 64, b"y" * 5_000), Put("s/CLAIM", "0" * 64, b"z" * 200)]))
    assert table.get(Get("s" * 100 + "/LOG", "0" * 12)) == (0, b"x" * MAX_ITEM)
    with pytest.raises(StoreError, match="Item size"):
        table.transact(Transact([Put("s/LOG", "1", b"x" * 409_600)]))
    with pytest.raises(StoreError, match="101 items is over the limit of 100"):
        table.transact(Transact([Put("s/LOG", f"{i}", b"x") for i in range(101)]))


def test_batches_of_rows_are_bounded_in_number_and_bytes() -> None:
    small = [Put("p", f"{i}", b"x" * 10) for i in range(250)]
    assert [len(b) for b in in_batches(small, 99)] == [99, 99, 52]
    assert in_batches([], 99) == [[]]
    large = [Put("p", f"{i}", b"x" * 390_000) for i in range(20)]
    batches = in_batches(large, 99)
    assert [put for batch in batches for put in batch] == large
    assert all(sum(len(put.body) for put in batch) <= MAX_TRANSACTION for batch in batches)
    assert len(batches) == 3
