"""The HTTP service: the table of endpoints, and what all requests have in common."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from aiohttp import web

from . import audio, chat, images, responses, retrieval, video
from .models import IMAGE_TASKS, Call, Model, Result, read_table
from .responses import JSON, Place, Refused, Response, bad_parameter, json_reply, named_response
from .schemas import Upload
from .state import Record, for_model

if TYPE_CHECKING:
    from .state import State

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Listener = Callable[[Record], None]
Body = dict[str, Any]

LARGEST_REQUEST = 64 * 1024 * 1024
# Half of a pair that stands for one character, written as an escape; alone it is no text.
HALF_CHARACTER = b"\\ud"
FORM = "multipart/form-data"
SPEAKS, HEARS = ("text-to-speech",), ("speech-to-text",)
CLIPS = "text-to-video", "image-to-video"
TRANSCRIPTIONS, VOICES = "/audio/transcriptions", "/uploads/audio/voice"
DELETIONS = "/audio/voice/deletions"
RECORD: ContextVar[Record] = ContextVar("record")
logger = logging.getLogger(__name__)
TYPES: dict[str, list[str]] = read_table("types")
# What speaks has a type, but no sub type to ask for.
SUB_TYPES = tuple(sorted(set().union(*TYPES.values()) - {"text-to-speech"}))


def user_info(call: Call) -> Result:
    """Answer `GET /user/info` while it is there; all the money was paid in, none was given."""
    state = call.state
    if state.day.has("user-info-retired"):
        raise Refused(named_response("gone-410"))
    cents = round(state.balance, 2)
    total = f"{cents if cents == state.balance else state.balance:f}"
    data: Body = dict.fromkeys(("image", "email", "introduction", "role"), "")
    data |= {"id": "simulator", "name": "simulator", "isAdmin": False, "status": "normal"}
    data |= {"balance": "0.00", "chargeBalance": total, "totalBalance": total}
    content = {"code": 20000, "message": "OK", "status": True, "data": data}
    return Result(lambda _: json_reply(content))


def list_models(call: Call) -> Result:
    """Answer `GET /models`, by `type` and `sub_type`."""
    for name, allowed in (("type", tuple(TYPES)), ("sub_type", SUB_TYPES)):
        value = call.query.get(name)
        if value is not None and value not in allowed:
            # In the 2024 document every error body is a bare JSON string.
            message = f"{name}: {value!r} is not one of {', '.join(allowed)}"
            raise Refused(responses.json_response(400, message))
    kind, task = call.query.get("type"), call.query.get("sub_type")
    listed = [
        {"id": model.name, "object": "model", "created": 0, "owned_by": ""}
        for model in call.state.models.all.values()
        if (kind is None or set(TYPES[kind]) & set(model.tasks))
        and (task is None or task in model.tasks)
    ]
    return Result(lambda _: json_reply({"object": "list", "data": listed}))


@dataclass(frozen=True)
class Endpoint:
    """One path: which models it serves, the content types that it reads, and who answers.

    `request` is the entry of `requests.json` for every model; if empty, each has its own rules.
    """

    place: Place
    path: str
    answer: Callable[[Call], Result]
    tasks: tuple[str, ...] = ()
    forms: tuple[str, ...] = (JSON,)
    request: str = ""
    paid: bool = True
    method: str = "POST"


FREE: dict[str, Any] = {"paid": False, "method": "GET"}
ENDPOINTS = (
    Endpoint("generations", "/images/generations", images.answer, IMAGE_TASKS),
    Endpoint("chat", "/chat/completions", chat.answer, ("chat",)),
    Endpoint("embeddings", "/embeddings", retrieval.embeddings, ("embedding",)),
    Endpoint("rerank", "/rerank", retrieval.rerank, ("reranker",)),
    Endpoint("speech", "/audio/speech", audio.speech, SPEAKS),
    Endpoint("transcriptions", TRANSCRIPTIONS, audio.transcription, HEARS, forms=(FORM,)),
    Endpoint("video_submit", "/video/submit", video.submit, CLIPS),
    Endpoint("video_status", "/video/status", video.status, request="status", paid=False),
    # The 2024 document knows the form alone; the guide that it refers to also sends JSON.
    Endpoint("voice_upload", VOICES, audio.upload_voice, SPEAKS, (FORM, JSON), "voice", paid=False),
    # These two are in the owner's public documentation, not in the 2024 document.
    Endpoint("voice_list", "/audio/voice/list", audio.list_voices, **FREE),
    Endpoint("voice_deletion", DELETIONS, audio.delete_voice, request="deletion", paid=False),
    Endpoint("info", "/user/info", user_info, **FREE),
    Endpoint("models", "/models", list_models, **FREE),
)


class Service:
    """The endpoints, over one state."""

    def __init__(self, state: State, listener: Listener | None = None) -> None:
        """Serve this state; the listener hears of each request once it is answered."""
        self.state, self._listener = state, listener
        self._pool = ThreadPoolExecutor((os.cpu_count() or 2) + 1, "simulator-draw")

    def application(self) -> web.Application:
        """Return the service as an aiohttp application."""
        app = web.Application(middlewares=[self._watch], client_max_size=LARGEST_REQUEST)
        for endpoint in ENDPOINTS:
            handler = partial(self.call, endpoint)
            app.router.add_route(endpoint.method, f"/v1{endpoint.path}", handler)
        app.router.add_get("/pictures/{name}", self.image)
        app.router.add_get("/_simulator/state", self.read_state)
        app.router.add_post("/_simulator/state", self.change_state)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _in_pool(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(work, *args))

    @web.middleware
    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """List the request, answer it, and put the trace id on whatever comes out."""
        record = Record(
            time=self.state.clock(),
            method=request.method,
            path=request.path,
            trace_id=f"ti_{secrets.token_hex(10)}",
            with_key="Authorization" in request.headers,
            watermark_off=request.headers.get(images.WATERMARK_HEADER) == "0",
        )
        RECORD.set(record)
        own = request.path.startswith("/_simulator/")
        if not own:
            self.state.requests.append(record)
        response = await self._answer(request, handler)
        response.headers[responses.TRACE_HEADER] = record.trace_id
        record.delivered = not responses.is_gone(request)
        record.status = response.status if record.status is None else record.status
        if self._listener and not own:
            self._listener(record)
        return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Refused as refused:
            response = refused.response
        except web.HTTPRequestEntityTooLarge:
            response = named_response("large-413")
        except web.HTTPException:
            response = named_response("page-404")
        except Exception:
            logger.exception("The simulator itself failed")
            response = responses.documented(500)
        RECORD.get().status = response.status
        RECORD.get().refusal = response.body[:300].decode(errors="replace")
        headers = {"Content-Type": response.content_type, **response.headers}
        return web.Response(status=response.status or 500, body=response.body, headers=headers)

    def _raise_fault(self, request: web.Request, fault: responses.Fault | None) -> None:
        """Raise what a fault answers, if one waits for this request; a broken reply comes later."""
        if fault is None or fault.broken:
            return
        if fault.response.status == 0 and request.transport is not None:
            request.transport.abort()
        raise Refused(fault.response)

    async def call(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        """Answer an endpoint: read, check, let in, take the time, charge, responses.send."""
        started, record = time.perf_counter(), RECORD.get()
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.state.key}".encode()):
            raise Refused(responses.documented(401))
        content = await _read(request, endpoint)
        model, result = await self._in_pool(self._work, endpoint, request, content, record)
        fault = self.state.take_fault(endpoint.place, record.model)
        if not (fault and fault.made):
            self._raise_fault(request, fault)
        reply = await self._finish(endpoint, model, result, started)
        self._raise_fault(request, fault)
        return await responses.send(request, reply, fault, record.trace_id)

    def _work(
        self, endpoint: Endpoint, request: web.Request, content: bytes | Body, record: Record
    ) -> tuple[Model, Result]:
        body = record.body = read_json(content) if isinstance(content, bytes) else content
        if isinstance(body.get("model"), str):
            record.model = body["model"]
        if endpoint.tasks == IMAGE_TASKS:
            body = images.without_removed_fields(self.state, body)
        model = self.state.models.find(body, endpoint.tasks)
        self.state.models.check(model, endpoint.request, body)
        call = Call(self.state, record.trace_id, body, request.headers, request.query, model)
        return model, endpoint.answer(call)

    async def _finish(
        self, endpoint: Endpoint, model: Model, result: Result, started: float
    ) -> responses.Reply:
        """Let a request in, do its work, take its time, and charge it: the client may be gone.

        A stream takes its time while it is sent.
        """
        state, record = self.state, RECORD.get()
        kind, charge = endpoint.tasks[0] if endpoint.tasks else "", None
        if endpoint.paid:
            charge = state.admit(record.trace_id, model, kind, result.usage)
        latency = for_model(state.latency, record.model or "", kind) or 0.0
        try:
            if result.work:
                await self._in_pool(result.work)
            if not result.stream:
                await asyncio.sleep(max(0.0, started + latency - time.perf_counter()))
        except BaseException:
            if charge:
                state.settle(charge, made=False)
            raise
        if charge:
            state.settle(charge, made=True)
            record.charged = charge.amount
            record.pictures, record.tokens = result.usage.images, result.usage.tokens
        reply = result.reply(time.perf_counter() - started)
        return replace(reply, pace=latency) if result.stream else reply

    async def image(self, request: web.Request) -> web.StreamResponse:
        """Serve an image by the URL that a response gave; it needs no key."""
        fault = self.state.take_fault("pictures")
        self._raise_fault(request, fault)
        shown = self.state.published(request.match_info["name"])
        reply = responses.Reply((shown.body,), shown.content_type)
        return await responses.send(request, reply, fault, RECORD.get().trace_id)

    async def read_state(self, _: web.Request) -> web.Response:
        """Show what was requested, answered and charged."""
        return web.json_response(await self._in_pool(self.state.describe))

    async def change_state(self, request: web.Request) -> web.Response:
        """Change the settings, the account or the faults that wait."""
        try:
            self.state.change(json.loads(await request.read()))
        except ValueError as error:
            raise Refused(Response(400, str(error).encode())) from None
        return web.json_response({"ok": True})


async def _read(request: web.Request, endpoint: Endpoint) -> bytes | Body:
    """Return the content of a JSON request, or the parts of a form; raise Refused for others."""
    if request.method == "GET":
        return {}
    if request.content_type not in endpoint.forms:
        raise Refused(bad_parameter(f"Content-Type must be {endpoint.forms[0]}"))
    if request.content_type == JSON:
        return await request.read()
    try:
        form = await request.post()
    except ValueError as error:
        raise Refused(bad_parameter(f"The body is not a multipart form: {error}")) from None
    return {name: _part(value) for name, value in form.items()}


def _part(value: str | bytes | bytearray | web.FileField) -> str | Upload:
    if isinstance(value, web.FileField):
        return Upload(value.filename, value.content_type, value.file.read())
    return value if isinstance(value, str) else bytes(value).decode(errors="replace")


def read_json(content: bytes) -> Body:
    """Return a request body; raise Refused for what is not a JSON object."""
    try:
        body = json.loads(content, parse_constant=_not_a_number)
        if HALF_CHARACTER in content.lower():
            json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Refused(bad_parameter(f"The body is not JSON: {error}")) from None
    if not isinstance(body, dict):
        raise Refused(bad_parameter("The body must be a JSON object"))
    return body


def _not_a_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
