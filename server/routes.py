"""The routes that the pack adds to ComfyUI's server, and the checks that all of them share.

aiohttp is ComfyUI's: it is imported only when a request is answered.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..engine.threads import in_thread
from ..strings.text import SiliconFlowError, text
from .origin import check_host, check_origin
from .page_http import (
    BadRequest,
    Failed,
    File,
    Json,
    NotJson,
    PageRequest,
    TooLarge,
    error_body,
    status_of,
)

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PREFIX = "/siliconflow"
MOST_BODY_BYTES = 16 * 1024
_CACHE_A_DAY = {"Cache-Control": "private, max-age=86400, immutable"}
_NO_CACHE = {"Cache-Control": "no-store"}
logger = logging.getLogger("siliconflow")


@dataclass(frozen=True)
class Route:
    """One route. `function` is a function of this folder, as `module.function`.

    Its module is imported by the first request, so as not to delay the start of ComfyUI.
    """

    method: str
    path: str
    function: str

    def answer(self, request: PageRequest) -> Json | File:
        """Import and call the function. It may block: run this in a thread."""
        module, _, name = self.function.partition(".")
        function: Callable[[PageRequest], Json | File] = getattr(
            import_module(f".{module}", __package__), name
        )
        return function(request)


ROUTES = (
    Route("GET", "/catalogue", "page_catalogue.read"),
    Route("POST", "/models/refresh", "page_catalogue.refresh"),
    Route("GET", "/settings", "page_settings.read"),
    Route("POST", "/settings", "page_settings.change"),
    Route("POST", "/key", "page_settings.set_key"),
    Route("DELETE", "/key", "page_settings.delete_key"),
    Route("POST", "/key/test", "page_settings.test_key"),
    Route("POST", "/connection/test", "page_settings.test_connection"),
    Route("GET", "/balance", "page_settings.read_balance"),
    Route("GET", "/spend", "page_spend.read"),
    Route("DELETE", "/questions", "page_spend.forget_questions"),
    Route("POST", "/questions", "page_spend.answer_questions"),
    Route("GET", "/background", "page_background.list_runs"),
    Route("POST", "/background", "page_background.answer"),
    Route("POST", "/background/{id}", "page_background.go_on"),
    Route("DELETE", "/background/{id}", "page_background.give_up"),
    Route("GET", "/jobs", "page_jobs.list_jobs"),
    Route("GET", "/jobs/{id}/workflow", "page_jobs.read_workflow"),
    Route("GET", "/jobs/{id}/{place}/image", "page_images.read_image"),
    Route("GET", "/jobs/{id}/{place}/thumbnail", "page_images.read_thumbnail"),
    Route("GET", "/jobs/{id}/{place}/video", "page_images.play_video"),
    Route("POST", "/jobs/{id}/{place}/load", "page_images.copy_to_input"),
    Route("GET", "/stored", "page_saved_results.read"),
    Route("DELETE", "/stored", "page_saved_results.clear"),
)


def register(routes: web.RouteTableDef) -> None:
    """Add the routes to ComfyUI's table, unless another copy of the pack has added them.

    ComfyUI does not start with a route that is there twice.
    """
    paths = {getattr(route, "path", "") for route in routes}
    if PREFIX + ROUTES[0].path in paths:
        return
    for route in ROUTES:
        routes.route(route.method, PREFIX + route.path)(_handler(route))


def _handler(route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            page_request = await _parse(request)
            answer = await in_thread(partial(route.answer, page_request))
        except SiliconFlowError as error:
            return _json_response(error_body(error), status_of(error))
        except Exception as error:
            logger.exception("%s %s", route.method, route.path)
            failed = Failed(text("server.internal_error", kind=type(error).__name__))
            return _json_response(error_body(failed), Failed.status)
        return _file_response(answer) if isinstance(answer, File) else _json_response(answer, 200)

    return handle


def _json_response(content: Json, status: int) -> web.Response:
    from aiohttp import web  # noqa: PLC0415 - ComfyUI's, so loaded already

    return web.json_response(content, status=status, headers=_NO_CACHE)


def _file_response(file: File) -> web.StreamResponse:
    from aiohttp import web  # noqa: PLC0415 - as above

    headers = _CACHE_A_DAY if file.immutable else _NO_CACHE
    if not isinstance(file.content, bytes):
        return web.FileResponse(file.content, headers=headers)
    return web.Response(body=file.content, content_type=file.content_type, headers=headers)


async def _parse(request: web.Request) -> PageRequest:
    """Check where a request comes from, and read it. Raises a `PageError`."""
    host = request.headers.get("Host", "")
    body: Mapping[str, Any] = {}
    check_host(host, _local_address(request))
    if request.method != "GET":
        check_origin(request.headers.get("Origin"), host)
        if request.content_type != "application/json":
            raise NotJson(text("server.not_json"))
        body = _parse_object(await _read_body(request))
    return PageRequest(dict(request.match_info), dict(request.query), body)


def _local_address(request: web.Request) -> str:
    """Return the address that the request arrived at; loopback if it has disconnected."""
    name = request.get_extra_info("sockname")
    return str(name[0]) if isinstance(name, tuple) else "127.0.0.1"


async def _read_body(request: web.Request) -> bytes:
    """Return the body. Raises `TooLarge` as soon as it is longer than the page sends any."""
    content = b""
    async for chunk in request.content.iter_any():
        content += chunk
        if len(content) > MOST_BODY_BYTES:
            raise TooLarge(text("server.body_too_large", most=MOST_BODY_BYTES))
    return content


def _parse_object(content: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise BadRequest(text("server.not_an_object"))
    return body
