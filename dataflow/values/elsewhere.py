"""What to do about names that other libraries have: for errors about unknown ones."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

EXPRESSION: Mapping[str, str] = MappingProxyType(
    {
        "alias": "write a name where it is used: select(name=...), with_columns(name=...)",
        "rename": "write a name where it is used: select(name=...), with_columns(name=...)",
        "lag": "write .previous(n)",
        "shift": "write .previous(n), or .next(n)",
        "lead": "write .next(n)",
        "diff": "write x - x.previous()",
        "pct_change": "write x / x.previous() - 1",
        "ffill": "write .last(), or .held(...) of a stream",
        "cumsum": "write .cumulative_sum()",
        "cummax": "write .cumulative_max()",
        "cummin": "write .cumulative_min()",
        "rolling": "write an aggregate with .trailing('1h'): df.mean('x').trailing('1h')",
        "isna": "write .is_null()",
        "isnull": "write .is_null()",
        "notna": "write .is_not_null()",
        "notnull": "write .is_not_null()",
        "fillna": "write .fill_null(...)",
        "coalesce": "write .fill_null(...)",
        "isin": "write .is_in([...])",
        "astype": "write .cast('int64')",
        "rlike": "write .extract(...), or .like('a%')",
        "match": "write .extract(...), or .like('a%')",
        "trim": "write .strip()",
        "dt": "write the method itself: df.time().hour(), .truncate('1d')",
        "str": "write the method itself: .lower(), .split('-', 0)",
        "nunique": "write df.count_distinct(...)",
        "n_unique": "write df.count_distinct(...)",
        "unique": "write df.count_distinct(...)",
        "over": "aggregates have it: df.mean('x').over('site')",
        "mean": "write df.mean('x'), in agg(...) or beside rows with .over(...)",
        "sum": "write df.sum('x'), in agg(...) or beside rows with .over(...)",
        "min": "write df.min('x'), or df.least('a', 'b') of a row's values",
        "max": "write df.max('x'), or df.greatest('a', 'b') of a row's values",
        "count": "write df.count('x')",
        "map": "write df.when(...).then(...).otherwise(...), or join a df.table",
        "null_if": "write df.when(x != 0).then(x).otherwise(None)",
        "nullif": "write df.when(x != 0).then(x).otherwise(None)",
    }
)
"""For expressions."""

MODULE: Mapping[str, str] = MappingProxyType(
    {
        "coalesce": "write df.col('a').fill_null(df.col('b'))",
        "lag": "write df.col('x').previous(n)",
        "lead": "write df.col('x').next(n)",
        "percentile": "write df.quantile('x', 0.95)",
        "now": "the end of the range is df.until()",
        "avg": "write df.mean('x')",
        "std": "write df.stddev('x')",
        "nunique": "write df.count_distinct('x')",
        "arg_max": "write df.max_by('x', by='y')",
        "arg_min": "write df.min_by('x', by='y')",
        "corr": "write df.correlation('x', 'y')",
        "regr_slope": "write df.slope('y', 'x')",
        "case": "write df.when(condition).then(x).otherwise(y)",
        "read_csv": "ingest the file, or take it as a reference table: df.table('file.csv')",
        "rolling": "write an aggregate with .trailing('1h'): df.mean('x').trailing('1h')",
    }
)
"""For the package."""

STREAM: Mapping[str, str] = MappingProxyType(
    {
        "head": "write .limit(n)",
        "order_by": "write .sort(...)",
        "where": "write .filter(...)",
        "query": "write store.query(metric)",
        "with_empty_buckets": "write it before agg(...): .group_by(...).with_empty_buckets().agg(...)",
        "rename": "write .select(new=df.col('old'), ...)",
        "drop": "write .select(...) with the columns that stay",
        "assign": "write .with_columns(...)",
        "mutate": "write .with_columns(...)",
        "with_column": "write .with_columns(...)",
        "distinct": "write .group_by('a', 'b').agg(n=df.count())",
        "unique": "write .group_by('a', 'b').agg(n=df.count())",
        "drop_duplicates": "write .dedupe('a', within='10s'), or ingest with --duplicates exact",
        "having": "write .filter(...) after agg(...)",
        "resample": "write .window('1h', ...)",
        "tumble": "write .window('1h', ...)",
        "rolling": "write an aggregate with .trailing('1h') in with_columns",
        "union": "write df.union(a, b)",
        "merge": "write .join(table, on=...), .join_asof(...) or df.join(a, b, on=...)",
        "explode": "arrays become rows when they are read: dataflow ingest --records PATH",
        "unnest": "arrays become rows when they are read: dataflow ingest --records PATH",
        "show": "write store.query(metric)",
    }
)
"""For streams."""

GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "having": "write .filter(...) after agg(...)",
        "filter": "write .filter(...) after agg(...), or df.sum('x', where=...)",
        "rollup": "write a metric for each grouping; df.join(a, b, on=...) puts two beside one another",
        "cube": "write a metric for each grouping; df.join(a, b, on=...) puts two beside one another",
        "size": "write .agg(n=df.count())",
        "aggregate": "write .agg(n=df.count())",
        "sort": "write .sort(...) after agg(...)",
        "head": "write .top(n, by=..., per=...) after agg(...)",
        "apply": "write .agg(...), with df.register for one of your own",
    }
)
"""For group_by(...)."""

AGGREGATE: Mapping[str, str] = MappingProxyType(
    {
        "following": "write .leading('1h')",
        "rolling": "write .trailing('1h')",
        "filter": "write where= in the aggregate",
        "cumulative": "write .trailing('36500d')",
    }
)
"""For aggregates."""
