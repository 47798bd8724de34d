"""A worker that misbehaves as its store's URL says."""

from __future__ import annotations

import os
import time
from typing import Any

from deploy.handlers import task


def handler(event: dict[str, Any], context: Any) -> Any:
    """The worker's answer, or what ``event["fault"]`` names."""
    match event.get("fault"):
        case "exception":
            raise RuntimeError("this one always fails")
        case "memory error":
            raise MemoryError
        case "killed":
            os.kill(os.getpid(), 9)
        case "exit":
            os._exit(1)
        case "time":
            time.sleep(60)
        case "large":
            return "x" * (7 << 20)
        case "left":
            return context.get_remaining_time_in_millis()
    return task.handler(event, context)
