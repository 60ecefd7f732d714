"""What the API answers when it refuses: each documented status with its documented body.

Bodies come in every shape the documents show: an object (siliconflow-images.openapi.yaml), a bare
JSON string (siliconflow-2024.openapi.yaml), plain text (404, 504), and what gateways add: HTML,
or nothing at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["json", "text", "html", "empty"]

TRACE_HEADER = "x-siliconcloud-trace-id"
CONTENT_TYPES: dict[str, str] = {
    "json": "application/json",
    "text": "text/plain",
    "html": "text/html",
    "empty": "text/plain",
}
OVERLOADED = {
    "code": 50505,
    "message": "Model service overloaded. Please try again later.",
    "data": None,
}


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, ready to be sent."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that the API would refuse, with the answer that it would give."""

    def __init__(self, answer: Answer) -> None:
        """Keep the answer to send."""
        super().__init__(f"{answer.status} {answer.body[:200]!r}")
        self.answer = answer


def answer_json(status: int, content: Any) -> Answer:
    """Answer with a JSON value: an object, or the bare string that some errors are."""
    return Answer(status, json.dumps(content, ensure_ascii=False).encode())


def answer_text(status: int, text: str, kind: Kind = "text") -> Answer:
    """Answer with text or HTML."""
    return Answer(status, text.encode(), CONTENT_TYPES[kind])


def bad_parameter(message: str) -> Answer:
    """400 for a field that the model does not take or cannot read."""
    return answer_json(400, {"code": 20015, "message": message, "data": None})


def unknown_model() -> Answer:
    """400 for a model that this site does not serve (siliconflow-images.openapi.yaml)."""
    message = "Model does not exist. Please check it carefully."
    return answer_json(400, {"code": 20012, "message": message, "data": None})


def no_such_page() -> Answer:
    """404 for a wrong base URL: text, not JSON (siliconflow-images.openapi.yaml)."""
    return answer_text(404, "404 page not found")


def rate_limited(limit: str) -> Answer:
    """429 naming the limit. The image limits (IPM, IPD) carry a code, the others do not."""
    message = f"Request was rejected due to rate limiting. Details:{limit} limit reached."
    if limit.startswith("I"):
        return answer_json(429, {"code": 50604, "message": message})
    return answer_json(429, {"message": message, "data": ""})


def too_large(message: str) -> Answer:
    """413 for more text than a model reads, as clients report it."""
    return answer_json(413, {"code": 20042, "message": message, "data": None})


def not_a_vision_model() -> Answer:
    """400 for a picture sent to a model that reads text only, as clients report it."""
    message = "The model is not a VLM (Vision Language Model). Please use text-only prompts."
    return answer_json(400, {"code": 20041, "message": message, "data": None})


def documented(status: int) -> Answer:
    """Return what the documents show for a status; an empty body where they show nothing."""
    shown = {
        400: bad_parameter("The parameter is invalid. Please check again."),
        401: answer_json(401, "Invalid token"),
        403: answer_json(403, "Forbidden"),
        404: no_such_page(),
        429: rate_limited("TPM"),
        500: answer_text(500, "unknown error"),
        503: answer_json(503, OVERLOADED),
        504: answer_text(504, "Gateway Timeout"),
    }
    return shown.get(status, Answer(status, content_type="text/plain"))
