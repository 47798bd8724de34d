"""DynamoDB of moto, which copies the whole table for each item of a transaction, sorts it for each query, looks for ten
names of each value in a reply, and lists its own methods for each request.

Here a request takes time for what it writes or finds, and not for what the table holds beside that. A table whose
transaction fails is put back as moto does it: only the places of its items are copied, for nothing changes an item in
its place, as no transaction of a catalogue updates one. Tables with an index are left as they are.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest

KINDS = frozenset({"S", "N", "B", "SS", "NS", "BS", "M", "L", "NULL", "BOOL"})
"""Of values in DynamoDB."""


@contextmanager
def quick_tables() -> Iterator[None]:
    """Until the end, for requests that come one after the other."""
    from moto.core import responses
    from moto.core.serialize import AttributePicker
    from moto.dynamodb import models
    from moto.dynamodb.models.dynamo_type import Item
    from moto.dynamodb.models.table import Table

    def copied(given: Any) -> Any:
        if not isinstance(given, Table):
            return copy.deepcopy(given)
        made = copy.copy(given)
        places = ((key, held if isinstance(held, Item) else dict(held)) for key, held in given.items.items())
        made.items = defaultdict(dict, places)
        return made

    usual = Table.query

    def queried(table: Any, hash_key: Any, *given: Any, **named: Any) -> Any:
        if table.all_indexes() or not table.has_range_key:
            return usual(table, hash_key, *given, **named)
        with pytest.MonkeyPatch.context() as patch:
            mine = list(table.items.get(hash_key, {}).values())
            patch.setattr(table, "all_items", lambda: mine, raising=False)
            return usual(table, hash_key, *given, **named)

    picked = AttributePicker.__call__

    def value_of(picker: Any, context: Any) -> Any:
        """Of a value such as {"S": "text"}, without a search for other names of the kinds that it is not."""
        given = context.obj
        if type(given) is dict and len(given) == 1 and context.key in KINDS and given.keys() <= KINDS:
            return given.get(context.key)
        return picked(picker, context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AttributePicker, "__call__", value_of)
        patch.setattr(responses, "method_names_from_class", cache(responses.method_names_from_class))
        patch.setattr(models, "copy", SimpleNamespace(deepcopy=copied))
        patch.setattr(Table, "query", queried)
        yield
