"""Up-time of radio nodes by hardware model: a node is alive for 15 minutes after each heartbeat.

Ingest:  dataflow ingest STORE mesh mesh-heartbeats-*.ndjson.gz --key node --time ts --unit iso
Ask:     dataflow query STORE mesh_uptime.py --since 2026-05-01 --until 2026-08-01
"""

import dataflow as df

uptime_by_model = (
    df.stream("mesh")
    .heartbeat("15m")
    .group_by("hw_model")
    .agg(
        nodes=df.count_distinct("node"),
        alive=df.duration(df.col("alive")),
        known=df.known_time(),
        uptime=df.share_of_time(df.col("alive")),
    )
)
