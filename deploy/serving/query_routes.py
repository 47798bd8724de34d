"""Published queries over HTTP: their list, their answers, and what changes in these."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Collection
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dataflow.language.triggers import Trigger
from dataflow.times.durations import parse_duration
from deploy.serving.problems import Problem
from deploy.values import parameter_value
from operators.errors import DataflowError
from operators.nearest import meant
from runtime.display.json_form import plain_rows
from runtime.live.row_changes import json_text
from runtime.published import Published
from runtime.result.result import Result
from runtime.store import Store

_FORMATS = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
}
_PARAM = "param."
_LEAST = 0.1
"""The least seconds between two looks."""

_SILENCE = 15.0
"""Seconds after which a connection that waits for changes hears that it is alive."""


def routes() -> list[Route]:
    """The routes below ``/api/v1``."""
    return [
        Route("/queries", _queries),
        Route("/queries/{name}/answer", _answer),
        Route("/queries/{name}/changes", _changes),
    ]


async def _queries(request: Request) -> JSONResponse:
    store: Store = request.app.state.store
    found = await run_in_threadpool(store.queries)
    return JSONResponse({"queries": [_described(published) for published in found]})


def _described(published: Published) -> dict[str, Any]:
    return {
        "name": published.name, "version": published.version, "description": published.description,
        "streams": published.streams, "published": published.time,
        "parameters": [{"name": p.name, "type": str(p.type), "default": p.default} for p in published.parameters],
    }  # fmt: skip


async def _answer(request: Request) -> Response:
    given, params = _asked(request, "since", "until", "format")
    form = given.get("format", "json")
    if form not in _FORMATS:
        raise Problem(400, _unknown("format", form, _FORMATS))
    store: Store = request.app.state.store
    name = await _known(store, request.path_params["name"])
    result = await run_in_threadpool(
        lambda: store.query(name, given.get("since"), given.get("until"), params, progress=False)
    )
    tag = f'"{result.proof.to_dict()["result"]}-{form}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if tag in [t.strip().removeprefix("W/") for t in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(await run_in_threadpool(_text, result, form), headers=headers, media_type=_FORMATS[form])


def _text(result: Result, form: str) -> str:
    if form == "ndjson":
        names = list(result.columns)
        rows = plain_rows(result.columns)
        return "".join(f"{json_text(dict(zip(names, row, strict=True)))}\n" for row in rows)
    return result.to_csv() or "" if form == "csv" else result.to_json() or ""


async def _changes(request: Request) -> Response:
    """Server-sent events: ``event`` is the pane, ``data`` the change."""
    given, params = _asked(request, "since", "lateness", "every", "mode", "trigger")
    store: Store = request.app.state.store
    name = await _known(store, request.path_params["name"])
    mode: Any
    every, mode = given.get("every", "2s"), given.get("mode", "changes")
    if mode not in ("changes", "final"):
        raise Problem(400, f"the mode is changes or final, not {mode!r:.100}")
    seconds = parse_duration(every, "every") / 1_000_000
    if seconds < _LEAST:
        raise Problem(400, f"every is at least {1000 * _LEAST:.0f}ms")
    lateness = given.get("lateness", "0s")
    headers, kind = {"cache-control": "no-store"}, "text/event-stream"
    trigger = _trigger(given.get("trigger"))
    follower = await run_in_threadpool(
        lambda: store.follower(name, given.get("since"), params, trigger=trigger, lateness=lateness, mode=mode)
    )
    first = await run_in_threadpool(follower.step)  # an error in what is asked is one of the request
    if request.method == "HEAD":
        return Response(headers=headers, media_type=kind)
    closing: threading.Event = request.app.state.closing

    async def events() -> AsyncIterator[str]:
        answer, said, looked = first, anyio.current_time(), anyio.current_time()
        while not closing.is_set():
            now = anyio.current_time()
            if answer is None and now - looked >= seconds:
                looked = now
                try:
                    answer = await run_in_threadpool(follower.step)
                except DataflowError as error:
                    yield f"event: error\ndata: {json.dumps({'detail': str(error)})}\n\n"
                    return
            if answer is not None:
                for change in answer.changes:
                    yield f"event: {change.pane}\ndata: {change.to_json()}\n\n"
                answer, said = None, now
            if now - said >= _SILENCE:
                yield ": still here\n\n"
                said = now
            await anyio.sleep(min(seconds, 0.5))

    return StreamingResponse(events(), headers=headers, media_type=kind)


def _trigger(text: str | None) -> Trigger | None:
    try:
        return None if text is None else Trigger.from_dict(json.loads(text))
    except ValueError:
        raise Problem(400, f'the trigger is JSON such as {{"rows": 1000}}, not {text!r:.100}') from None


def _asked(request: Request, *names: str) -> tuple[dict[str, str], dict[str, object]]:
    """The query parameters of these ``names``, and those of the published query (``param.x``)."""
    given: dict[str, str] = {}
    params: dict[str, object] = {}
    for name, value in request.query_params.multi_items():
        if name in given or (name.removeprefix(_PARAM) in params and name.startswith(_PARAM)):
            raise Problem(400, f"the parameter {name!r:.100} is given twice")
        if name.startswith(_PARAM):
            params[name.removeprefix(_PARAM)] = parameter_value(value)
        elif name in names:
            given[name] = value
        else:
            raise Problem(400, _unknown("parameter", name, names))
    return given, params


async def _known(store: Store, name: str) -> str:
    """The name of a published query, perhaps with a version; Problem for another."""
    known = [published.name for published in await run_in_threadpool(store.queries)]
    if name.partition("@")[0] not in known:
        raise Problem(404, _unknown("published query", name, known))
    return name


def _unknown(kind: str, name: str, known: Collection[str]) -> str:
    return f"there is no {kind} {name!r:.100}; {meant(name, known, 'there')} are {', '.join(known)}"
