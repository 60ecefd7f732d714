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
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from .account import Want
from .answers import (
    TRACE_HEADER,
    Answer,
    Refused,
    answer_text,
    bad_parameter,
    documented,
    no_such_page,
)
from .bodies import choice, read_json
from .calls import ENDPOINTS, Endpoint, read_body
from .faults import Fault, Place
from .limits import for_model
from .log import Record
from .orders import Order, read_order
from .pictures import draw_picture
from .sending import Reply, is_gone, reply_json, send, spoil, whole
from .settings import State
from .shelf import Shelf
from .work import Ask, Work

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Listener = Callable[[Record], None]

LARGEST_REQUEST = 64 * 1024 * 1024
RECORD: ContextVar[Record] = ContextVar("record")
logger = logging.getLogger(__name__)
TYPES: dict[str, set[str]] = {
    "text": {"chat", "embedding", "reranker"},
    "image": {"text-to-image", "image-to-image"},
    "audio": {"speech-to-text", "text-to-speech"},
    "video": {"text-to-video"},
}
# What speaks has a type, but no sub type to ask for.
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
        for endpoint in ENDPOINTS:
            handler = partial(self.call, endpoint)
            app.router.add_route(endpoint.method, f"/v1{endpoint.path}", handler)
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
        record.delivered = not is_gone(request)
        record.status = response.status if record.status is None else record.status
        if self._listener and not request.path.startswith("/_simulator/"):
            self._listener(record)

    def _check_key(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.state.key}".encode()):
            raise Refused(documented(401))

    def _strike(self, request: web.Request, fault: Fault | None) -> None:
        """Answer with a fault, if one waits for this request; a broken answer comes later."""
        if fault is None or fault.broken:
            return
        if fault.hangs_up and request.transport is not None:
            request.transport.abort()
        raise Refused(fault.answer)

    async def _send(
        self, request: web.Request, reply: Reply, fault: Fault | None = None
    ) -> web.StreamResponse:
        """Send a good answer, broken on the way if a fault says so."""
        broken = fault and fault.broken
        delivery = spoil(reply, broken, fault.after) if fault and broken else whole(reply)
        return await send(request, reply, delivery, RECORD.get().trace_id)

    async def _send_free(self, request: web.Request, on: Place, reply: Reply) -> web.StreamResponse:
        """Send an answer that costs nothing, or the fault that waits for it."""
        fault = self.state.faults.take(on)
        self._strike(request, fault)
        return await self._send(request, reply, fault)

    async def _paid(self, want: Want, record: Record, work: Callable[[], Awaitable[T]]) -> T:
        """Let a call in, have it done, and charge it: the client may be gone by then."""
        account = self.state.account
        hold = account.admit(want)
        try:
            done = await work()
        except BaseException:
            account.release(hold)
            raise
        charge = account.charge(hold, record.trace_id)
        record.pictures, record.tokens, record.charged = want.pictures, want.tokens, charge.amount
        return done

    # The endpoints

    async def generate(self, request: web.Request) -> web.StreamResponse:
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
        want = Want(order.model, "text-to-image", pictures=order.count)
        pictures = await self._paid(want, record, partial(self._make, order, started))
        self._strike(request, fault)
        took = time.perf_counter() - started
        return await self._send(
            request, reply_json(self._result(order, pictures, record, took)), fault
        )

    def _read(self, content: bytes, record: Record) -> Order:
        record.body = body = read_json(content)
        if isinstance(body.get("model"), str):
            record.model = body["model"]
        return read_order(self.state.rules, body, self._find)

    async def _make(self, order: Order, started: float) -> list[bytes]:
        """Draw the pictures, and take as long as asked."""
        drawing = (self._in_pool(draw_picture, order, index) for index in range(order.count))
        pictures = await asyncio.gather(*drawing)
        latency = self._latency(order.model, "text-to-image")
        await asyncio.sleep(max(0.0, started + latency - time.perf_counter()))
        return list(pictures)

    def _latency(self, model: str, kind: str) -> float:
        return for_model(self.state.settings.latency, model, kind) or 0.0

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

    async def picture(self, request: web.Request) -> web.StreamResponse:
        """Serve a picture by the URL that a result gave; it needs no key."""
        fault = self.state.faults.take("pictures")
        self._strike(request, fault)
        shown = self.shelf.get(request.match_info["name"])
        return await self._send(request, Reply((shown.body,), shown.content_type), fault)

    async def call(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        """Answer any other endpoint: read, check, let in, take its time, charge, send."""
        started = time.perf_counter()
        record = RECORD.get()
        self._check_key(request)
        record.body = body = await read_body(request, endpoint)
        if isinstance(body.get("model"), str):
            record.model = body["model"]
        work = await self._in_pool(self._work, endpoint, record)
        fault = self.state.faults.take(endpoint.place, record.model)
        if not (fault and fault.made):
            self._strike(request, fault)
        reply = await self._finish_work(endpoint, work, record, started)
        self._strike(request, fault)
        return await self._send(request, reply, fault)

    def _work(self, endpoint: Endpoint, record: Record) -> Work:
        model = endpoint.check(self.state.rules, record.body)
        state = self.state
        ask = Ask(
            record.trace_id,
            state.clock(),
            record.body,
            self._find,
            state.voices,
            state.settings.voice_lists,
            model,
        )
        return endpoint.answer(ask)

    async def _finish_work(
        self, endpoint: Endpoint, work: Work, record: Record, started: float
    ) -> Reply:
        """Let a call in and charge it; a stream takes its time while it is sent."""
        latency = self._latency(record.model or "", endpoint.task)
        left = 0.0 if work.reply.events else started + latency - time.perf_counter()
        wait = partial(asyncio.sleep, max(0.0, left))
        if endpoint.paid:
            want = Want(record.model or "", endpoint.task, tokens=work.tokens)
            await self._paid(want, record, wait)
        else:
            await wait()
        if work.keep:
            work.keep()
        return replace(work.reply, pace=latency) if work.reply.events else work.reply

    async def user_info(self, request: web.Request) -> web.StreamResponse:
        """`GET /user/info` (siliconflow-2024.openapi.yaml)."""
        self._check_key(request)
        return await self._send_free(request, "info", reply_json(self.state.account.info()))

    async def models(self, request: web.Request) -> web.StreamResponse:
        """`GET /models`, by `type` and `sub_type` (siliconflow-2024.openapi.yaml)."""
        self._check_key(request)
        kind = choice(request, "type", tuple(TYPES))
        task = choice(request, "sub_type", SUB_TYPES)
        names = [
            model.name
            for model in self.state.rules.models.values()
            if (kind is None or TYPES[kind] & set(model.tasks))
            and (task is None or task in model.tasks)
        ]
        entry = {"object": "model", "created": 0, "owned_by": ""}
        listed = {"object": "list", "data": [{"id": name, **entry} for name in names]}
        return await self._send_free(request, "models", reply_json(listed))

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
