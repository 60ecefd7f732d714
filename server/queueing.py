"""What ComfyUI answers to a program that queues a graph: in its language, each fault once.

Added to ComfyUI's server as a middleware and a handler of prompts, both of which it offers to
packs. aiohttp is ComfyUI's: it is imported when there is a server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..comfyui import host
from ..nodes import NODE_CLASS_MAPPINGS
from ..nodes.base import FAULTS_SEPARATOR
from ..strings.text import LANGUAGES, Language
from .page_http import Json

if TYPE_CHECKING:
    from aiohttp import web

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REJECTED = "custom_validation_failed"
"""The `type` of an error for which `VALIDATE_INPUTS` gave the words."""
_PATHS = ("/prompt", "/api/prompt")
_INPUT = re.compile(r"(?:[^:：]*[(（])?(\w+)[)）]?[:：]")
"""The beginning of an `InvalidInput`: the name of its input, in brackets behind a label."""


def register(server: Any) -> None:
    """Add them to ComfyUI's server, which has not started yet."""
    from aiohttp import web  # noqa: PLC0415 - ComfyUI's, so loaded already

    server.app.middlewares.append(web.middleware(_answer))
    server.add_on_prompt_handler(host.note_language)
    server.add_on_prompt_handler(host.note_time)


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer in the language that a program asks for. The page has chosen its own: ComfyUI's."""
    is_page = "Comfy-User" in request.headers
    host.request_language.set(
        None if is_page else _accepted_language(request.headers.get("Accept-Language", ""))
    )
    response = await handler(request)
    if request.method == "POST" and request.path in _PATHS:
        _tell_once(response)
    return response


def _accepted_language(header: str) -> Language | None:
    """Return the best language of an `Accept-Language` that there are words in, if any."""
    weighted = [
        (float(weight or 1), tag.lower())
        for tag, weight in re.findall(r"(\w+)[\w-]*(?:\s*;\s*q=(\d(?:\.\d+)?))?", header)
    ]
    known = [(weight, tag) for weight, tag in weighted if tag in LANGUAGES and weight > 0]
    return max(known, key=lambda each: each[0])[1] if known else None


def _tell_once(response: Any) -> None:
    """Leave each rejection of our nodes at its own input: ComfyUI repeats all at every input."""
    body = getattr(response, "body", None)
    if not isinstance(body, bytes) or REJECTED.encode() not in body:
        return
    answer = json.loads(body)
    for node in answer["node_errors"].values():
        if node["class_type"] in NODE_CLASS_MAPPINGS:
            node["errors"] = [*_once(node["errors"])]
    response.text = json.dumps(answer)


def _once(errors: list[Json]) -> Iterator[Json]:
    """Yield ComfyUI's errors, and each fault of the first rejection, which the others repeat."""
    rejections = [error for error in errors if error["type"] == REJECTED]
    yield from (error for error in errors if error["type"] != REJECTED)
    if not rejections:
        return
    first = rejections[0]["extra_info"]["input_name"]
    for fault in rejections[0]["details"].removeprefix(f"{first} - ").split(FAULTS_SEPARATOR):
        named = _INPUT.match(fault)
        name = named[1] if named else first
        details = {"details": f"{name} - {fault}", "extra_info": {"input_name": name}}
        yield {**rejections[0], **details}
