"""Sessions of a travel site's users by device: a pause of more than 30 minutes starts a new one.

Ingest:  dataflow ingest STORE clicks clicks.ndjson.gz --key user_id --time ts --unit s
Ask:     dataflow query STORE clicks_sessions.py
"""

import dataflow as df

sessions_by_device = (
    df.stream("clicks")
    .sessionize("30m")
    .group_by("device")
    .agg(
        sessions=df.count(),
        events=df.sum("count"),
        span=df.sum("duration"),
        mean_length=df.mean("duration"),
    )
)
