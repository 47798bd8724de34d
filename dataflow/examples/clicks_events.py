"""An event stream: what a travel site's users did, step by step.

Ingest:  dataflow ingest STORE clicks clicks.ndjson.gz --key user_id --time ts --unit s
Ask:     dataflow query STORE clicks_events.py:search_to_clickout
"""

import dataflow as df

clicks = df.stream("clicks")
action = df.col("action")
searched, looked, left = action.starts_with("search for"), action.starts_with("interaction"), action == "clickout item"

# Times are in seconds; half of the events share theirs with another one of the user, so their order is unknown.
search_to_clickout = (
    clicks.funnel([searched, looked, left], within="30m", mode="any")
    .group_by("device", "steps")
    .agg(users=df.count(), slowest=df.max("duration"))
)

retention = clicks.retention(start=df.lit(True), returns=df.lit(True), every="6h")

paths = clicks.paths("action", gap="30m")

top_items = (
    clicks.filter(left)
    .group_by(item=df.col("reference"))
    .agg(clickouts=df.count(), users=df.count_distinct("user_id"))
    .sort("clickouts", descending=True)
    .limit(100)
)

visitors_by_hour = clicks.group_by("platform", hour=df.time().truncate("1h", zone="Europe/Berlin")).agg(
    events=df.count(), visitors=df.count_distinct("user_id")
)

# Empty quarters of an hour are included, from a platform's first clickout on.
clickouts_by_quarter = (
    clicks.filter(left)
    .group_by("platform", quarter=df.time().truncate("15m"))
    .with_empty_buckets()
    .agg(clickouts=df.count(), users=df.count_distinct("user_id"))
)

# A search for a new destination starts a new session; none lasts longer than two hours.
errands = (
    clicks.sessionize(
        "30m", max_length="2h", split_when=action == "search for destination", clickouts=df.count(where=left)
    )
    .group_by("device")
    .agg(
        errands=df.count(),
        events=df.sum("count"),
        successful=df.count(where=df.col("clickouts") > 0),
        time=df.sum("duration"),
    )
)

# Half-hour windows every ten minutes: the busiest one of each user.
busiest_half_hour = (
    clicks.window("10m", size="30m").group_by("user_id").agg(busiest=df.max("count"), windows=df.count())
)
