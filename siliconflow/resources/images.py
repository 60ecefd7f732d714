"""`POST /images/generations`: images from a prompt, and from other images.

Sources: the `images`, `2024` and `kolors` API documents. None of them marks anything in the
response as required, and public clients report a `data` list beside `images` and `b64_json` in
place of `url`; all of these are read.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..client import Client, JsonResponse, bad_answer
from ..http.bodies import read_integer, read_list, read_number, read_object, read_text

PATH = "images/generations"
WITHOUT_VISIBLE_MARK = {"X-Enable-Watermark": "0"}
"""Asks for images without the visible mark (service-2026); the invisible one always stays."""
MAX_URL = 16_384
MAX_IMAGES = 64
"""No request asks for more; a response that names more is not one to it."""


@dataclass(frozen=True)
class GeneratedImages:
    """The result of one request. Each source is a URL, valid for one hour, or the file itself."""

    sources: tuple[str | bytes, ...]
    seed: int | None
    inference: float | None
    """Seconds that the model ran, by the service's account."""
    trace_id: str
    seconds: float
    """Seconds from the request to the whole response, as measured here."""


def generate(
    client: Client,
    body: Mapping[str, Any],
    images: Mapping[str, bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> GeneratedImages:
    """Generate images, once; this is charged. `images` are data URLs by wire name.

    Raises a `RequestError` of the cause; `BadAnswer` for a 200 without an image.
    """
    return parse(client.post(PATH, body, images, headers))


def parse(response: JsonResponse) -> GeneratedImages:
    """Return the images of a response. Raises `BadAnswer` if it has none that can be used."""
    data = read_object(response.data)
    entries = read_list(data.get("images")) or read_list(data.get("data"))
    if not entries:
        raise bad_answer(response, "response.no_images")
    if len(entries) > MAX_IMAGES:
        raise bad_answer(response, "response.too_many_images", count=len(entries))
    sources = tuple(source for source in map(_source, entries) if source is not None)
    if not sources:
        raise bad_answer(response, "response.no_usable_images")
    return GeneratedImages(
        sources=sources,
        seed=read_integer(data.get("seed")),
        inference=read_number(read_object(data.get("timings")).get("inference")),
        trace_id=response.trace_id,
        seconds=response.seconds,
    )


def _source(entry: object) -> str | bytes | None:
    """Return an image's URL or file; `None` for an entry that has neither.

    A URL with half a character, which JSON may hold, could not be stored.
    """
    url, encoded = (read_object(entry).get(name) for name in ("url", "b64_json"))
    if isinstance(encoded, str) and encoded:
        return _decode_base64(encoded)
    if isinstance(url, str) and url.startswith("data:"):
        return _decode_base64(url)
    if isinstance(url, str) and 0 < len(url) <= MAX_URL and read_text(url) == url:
        return url
    return None


def _decode_base64(encoded: str) -> bytes | None:
    """Return the file of a base64 text, with or without the header of a data URL."""
    if encoded.startswith("data:"):
        encoded = encoded[encoded.find(",") + 1 :]
    try:
        return base64.b64decode("".join(encoded.split()), validate=True) or None
    except ValueError:
        return None
