"""The routes that the pack adds to ComfyUI's server: what is checked before anything is done.

aiohttp is ComfyUI's: nothing here is used, and it is not imported, where no ComfyUI runs.
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
from ..strings.text import SiliconFlowError, Text
from . import answers
from .answers import File, Json, PageRequest
from .origin import check_host, check_origin

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

Work = Callable[[PageRequest], Json | File]

PREFIX = "/siliconflow"
MOST_BODY_BYTES = 16 * 1024
_A_DAY = {"Cache-Control": "private, max-age=86400, immutable"}
_NEVER = {"Cache-Control": "no-store"}
_NOT_JSON = Text("Content-Type must be application/json.", "Content-Type 必须是 application/json。")
_NO_OBJECT = Text("The body must be a JSON object.", "请求内容必须是 JSON 对象。")
_TOO_LARGE = Text("The body is larger than {most} bytes.", "请求内容超过 {most} 字节。")
_UNFORESEEN = Text(
    "Something went wrong in the pack ({kind}). ComfyUI's console says where.",
    "扩展内部出错（{kind}），详情见 ComfyUI 控制台。",
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Route:
    """One thing that the page may ask for. `name` is a function of this folder, by its module.

    It is loaded when it is first request for, and runs in a thread: what it stands on takes longer
    to load than ComfyUI's start should.
    """

    method: str
    path: str
    name: str

    def work(self, request: PageRequest) -> Json | File:
        """Load the function, and give what it answers."""
        module, _, function = self.name.partition(".")
        found: Work = getattr(import_module(f".{module}", __package__), function)
        return found(request)


ROUTES = (
    Route("GET", "/catalogue", "page_catalogue.read"),
    Route("POST", "/models/refresh", "page_catalogue.refresh"),
    Route("GET", "/settings", "page_settings.read"),
    Route("POST", "/settings", "page_settings.change"),
    Route("POST", "/key", "page_settings.set_key"),
    Route("DELETE", "/key", "page_settings.delete_key"),
    Route("POST", "/key/test", "page_settings.test_key"),
    Route("GET", "/balance", "page_settings.balance"),
    Route("GET", "/jobs", "page_jobs.listed"),
    Route("GET", "/jobs/{id}/workflow", "page_jobs.workflow"),
    Route("GET", "/jobs/{id}/{place}/thumbnail", "page_images.thumbnail_of"),
    Route("POST", "/jobs/{id}/{place}/load", "page_images.load"),
    Route("GET", "/stored", "page_saved_results.read"),
    Route("DELETE", "/stored", "page_saved_results.clear"),
)


def register(routes: web.RouteTableDef) -> None:
    """Add every route to ComfyUI's table.

    Where another copy of the pack has added them, that one answers: a route that is there twice
    would keep ComfyUI from starting.
    """
    taken = {getattr(known, "path", "") for known in routes}
    for route in ROUTES if PREFIX + ROUTES[0].path not in taken else ():
        routes.route(route.method, PREFIX + route.path)(_handler(route))


def _handler(route: Route) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            page_request = await _read(request)
            answer = await in_thread(partial(route.work, page_request))
        except SiliconFlowError as error:
            return _json(answers.told(error), answers.status_of(error))
        except Exception as error:
            logger.exception("%s %s", route.method, route.path)
            kind = type(error).__name__
            return _json(answers.told(answers.Failed(_UNFORESEEN.format(kind=kind))), 500)
        return _file(answer) if isinstance(answer, File) else _json(answer, 200)

    return handle


def _json(content: Json, status: int) -> web.Response:
    from aiohttp import web  # noqa: PLC0415 - ComfyUI's, and so there when this is called

    return web.json_response(content, status=status, headers=_NEVER)


def _file(file: File) -> web.Response:
    from aiohttp import web  # noqa: PLC0415 - as above

    headers = _A_DAY if file.kept else _NEVER
    return web.Response(body=file.content, content_type=file.content_type, headers=headers)


async def _read(request: web.Request) -> PageRequest:
    host = request.headers.get("Host", "")
    body: Mapping[str, Any] = {}
    check_host(host, _arrived_at(request))
    if request.method != "GET":
        check_origin(request.headers.get("Origin"), host)
        if request.content_type != "application/json":
            raise answers.NotJson(_NOT_JSON)
        body = _object(await _content(request))
    return PageRequest(dict(request.match_info), dict(request.query), body)


def _arrived_at(request: web.Request) -> str:
    """Give the address of ours that was request; who has hung up is held for this machine."""
    name = request.get_extra_info("sockname")
    return str(name[0]) if isinstance(name, tuple) else "127.0.0.1"


async def _content(request: web.Request) -> bytes:
    """Read the body, but no more of it than anything that the page has to say."""
    content = b""
    async for part in request.content.iter_any():
        content += part
        if len(content) > MOST_BODY_BYTES:
            raise answers.TooLarge(_TOO_LARGE.format(most=MOST_BODY_BYTES))
    return content


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        raise answers.BadRequest(_NO_OBJECT) from None
    if not isinstance(body, dict):
        raise answers.BadRequest(_NO_OBJECT)
    return body
