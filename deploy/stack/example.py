"""The deployment file that ``dataflow deploy --init`` writes: every setting, with a comment."""

from __future__ import annotations

EXAMPLE = """\
# A deployment of antfold: `dataflow deploy` makes what this file says; change it and deploy again.

[deployment]
name = "antfold"              # of the stack; buckets, table and functions are named after it
# region = "eu-west-1"        # where; otherwise that of your AWS configuration, or --region
# architecture = "x86_64"     # of the functions: x86_64 or arm64 (a fifth cheaper; see deploy/AWS.md)
# worker_memory = 1769        # MB; 1,769 are one virtual CPU
# worker_timeout = 300        # seconds
# worker_concurrency = 800    # workers at once; AWS keeps 100 of the account's limit (1,000 unless raised) for others
# ingest_memory = 1769
# ingest_timeout = 300
# ingest_concurrency = 20
# query_memory = 1769
# query_timeout = 900
# query_concurrency = 40      # a query of over 500 tasks uses one more for each 500
# log_days = 30               # how long logs are kept
# landing_days = 90           # delete what arrived after so many days; it is kept otherwise
# firehose_seconds = 60       # how long Firehose collects points before it writes them ...
# firehose_mb = 64            # ... or how much
# kms_key = "arn:aws:kms:eu-west-1:111122223333:key/..."   # a key of yours; otherwise one is made
# artifacts_bucket = "..."    # a bucket of yours for the code; otherwise one is made
# alert_email = "ops@example.com"

[streams.telemetry]           # one table for each stream; they take the options of `dataflow ingest`
key = "device"
time = "ts"
unit = "ms"                   # s, ms, us, ns or iso
# format = "auto"             # auto, ndjson, json, csv or parquet
# duplicates = "keep"         # keep, exact or latest
# id = "..."
# missing_key = "..."

# [[schedules]]               # named queries (dataflow publish) that run by themselves
# query = "uptime"
# every = "cron(0 6 * * ? *)" # or rate(1 hour)
# zone = "Europe/London"      # of the cron
# version = 1                 # otherwise the newest
# params = { threshold = 30.0 }
# since = "-7d"
# until = "today"
# save = true                 # keep the answer below results/ ...
# csv = false                 # ... as CSV, too
# alert = ["uptime < 0.95"]   # tell the alerts' topic of every row for which it holds

# [tenants.acme]              # who may read s3://BUCKET/tenants/acme, and nothing else
# principal = "arn:aws:iam::444455556666:root"
"""
