"""The deployment file that ``dataflow deploy --init`` writes: every setting, with a comment."""

from __future__ import annotations

EXAMPLE = """\
# A deployment of antfold. `dataflow deploy` creates it; after a change, deploy again.

[deployment]
name = "antfold"              # of the stack; buckets, table and functions are named after it
# region = "eu-west-1"        # default: that of your AWS configuration, or --region
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
# log_days = 30               # retention of logs
# landing_days = 90           # delete raw input after this many days; default: never
# firehose_seconds = 60       # Firehose writes points after this many seconds ...
# firehose_mb = 64            # ... or MB
# kms_key = "arn:aws:kms:eu-west-1:111122223333:key/..."   # your own key; default: a new one
# former_kms_keys = ["created"]   # keys of older objects, which stay readable; deploy finds them by itself
# reserve = true              # false: functions share the account's limit, for accounts with a low one (deploy/AWS.md)
# permissions_boundary = "arn:aws:iam::111122223333:policy/bounds"   # of every role
# service_role = "arn:aws:iam::111122223333:role/cloudformation"     # under which CloudFormation works
# tags = { team = "fleet" }   # of the stack and of all that has tags
# artifacts_bucket = "..."    # your own bucket for the code; default: a new one
# alert_email = "ops@example.com"
# shift_minutes = 10          # an update runs this long for a share of the calls, while deploy watches the alarms ...
# shift_share = 0.1           # ... before it runs for all; 0 minutes: for all at once

[streams.telemetry]           # one table per stream, with the options of `dataflow ingest`
key = "device"
time = "ts"
unit = "ms"                   # s, ms, us, ns or iso
# format = "auto"             # auto, or one that `dataflow formats` lists
# preset = "segment"          # the options for a well-known source, key and time among them; `dataflow formats`
duplicates = "exact"          # keep, exact or latest. Firehose delivers at least once: a repeated point is dropped
# keep = "400d"               # retire older points every day; default: never, or as `dataflow retain --always` says
# id = "..."
# missing_key = "..."
# reject_share = 0.05         # an alarm rings if more of the rows are rejected ...
# silent_minutes = 60         # ... or if no row arrives for so long; default: it may be silent
# time_zone = "Europe/Berlin" # ... and all other options of `dataflow ingest` that say how records are read,
# null = ["NA", "-999"]       # with _ for -
# type = { amount = "decimal(2)" }

# [[schedules]]               # published queries (dataflow publish) on a schedule
# query = "uptime"
# every = "cron(0 6 * * ? *)" # or rate(1 hour)
# zone = "Europe/London"      # of cron(...)
# version = 1                 # default: the latest
# params = { threshold = 30.0 }
# since = "-7d"
# until = "today"
# save = true                 # save the result below results/ ...
# csv = false                 # ... also as CSV
# alert = ["uptime < 0.95"]   # send an alert if this holds for any row

# [[schedules]]               # a published query, of which each run delivers what has changed since the last one
# query = "uptime_by_hour"
# every = "rate(5 minutes)"
# deliver = "alerts"          # the topic of alarms and alerts, or arn:aws:sns:... (deploy/OPERATIONS.md)
# lateness = "10m"            # as of `dataflow follow`
# mode = "final"              # changes (the default) or final

# [tenants.acme]              # who may read s3://BUCKET/tenants/acme, and nothing else
# principal = "arn:aws:iam::444455556666:root"
"""
