"""What an endpoint of the API has of its own; the road that a paid call takes is one for all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from ..media.image_files import decode as decode_picture
from ..media.media_error import MediaError
from ..siliconflow.client import Client
from ..siliconflow.resources import images
from ..strings.text import Text

Kind = TypeVar("Kind")
OnText = Callable[[str], None]
"""Told the text of an answer while it grows."""


@dataclass(frozen=True)
class ApiRequest:
    """What a request asks for: its body, and beside it the data URLs of its images, by name.

    They stay apart because they are megabytes: nothing reads or copies them on their way.
    """

    body: Mapping[str, Any]
    images: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """Give the id of the model that is asked."""
        return str(self.body.get("model", ""))


@dataclass(frozen=True)
class ApiResult:
    """What one request brought. Each source is a URL, valid for one hour, or the file itself."""

    sources: tuple[str | bytes, ...]
    seed: int | None
    inference: float | None
    """Seconds that the service says the model ran."""
    trace_id: str
    seconds: float
    """Seconds from the request to the whole answer, as seen here."""


_RESULTS = Text("results", "结果")


@dataclass(frozen=True)
class Endpoint:
    """One kind of paid call.

    `call` sends an order, once, and gives what came: URLs, or files that were inside the answer.
    `decode` makes of such a file what the node hands on, or raises `MediaError`; it is told how
    many pixels the settings allow. `noun` names the file in an error, `nouns` several of them.
    `makes_pictures` tells whether the limits on pictures, a minute and a run, are for it.
    `is_gone` tells whether what an earlier call brought is of no use any more.
    """

    path: str
    call: Callable[[Client, ApiRequest, OnText], ApiResult]
    decode: Callable[[bytes, int], Any]
    noun: Text
    nouns: Text = _RESULTS
    makes_pictures: bool = False
    is_gone: Callable[[Client, Any], bool] = lambda _client, _item: False


class Timed(Protocol):
    """What a call brought, with the facts of the request."""

    @property
    def trace_id(self) -> str:
        """The service's name for the request."""

    @property
    def seconds(self) -> float:
        """How long it took."""


def as_file(found: Timed) -> ApiResult:
    """Give what a call brought as a file that the ledger keeps."""
    content = json.dumps(vars(found)).encode()
    return ApiResult((content,), None, None, found.trace_id, found.seconds)


def from_file(kind: Callable[..., Kind]) -> Callable[[bytes, int], Kind]:
    """Give the way back, to the `kind` that it was."""

    def read(content: bytes, _most_pixels: int) -> Kind:
        try:
            return kind(**json.loads(content))
        except (ValueError, TypeError, RecursionError):
            raise MediaError(Text("cannot be read any more", "已无法读取")) from None

    return read


def _generate(client: Client, order: ApiRequest, _hear: OnText) -> ApiResult:
    return ApiResult(**vars(images.generate(client, order.body, order.images)))


PICTURES = Endpoint(
    images.PATH,
    _generate,
    decode_picture,
    Text("a picture", "图片"),
    Text("pictures", "图片"),
    makes_pictures=True,
)
