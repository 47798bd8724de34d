"""Reliability of radio nodes by hardware model: mean time between failures, k of n, up-time in service hours.

A node is alive for 15 minutes after each heartbeat; it fails when it stops being alive.

Ingest:  dataflow ingest STORE mesh mesh-heartbeats-*.ndjson.gz --key node --time ts --unit iso
Ask:     dataflow query STORE mesh_reliability.py:mtbf --since 2026-05-01 --until 2026-08-01
"""

import dataflow as df

alive = df.stream("mesh").heartbeat("15m")
is_alive = df.col("alive")

mtbf = (
    alive.group_by("hw_model")
    .agg(
        up=df.duration(is_alive),
        down=df.duration(~is_alive),
        failures=df.count(where=is_alive.changed() & ~is_alive),
    )
    .with_columns(mtbf=df.col("up") // df.col("failures"), mttr=df.col("down") // df.col("failures"))
)

# A model carries its traffic while at least three of its nodes are alive.
three_alive = alive.at_least(3, is_alive, "hw_model")
three_alive_by_month = three_alive.group_by("hw_model", month=df.time().truncate("1mo")).agg(
    share=df.share_of_time(df.col("state")),
    known=df.known_time(),
    outages=df.count(where=~df.col("state")),
    longest=df.max("duration", where=~df.col("state")),
)

most_alive = (
    alive.concurrent(is_alive, "hw_model")
    .group_by("hw_model")
    .agg(most=df.max("active"), nodes=df.max(df.col("active") + df.col("inactive")))
)

# Agreed service time: working hours in Berlin, without holidays and firmware updates.
service = df.calendar(
    {"mon-fri": "08:00-18:00", "sat": "09:00-12:00"},
    zone="Europe/Berlin",
    except_=["2026-05-01", "2026-05-14", "2026-05-25", "2026-06-04"],
)
updates = df.table(
    {
        "hw_model": ["HELTEC_V3", "HELTEC_V3", "RAK4631", "TBEAM"],
        "from": ["2026-05-05T10:00", "2026-06-16", "2026-06-20T08:30", "2026-07-07T06:00"],
        "to": ["2026-05-05T14:30", "2026-06-17T12:00", "2026-06-23", "2026-07-08T06:00"],
    }
)
service_uptime = (
    alive.during(service)
    .outside(updates, on="hw_model")
    .group_by("hw_model")
    .agg(uptime=df.share_of_time(is_alive), promised=df.known_time(), nodes=df.count_distinct("node"))
)
