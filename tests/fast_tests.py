"""What ``python -m pytest -m fast`` runs: files and folders of quick tests from every layer.

Held by ``tests/lint/test_fast.py``: each exists, and each step and each aggregate is in one of them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent

FAST = (
    "dataflow",
    "deploy/commands/test_points_commands.py",
    "deploy/handlers/test_events.py",
    "deploy/handlers/test_logs.py",
    "deploy/simulator",
    "deploy/stack/resources",
    "deploy/stack/test_commands.py",
    "deploy/stack/test_others.py",
    "deploy/stack/test_settings.py",
    "deploy/test_cli.py",
    "deploy/test_docs.py",
    "deploy/test_first_meeting.py",
    "deploy/test_kernels_command.py",
    "deploy/test_metric_file.py",
    "deploy/test_places_and_terminals.py",
    "deploy/test_publishing.py",
    "laws/test_decimals.py",
    "laws/test_lengths.py",
    "laws/test_numbers.py",
    "laws/test_quantiles.py",
    "laws/test_reference.py",
    "laws/test_reference_aggregates.py",
    "laws/test_reference_flows.py",
    "laws/test_reference_intervals.py",
    "laws/test_reference_sessions.py",
    "laws/test_too_large.py",
    "lint",
    "operators/aggregates",
    "operators/states",
    "operators/sums",
    "operators/test_files.py",
    "operators/test_reach.py",
    "operators/test_readme.py",
    "operators/test_registry.py",
    "operators/test_running.py",
    "operators/test_shortest.py",
    "questions/test_points_that_last.py",
    "runtime/aws/test_client.py",
    "runtime/aws/test_retry.py",
    "runtime/catalogue/items",
    "runtime/catalogue/test_damage.py",
    "runtime/catalogue/test_lost_items.py",
    "runtime/catalogue/test_sqlite_contract.py",
    "runtime/catalogue/test_sqlite_failures.py",
    "runtime/catalogue/test_verify.py",
    "runtime/display",
    "runtime/fleet/test_coordinator.py",
    "runtime/fleet/test_fleet.py",
    "runtime/fleet/test_relay.py",
    "runtime/fleet/test_rules.py",
    "runtime/ingest/columns",
    "runtime/ingest/inputs/test_declared_types.py",
    "runtime/ingest/inputs/test_encodings.py",
    "runtime/ingest/inputs/test_identity.py",
    "runtime/ingest/inputs/test_inputs.py",
    "runtime/ingest/inputs/test_reading_options.py",
    "runtime/ingest/tabular",
    "runtime/ingest/test_broken_lines.py",
    "runtime/ingest/test_clock.py",
    "runtime/ingest/test_csv.py",
    "runtime/ingest/test_empty_keys.py",
    "runtime/ingest/test_json.py",
    "runtime/ingest/test_properties.py",
    "runtime/ingest/test_taken_rows.py",
    "runtime/objects/test_folder_contract.py",
    "runtime/objects/test_folder_objects.py",
    "runtime/pointfile/test_golden.py",
    "runtime/pointfile/test_hostile_chunks.py",
    "runtime/pointfile/test_round_trip.py",
    "runtime/points/test_head_points.py",
    "runtime/published/test_state_cache.py",
    "runtime/published/test_versions.py",
    "runtime/query/stages",
    "runtime/query/task/test_coverage.py",
    "runtime/query/task/test_state_bytes.py",
    "runtime/query/test_execute.py",
    "runtime/query/test_flow_plans.py",
    "runtime/query/test_several_streams.py",
    "runtime/recovery/test_recover.py",
    "runtime/result",
    "runtime/schedules",
    "runtime/storage",
    "runtime/test_looking_back.py",
    "runtime/test_progress.py",
    "runtime/test_timelines.py",
    "runtime/upkeep/test_source_list.py",
    "suites/test_numbers_reported_elsewhere.py",
    "suites/test_reported_elsewhere.py",
)
NOT_WITH = {"stack", "aws", "bench", "nightly", "alone"}
"""Marks of tests that are not fast wherever they lie."""


@cache
def is_fast(path: Path) -> bool:
    """Whether the tests of a file are."""
    return any(path.is_relative_to(TESTS / name) for name in FAST)
