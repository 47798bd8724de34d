"""The twelve questions of TSBS IoT about a fleet of trucks, written from their meanings.

Every truck reports readings (position, velocity, fuel consumption) and diagnostics (fuel, load, status: 0 is in
order), and sometimes its fleet and model. A model's capacity and nominal consumption are in a reference table.

Ingest:  dataflow ingest STORE readings readings.ndjson --key name --time ts --unit s
         dataflow ingest STORE diagnostics diagnostics.ndjson --key name --time ts --unit s
Ask:     dataflow query STORE tsbs_iot.py:low_fuel
"""

import dataflow as df

MODELS = df.table(
    {
        "model": ["F-150", "G-2000", "H-2"],
        "load_capacity": [2000.0, 5000.0, 1500.0],
        "nominal_fuel_consumption": [15.0, 19.0, 12.0],
    }
)

last_reported = {"fleet": df.col("fleet").last(), "model": df.col("model").last()}
readings = df.stream("readings").with_columns(**last_reported)
diagnostics = df.stream("diagnostics").with_columns(**last_reported)
day = df.time().truncate("1d")

located = df.col("latitude").is_not_null() & df.col("longitude").is_not_null()
last_location = readings.group_by("name").agg(
    latitude=df.last("latitude", where=located), longitude=df.last("longitude", where=located)
)

low_fuel = diagnostics.group_by("name").agg(fuel=df.last("fuel_state")).filter(df.col("fuel") < 0.1)

loads = diagnostics.join(MODELS, on="model").with_columns(load=df.col("current_load") / df.col("load_capacity"))
high_load = loads.group_by("name").agg(load=df.last("load")).filter(df.col("load") > 0.9)
mean_load = loads.group_by("fleet", "model").agg(load=df.mean("load"))

buckets = readings.window("10m", velocity=df.mean("velocity"))
stationary = buckets.filter(df.col("velocity") < 1).group_by("name", bucket=df.time()).agg(velocity=df.max("velocity"))

# Driving: a mean velocity above 1 over ten minutes. The limits are those of the queried ranges, 4 and 24 hours.
driving = buckets.filter(df.col("velocity") > 1)
driven = driving.group_by("name").agg(buckets=df.count())
long_driving = driven.filter(df.col("buckets") > 22)
long_daily = driven.filter(df.col("buckets") > 60)

consumption = (
    readings.filter(df.col("velocity") > 1)
    .join(MODELS, on="model")
    .group_by("fleet")
    .agg(consumption=df.mean("fuel_consumption"), nominal=df.mean("nominal_fuel_consumption"))
)

daily_driving = (
    driving.group_by("name", day=day)
    .agg(buckets=df.count())
    .group_by("name")
    .agg(days=df.count(), hours=df.mean(df.col("buckets") / 6))
)

daily_sessions = (
    driving.sessionize("10m")
    .with_columns(length=df.col("duration") + "10m")
    .group_by("name", day=day)
    .agg(sessions=df.count(), length=df.mean("length"))
)

status = diagnostics.window("10m", level=df.mean("status"), broken=df.mean(df.col("status") > 0))
daily_activity = (
    status.filter(df.col("level") < 1)
    .group_by("fleet", "model", day=day)
    .agg(buckets=df.count())
    .with_columns(activity=df.col("buckets") / 144)
)

broken = status.with_columns(broken=df.col("broken") >= 0.5)
breakdowns = broken.group_by("model").agg(
    breakdowns=df.count(where=df.col("broken") & df.col("broken").changed()), trucks=df.count_distinct("name")
)
