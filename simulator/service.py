"""The HTTP service: one handler an endpoint, and what every answer has in common."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from .account import for_model
from .answers import (
    TRACE_HEADER,
    Answer,
    Refused,
    answer_json,
    answer_text,
    bad_parameter,
    documented,
    no_such_page,
)
from .faults import Fault, Place
from .log import Record
from .orders import Order, read_order
from .pictures import draw_picture
from .settings import State
from .shelf import Shelf

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Listener = Callable[[Record], None]

LARGEST_REQUEST = 64 * 1024 * 1024
RECORD: ContextVar[Record] = ContextVar("record")
logger = logging.getLogger(__name__)
TYPES = ("text", "image", "audio", "video")
SUB_TYPES = (
    "chat",
    "embedding",
    "reranker",
    "text-to-image",
    "image-to-image",
    "speech-to-text",
    "text-to-video",
)


class Service:
    """The endpoints, over one state."""

    def __init__(self, state: State, listener: Listener | None = None) -> None:
        """Serve this state; the listener hears of each request once it is answered."""
        self.state = state
        self.shelf = Shelf(state.clock)
        self.origin = ""
        self._listener = listener
        self._pool = ThreadPoolExecutor((os.cpu_count() or 2) + 1, "simulator-draw")

    def application(self) -> web.Application:
        """Return the service as an aiohttp application."""
        app = web.Application(middlewares=[self._watch], client_max_size=LARGEST_REQUEST)
        app.router.add_post("/v1/images/generations", self.generate)
        app.router.add_get("/v1/user/info", self.user_info)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/pictures/{name}", self.picture)
        app.router.add_get("/_simulator/state", self.read_state)
        app.router.add_post("/_simulator/state", self.change_state)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _in_pool(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args))

    # What every request has in common

    @web.middleware
    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """List the request, answer it, and put the trace id on whatever comes out."""
        record = Record(
            time=self.state.clock(),
            method=request.method,
            path=request.path,
            trace_id=f"ti_{secrets.token_hex(10)}",
            with_key="Authorization" in request.headers,
        )
        RECORD.set(record)
        if not request.path.startswith("/_simulator/"):
            self.state.requests.append(record)
        response = await self._answer(request, handler)
        response.headers[TRACE_HEADER] = record.trace_id
        self._finish(record, request, response)
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            answer = refused.answer
        except web.HTTPRequestEntityTooLarge:
            answer = answer_text(413, "Request Entity Too Large")
        except web.HTTPException:
            answer = no_such_page()
        except Exception:
            logger.exception("The simulator itself failed")
            answer = documented(500)
        RECORD.get().status = answer.status
        RECORD.get().refusal = answer.body[:300].decode(errors="replace")
        return respond(answer)

    def _finish(self, record: Record, request: web.Request, response: web.StreamResponse) -> None:
        record.delivered = request.transport is not None and not request.transport.is_closing()
        record.status = response.status if record.status is None else record.status
        if self._listener and not request.path.startswith("/_simulator/"):
            self._listener(record)

    def _check_key(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.state.key}".encode()):
            raise Refused(documented(401))

    def _strike(self, request: web.Request, fault: Fault | None) -> None:
        """Answer with a fault, if one waits for this request."""
        if fault is None:
            return
        if fault.hangs_up and request.transport is not None:
            request.transport.abort()
        raise Refused(fault.answer)

    def _fault(self, request: web.Request, on: Place) -> None:
        self._strike(request, self.state.faults.take(on))

    # The endpoints

    async def generate(self, request: web.Request) -> web.Response:
        """`POST /images/generations` (siliconflow-images.openapi.yaml)."""
        started = time.perf_counter()
        record = RECORD.get()
        self._check_key(request)
        if request.content_type != "application/json":
            raise Refused(bad_parameter("Content-Type must be application/json"))
        order = await self._in_pool(self._read, await request.read(), record)
        fault = self.state.faults.take("generations", order.model)
        if not (fault and fault.made):
            self._strike(request, fault)
        pictures = await self._make(order, record, started)
        self._strike(request, fault)
        took = time.perf_counter() - started
        return web.json_response(self._result(order, pictures, record, took))

    def _read(self, content: bytes, record: Record) -> Order:
        record.body = body = read_json(content)
        if isinstance(body.get("model"), str):
            record.model = body["model"]
        return read_order(self.state.rules, body, self._find)

    async def _make(self, order: Order, record: Record, started: float) -> list[bytes]:
        """Draw the pictures, take as long as asked, and charge: the client may be gone by now."""
        account = self.state.account
        hold = account.admit(order.model, order.count)
        try:
            drawing = (self._in_pool(draw_picture, order, index) for index in range(order.count))
            pictures = await asyncio.gather(*drawing)
            latency = for_model(self.state.settings.latency, order.model) or 0.0
            await asyncio.sleep(max(0.0, started + latency - time.perf_counter()))
        except BaseException:
            account.release(hold)
            raise
        charge = account.charge(hold, record.trace_id)
        record.pictures, record.charged = charge.pictures, charge.amount
        return list(pictures)

    def _result(
        self, order: Order, pictures: list[bytes], record: Record, took: float
    ) -> dict[str, Any]:
        settings = self.state.settings
        shown = [
            self._show(order, picture, f"{record.trace_id}-{index}")
            for index, picture in enumerate(pictures)
        ]
        lists = dict.fromkeys(settings.answer_lists, shown)
        return {**lists, "timings": {"inference": round(took, 3)}, "seed": order.seed}

    def _show(self, order: Order, picture: bytes, name: str) -> dict[str, str]:
        form = self.state.settings.answer
        if form == "url":
            name = f"{name}.{order.format.lower()}"
            self.shelf.put(name, picture, order.media_type)
            return {"url": f"{self.origin}/pictures/{name}"}
        data = base64.b64encode(picture).decode()
        if form == "b64_json":
            return {"b64_json": data}
        return {"url": f"data:{order.media_type};base64,{data}"}

    def _find(self, url: str) -> bytes | None:
        base = f"{self.origin}/pictures/"
        if not url.startswith(base):
            return None
        try:
            return self.shelf.get(url[len(base) :]).body
        except Refused:
            raise Refused(bad_parameter(f"The picture at {url} cannot be fetched")) from None

    async def picture(self, request: web.Request) -> web.Response:
        """Serve a picture by the URL that a result gave; it needs no key."""
        self._fault(request, "pictures")
        return respond(self.shelf.get(request.match_info["name"]))

    async def user_info(self, request: web.Request) -> web.Response:
        """`GET /user/info` (siliconflow-2024.openapi.yaml)."""
        self._check_key(request)
        self._fault(request, "info")
        return web.json_response(self.state.account.info())

    async def models(self, request: web.Request) -> web.Response:
        """`GET /models`, by `type` and `sub_type` (siliconflow-2024.openapi.yaml)."""
        self._check_key(request)
        self._fault(request, "models")
        kind = choice(request, "type", TYPES)
        task = choice(request, "sub_type", SUB_TYPES)
        names = [
            model.name
            for model in self.state.rules.models.values()
            if kind in {None, "image"} and (task is None or task in model.tasks)
        ]
        entry = {"object": "model", "created": 0, "owned_by": ""}
        return web.json_response({"object": "list", "data": [{"id": n, **entry} for n in names]})

    # The simulator's own

    async def read_state(self, _: web.Request) -> web.Response:
        """Show what was asked, answered and charged."""
        return web.json_response(await self._in_pool(self.state.describe))

    async def change_state(self, request: web.Request) -> web.Response:
        """Change the settings, the account or the faults that wait."""
        try:
            self.state.change(json.loads(await request.read()))
        except ValueError as error:
            raise Refused(answer_text(400, str(error))) from None
        return web.json_response({"ok": True})


def respond(answer: Answer) -> web.Response:
    """Turn an answer into aiohttp's response."""
    headers = {"Content-Type": answer.content_type, **answer.headers}
    return web.Response(status=answer.status or 500, body=answer.body, headers=headers)


def read_json(content: bytes) -> dict[str, Any]:
    """Read a request body; refuse what is not a JSON object."""
    try:
        body = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise Refused(bad_parameter(f"The body is not JSON: {error}")) from None
    if not isinstance(body, dict):
        raise Refused(bad_parameter("The body must be a JSON object"))
    return body


def _no_number(name: str) -> float:
    text = f"{name} is no JSON number"
    raise ValueError(text)


def choice(request: web.Request, name: str, allowed: tuple[str, ...]) -> str | None:
    """Read a query parameter that is one of a few words; refuse any other."""
    value = request.query.get(name)
    if value is not None and value not in allowed:
        message = f"{name}: {value!r} is not one of {', '.join(allowed)}"
        # In the 2024 document every error body is a bare JSON string.
        raise Refused(answer_json(400, message))
    return value
