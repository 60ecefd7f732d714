"""What all tasks check of an IMAGE that is connected, and the images that an edit refers to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import torch

from ..media.image_files import check_image
from ..media.media_error import MediaError
from ..siliconflow import catalogue
from ..siliconflow.catalogue import Model
from ..siliconflow.errors import InvalidInput
from ..strings.text import text

IMAGE_TOKENS = 16_384
"""What an image uses at most: a token each 28 x 28 pixels, up to 12,845,056 of them."""
_TEMPLATE_TOKENS = 16
"""What a model puts around a text or a message."""
ONE_EDIT = "references of one edit"
MAX_URL = 2048
_LATIN = r"\w\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0300-\u036f\u1e00-\u1eff"
"""Letters of the alphabet with all their accents, those that stand alone too, and digits."""
_TAGS = re.compile(
    rf"(?<![{_LATIN}])(?<![{_LATIN}][+%-])(?:@image\d{{0,9}})+"
    rf"(?![{_LATIN}]|\.(?-i:[a-z])|@(?!image)[{_LATIN}])",
    re.IGNORECASE | re.ASCII,
)
"""A word that is nothing but `@image2`, or several of them side by side, as core's nodes read it.

Other letters are no part of the word: Chinese writes no space before it. What goes on as an address
does is one: `a+b@image.org`, `@image.org`, `@image@mail.org`; the next sentence begins in capitals.
"""
_TAG = re.compile(r"@image(\d*)", re.IGNORECASE)


def tokens_at_most(texts: Iterable[str], images: int = 0) -> int:
    """Return the tokens of texts and images that cannot be exceeded: none is under a byte."""
    return images * IMAGE_TOKENS + sum(len(each.encode()) + _TEMPLATE_TOKENS for each in texts)


def require_image(name: str, image: torch.Tensor) -> None:
    """Raise `InvalidInput` for an input that is no IMAGE `[B,H,W,C]` with something in it."""
    try:
        check_image(image)
    except MediaError as error:
        raise InvalidInput(name, error.text) from None


def require_sight(name: str, model: Model, task: str) -> None:
    """Raise `InvalidInput` for an input with images if a listed model accepts none."""
    if model.listed and not model.sees:
        other = next(known.id for known in catalogue.load().of_task(task) if known.sees)
        raise InvalidInput(name, text("task.sees_no_images", model=model.id, other=other))


@dataclass(frozen=True)
class Reference:
    """One image that a request holds: frame n of `images` `[B,H,W,C]`, or its only one, or a URL.

    `number` is what a prompt calls it, `frame` the place of its first frame in that input.
    """

    input: str
    number: int
    frame: int = 0
    images: torch.Tensor | None = None
    url: str = ""


def gather_references(
    model: Model, sockets: Sequence[str], inputs: Mapping[str, Any]
) -> dict[str, Reference]:
    """Return the images of each request by wire name: URLs first, then sockets in their order.

    A batch in `references` goes with every request; one in another socket does if `batch_means`
    says so, and else makes a request a frame. A single frame goes with all of them. The number of
    an image is its place, but never below that in the name of its socket: a gap between sockets
    changes no number. Raises `InvalidInput`.
    """
    means = catalogue.load().inputs["batch_means"]
    is_one_edit = means.check(inputs.get("batch_means", means.choices[0])) == ONE_EDIT
    connected = {name: inputs[name] for name in sockets if inputs.get(name) is not None}
    for name, images in connected.items():
        require_image(name, images)
    urls = _urls(str(inputs.get("image_urls") or ""))
    if not urls and not connected.keys() & {"image", "references"}:
        raise InvalidInput("image", text("task.image_missing"))
    sent = [Reference("image_urls", place, url=url) for place, url in enumerate(urls, 1)]
    for name, images in connected.items():
        own = int(name.removeprefix("image") or 1) if name.startswith("image") else 0
        for frame, part in enumerate(
            images.split(1) if is_one_edit or name == "references" else [images]
        ):
            number = max(sent[-1].number + 1 if sent else 1, own)
            sent.append(Reference(name, number, frame, part))
    if len(sent) > len(model.images):
        name = sent[len(model.images)].input
        raise InvalidInput(
            name, text("task.too_many_images", model=model.id, n=len(model.images), sent=len(sent))
        )
    batches = [(each.input, len(each.images)) for each in sent if each.images is not None]
    batches = [(name, count) for name, count in batches if count > 1]
    for name, count in batches:
        if count != batches[0][1]:
            other, wanted = batches[0]
            raise InvalidInput(name, text("task.other_frames", n=count, wanted=wanted, other=other))
    return dict(zip(model.images, sent, strict=False))


def with_references(prompt: str, references: Sequence[Reference], model: Model) -> str:
    """Return the prompt with each `@image2` as the model speaks of that image; `@image` is 1.

    Raises `InvalidInput` for a number that no image has.
    """
    places = {each.number: place for place, each in enumerate(references, 1)}

    def reference(tag: re.Match[str]) -> str:
        number = int(tag[1] or 1)
        if number not in places:
            raise InvalidInput("prompt", text("task.image_not_connected", image=tag[0]))
        return model.reference.format(places[number])

    return _TAGS.sub(lambda tags: _TAG.sub(reference, tags[0]), prompt)


def _urls(lines: str) -> list[str]:
    """Return the addresses of `image_urls`, one a line, which the service fetches: never we.

    Raises `InvalidInput`, which shows none of them: an address may hold a signature.
    """
    urls = []
    for number, line in enumerate(lines.splitlines(), 1):
        if url := line.strip():
            if not _is_public_address(url):
                raise InvalidInput("image_urls", text("task.bad_url", line=number))
            urls.append(url)
    return urls


def _is_public_address(url: str) -> bool:
    """Return whether this is an `https` URL of one word, without a user or a password."""
    if len(url) > MAX_URL or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False
