"""Every call besides those for pictures: what they have in common, and where each is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from . import chat, embeddings, rerank, speech, transcripts, voices
from .answers import Refused, bad_parameter
from .bodies import read_json
from .inputs import Upload
from .work import Ask, Work

if TYPE_CHECKING:
    from .faults import Place
    from .rules import Model, Rules

JSON = "application/json"
FORM = "multipart/form-data"

Body = dict[str, Any]


@dataclass(frozen=True)
class Endpoint:
    """One path: which models it serves, how it is asked, and who answers."""

    place: Place
    path: str
    answer: Callable[[Ask], Work]
    task: str = ""
    """The kind of its models; empty when a request names none."""
    forms: tuple[str, ...] = (JSON,)
    """The content types that it reads; the first is named when another one comes."""
    request: str = ""
    """The entry of `requests.json` for every model; empty when each model has its own."""
    paid: bool = True
    method: str = "POST"

    def check(self, rules: Rules, body: Mapping[str, Any]) -> Model | None:
        """Check a request by its model's rules or the endpoint's own; refuse a broken one."""
        model = rules.find(body, (self.task,)) if self.task else None
        if self.request:
            rules.check_request(self.request, body)
        elif model is not None:
            model.check(body)
        return model


SPEECH = "text-to-speech"
ENDPOINTS = (
    Endpoint("chat", "/chat/completions", chat.answer, "chat"),
    Endpoint("embeddings", "/embeddings", embeddings.answer, "embedding"),
    Endpoint("rerank", "/rerank", rerank.answer, "reranker"),
    Endpoint("speech", "/audio/speech", speech.answer, SPEECH),
    Endpoint(
        "transcriptions",
        "/audio/transcriptions",
        transcripts.answer,
        "speech-to-text",
        forms=(FORM,),
    ),
    Endpoint(
        "voice_upload",
        "/uploads/audio/voice",
        voices.upload,
        SPEECH,
        # The 2024 document knows the form alone; the guide that it refers to also sends JSON.
        forms=(FORM, JSON),
        request="voice",
        paid=False,
    ),
    # These two are in the owner's public documentation, not in the 2024 document.
    Endpoint("voice_list", "/audio/voice/list", voices.listing, paid=False, method="GET"),
    Endpoint(
        "voice_deletion",
        "/audio/voice/deletions",
        voices.deletion,
        request="deletion",
        paid=False,
    ),
)


async def read_body(request: web.Request, endpoint: Endpoint) -> Body:
    """Read what was sent; refuse a content type that the endpoint does not take."""
    if request.method == "GET":
        return {}
    if request.content_type not in endpoint.forms:
        raise Refused(bad_parameter(f"Content-Type must be {endpoint.forms[0]}"))
    if request.content_type == JSON:
        return read_json(await request.read())
    return await read_form(request)


async def read_form(request: web.Request) -> Body:
    """Read a multipart form, files and texts; refuse what is not one."""
    try:
        form = await request.post()
    except ValueError as error:
        raise Refused(bad_parameter(f"The body is not a multipart form: {error}")) from None
    return {name: _part(value) for name, value in form.items()}


def _part(value: str | bytes | bytearray | web.FileField) -> str | Upload:
    if isinstance(value, web.FileField):
        return Upload(value.filename, value.content_type, value.file.read())
    return value if isinstance(value, str) else bytes(value).decode(errors="replace")
