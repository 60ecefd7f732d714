"""What the engine knows of an endpoint: how it is called, and of which kind its results are."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..media.image_files import DecodedImage
from ..media.media_error import MediaError
from ..siliconflow.catalogue import Usage
from ..siliconflow.client import Client
from ..siliconflow.errors import BadResult
from ..storage.ledger import ResponseMetadata
from ..strings.text import Text, text

OnText = Callable[[str], None]
"""Called with the text of a response while it grows."""
IMAGES_A_MINUTE = 2
"""What the lowest level of an account allows of one image model (facts: "IPM 2")."""
REQUESTS_A_MINUTE = 1000
"""What the lowest level allows of everything else (facts: "chat RPM 1000+")."""


@dataclass(frozen=True)
class ApiRequest:
    """What goes to the service: a JSON body, or a form, and the data URLs that stand in it by name.

    Data URLs are megabytes: they stay beside the body, so that nothing copies or reads them.
    """

    body: Mapping[str, Any]
    data_urls: Mapping[str, bytes] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class RemoteFile:
    """An item of a result that is still to be downloaded; its URL works for one hour."""

    url: str


@dataclass(frozen=True)
class FileContent:
    """An item of a result whose file was inside the response."""

    content: bytes = field(repr=False)


@dataclass(frozen=True)
class ApiResult:
    """What a request brought: remote files, files, or items that are ready to be used.

    `usage` is what the service says that it used, where it does; `is_estimate`: it does not say,
    and this is the most that it can be.
    """

    items: Sequence[Any]
    metadata: ResponseMetadata
    usage: Usage = field(default_factory=dict)
    is_estimate: bool = False


@dataclass(frozen=True)
class Ticket:
    """What the service gave in place of a result: with it one asks until the result is there.

    `trace_id` is that of the request that was charged.
    """

    id: str
    trace_id: str = ""


@dataclass(frozen=True)
class ResultKind:
    """What one item of a result is: how it is saved, loaded and counted.

    `load` turns a file into the item that nodes use and raises `MediaError`; it is given the most
    pixels that the settings allow. `save` turns an item that came without a file into one.
    Files that are too large for memory have a `load_file` instead: they are downloaded to the disk,
    under a name that ends in `suffix`, and stay there: the item is a dataclass with its `path`.
    """

    name: Literal["image", "text", "audio", "vectors", "ranking", "voice", "video"]
    load: Callable[[bytes, int], Any] = lambda content, _max_pixels: content
    save: Callable[[Any], bytes] = bytes
    load_file: Callable[[Path, int], Any] | None = None
    suffix: str = ""
    allowed_a_minute: int = REQUESTS_A_MINUTE
    """Items of one model that the lowest level of an account lets pass a minute."""
    counts_as_images: bool = False
    """Whether the limits on images count its items, too."""
    has_previews: bool = False
    """Whether its items are shown, small, on the node and in the job list."""
    preview: Callable[[Any], DecodedImage | None] = lambda item: item
    """Returns the image that shows an item, if there is one."""
    bad_file: type[BadResult] = BadResult
    """Raised for a file that `load` cannot decode."""


def _never_submitted(_client: Client, ticket: Ticket) -> ApiResult | Text:
    raise NotImplementedError(f"an endpoint without poll gave the ticket {ticket.id}")


@dataclass(frozen=True)
class Endpoint:
    """One paid call of the API.

    `call` sends a request once. It returns the result, or a ticket where the service makes the
    result later: then `poll` asks for it, and returns how far it is until it is there; a run asks
    until `most_seconds` after it was sent. `is_gone`
    returns whether an item that is saved is of no use any more. `usage` returns what a request with
    this body uses at most, besides its items. The item's names in messages are the strings
    `item.<words>.one` and `item.<words>.some`.
    """

    path: str
    kind: ResultKind
    call: Callable[[Client, ApiRequest, OnText], ApiResult | Ticket]
    words: str
    poll: Callable[[Client, Ticket], ApiResult | Text] = _never_submitted
    most_seconds: float = math.inf
    is_gone: Callable[[Client, Any], bool] = lambda _client, _item: False
    usage: Callable[[Mapping[str, Any]], Usage] | None = None

    @property
    def item_name(self) -> Text:
        """One item in a message, such as "an image"."""
        return text(f"item.{self.words}.one")

    @property
    def item_names(self) -> Text:
        """Several items in a message, such as "images"."""
        return text(f"item.{self.words}.some")


def json_kind(
    name: Literal["text", "vectors", "ranking", "voice"], item_type: Callable[..., Any]
) -> ResultKind:
    """Return the kind of an item that is a dataclass of plain values; it is saved as JSON."""

    def load(content: bytes, _max_pixels: int) -> Any:
        try:
            return item_type(**json.loads(content))
        except (ValueError, TypeError, RecursionError):
            raise MediaError(text("media.undecodable")) from None

    return ResultKind(name, load, lambda item: json.dumps(vars(item)).encode())
