"""Net revenue of a web shop by month; cancellations are negative quantities.

Ingest:  dataflow ingest STORE retail retail.csv.gz --key invoice --time ts --unit iso
Ask:     dataflow query STORE retail_by_month.py
"""

import dataflow as df

revenue_by_month = (
    df.stream("retail")
    .group_by(month=df.time().truncate("1mo"))
    .agg(
        lines=df.count(),
        invoices=df.count_distinct("invoice"),
        net=df.sum(df.col("quantity") * df.col("unit_price").decimal(3)),
    )
)
