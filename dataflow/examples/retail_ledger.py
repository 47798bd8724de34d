"""A transaction log: the invoice lines of a web shop, by customer. Cancellations are negative quantities.

Ingest:  dataflow ingest STORE purchases retail.csv.gz --key customer --time ts --missing-key unknown
         --type invoice=string  (cancellations are C536379 and so on, the others numbers)
Ask:     dataflow query STORE retail_ledger.py:basket_size
"""

from datetime import UTC, datetime

import dataflow as df

lines = df.stream("purchases").with_columns(amount=df.col("quantity") * df.col("unit_price"))
customers = lines.filter(df.col("customer") != "unknown")
bought = df.col("quantity") > 0

revenue_by_day_and_country = lines.group_by("country", day=df.time().truncate("1d")).agg(
    net=df.sum("amount"), returned=df.sum("amount", where=~bought), invoices=df.count_distinct("invoice")
)

# Recency, frequency, monetary value.
rfm = (
    customers.group_by("customer")
    .agg(
        last=df.max(df.time(), where=bought),
        frequency=df.count_distinct("invoice", where=bought),
        value=df.sum("amount"),
    )
    .with_columns(recency=df.param("as_of", default=datetime(2011, 12, 10, tzinfo=UTC)) - df.col("last"))
)

baskets = (
    lines.filter(bought).group_by("invoice").agg(lines=df.count(), items=df.sum("quantity"), value=df.sum("amount"))
)

basket_size = baskets.agg(
    baskets=df.count(), lines=df.mean("lines"), items=df.mean("items"), value=df.mean("value"), largest=df.max("items")
)

# From the last line of one invoice to the first of the next.
repeat_interval = (
    customers.filter(bought)
    .transitions("invoice")
    .filter(df.col("from") != df.col("to"))
    .group_by("customer")
    .agg(repeats=df.count(), mean=df.mean("after"), shortest=df.min("after"), longest=df.max("after"))
)

running_balance = customers.select("customer", "invoice", "amount", balance=df.col("amount").cumulative_sum())

# Every month from a customer's first one, including months without a purchase, with the balance at its end.
closing_balances = (
    customers.with_columns(balance=df.col("amount").cumulative_sum())
    .window("1mo", empty=True, spent=df.sum("amount"), balance=df.last("balance"))
    .with_columns(balance=df.col("balance").last())
    .select("customer", "spent", "balance", month=df.col("start"), lines=df.col("count"))
)
