"""Connections to a server: one that begins no request does not keep the place of another."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 10.0
"""Seconds within which the head of a connection's first request must be there."""


class PatientConnection(H11Protocol):
    """A connection that is ended if it sends no request. uvicorn by itself waits for ever for the first one."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called once it is there."""
        super().connection_made(transport)
        self.loop.call_later(PATIENCE, self._end_without_request)

    def _end_without_request(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()
