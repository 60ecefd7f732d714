"""The input images of one run as data URLs: encoded when they are needed, dropped when done."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..media.data_urls import Encoded, Grid, UploadFormat, digest_of, encode, size_within
from ..siliconflow.errors import Failure, UploadTooLarge
from ..storage.settings import Settings
from ..strings.text import Text, text
from .job import ImageLimits, Plan
from .threads import CPU, run_all, settle

ENCODED_TOGETHER = 8
"""How many images of a request have a thread at a time; `CPU` decides how many really run."""
_TRIES = 4
"""How often images of too many bytes are encoded with fewer pixels; less than that never fits."""
_SPARE = 1.1
"""So many times fewer pixels than the bytes ask for: smaller images have more bytes a pixel."""
T = TypeVar("T")
_Place = tuple[str, int]
"""The wire name of an input image, and its frame."""


@dataclass(frozen=True)
class Upload:
    """What is known of an encoded image for good: its data URL is dropped once it was sent.

    `digest` is that of the data URL, by which results were named until December 2026.
    """

    digest: str
    format: str
    bytes: int
    width: int
    height: int
    scaled_from: tuple[int, int] | None


class Uploads:
    """Each frame is encoded once for all requests that send it, whichever thread needs it first.

    One whose result is saved is not encoded at all: its pixels name the request.

    A data URL is held until the last of its requests is over: what a run holds at a time follows
    from how many requests are under way, not from how many frames it was given.
    """

    def __init__(self, plan: Plan, settings: Settings) -> None:
        """Encode nothing yet."""
        self._plan = plan
        self._limits = plan.image_limits or ImageLimits()
        is_lossy = plan.image_limits and settings.upload_format == "lossless"
        self._format: UploadFormat = "lossy" if is_lossy else settings.upload_format
        bounds = [bound for bound in (settings.upload_side**2, self._limits.pixels) if bound]
        self._max_pixels = min(bounds, default=0)
        self._grid = Grid(self._limits.least_pixels, self._limits.step)
        self._is_bound_by_model = self._max_pixels != settings.upload_side**2
        self._lock = threading.Lock()
        self._digests: dict[_Place, Future[str]] = {}
        self._encoded: dict[_Place, Future[Encoded]] = {}
        self._uploads: dict[_Place, Upload] = {}
        self._smaller: dict[_Place, Text] = {}
        """What is said of the images that are sent smaller than any setting asks for."""
        self._shares: dict[int, float] = {}
        """By frame, how many times fewer pixels its images have so that they fit into a request."""
        self._requests_left = Counter(
            place for request in plan.requests for place in self._places(request.frame)
        )

    def urls(self, frame: int) -> dict[str, bytes]:
        """Return the data URLs of the images that go with input frame `frame`, by wire name."""
        places = self._places(frame)
        work = [partial(self._encode_once, place) for place in places]
        encoded = run_all(work, ENCODED_TOGETHER)
        return {
            wire: image.url
            for (wire, _), image in zip(places, encoded, strict=True)
            if isinstance(image, Encoded)
        }

    def fitting_urls(self, frame: int) -> dict[str, bytes]:
        """Return `urls`, with fewer pixels if they have more bytes than one request may have.

        Raises `UploadTooLarge` for images that never fit.
        """
        urls, most, share = self.urls(frame), self._limits.request_bytes, 1.0
        size = sum(map(len, urls.values()))
        if not most or size <= most:
            return urls
        for _ in range(_TRIES):
            share *= size / most * _SPARE
            urls = self._encode_smaller(frame, share)
            size = sum(map(len, urls.values()))
            if size <= most:
                self._shares[frame] = share
                self._note_smaller(frame, "run.fitted")
                return urls
        message = text("run.images_too_large", size=_megabytes(size), most=_megabytes(most))
        raise UploadTooLarge(Failure(message, model=self._plan.model.id))

    def smaller_urls(self, frame: int, step: int) -> dict[str, bytes]:
        """Return the data URLs after `step` refusals for their size; none after the last step.

        Lossless images are lossy first, then have a quarter of their pixels.
        """
        shares = (4, 16) if self._format == "lossy" else (1, 4)
        if step > len(shares):
            return {}
        share = shares[step - 1] * self._shares.get(frame, 1.0)
        urls = self._encode_smaller(frame, share)
        self._note_smaller(frame, "run.sent_smaller")
        return urls

    def _encode_smaller(self, frame: int, share: float) -> dict[str, bytes]:
        """Return lossy data URLs with so many times fewer pixels."""
        return {place[0]: self._encode(place, "lossy", share).url for place in self._places(frame)}

    def _note_smaller(self, frame: int, key: str) -> None:
        for place in self._places(frame):
            self._smaller[place] = text(
                key,
                most=_megabytes(self._limits.request_bytes),
                input=self._plan.input_names[place[0]],
                format=self._uploads[place].format.upper(),
                sent=f"{self._uploads[place].width}×{self._uploads[place].height}",
            )

    def digests(self, frame: int) -> dict[str, str]:
        """Return what tells the pixels of each of these images from any other, by wire name."""
        return {place[0]: self._digest_once(place) for place in self._places(frame)}

    def encoded_digests(self, frame: int) -> dict[str, str]:
        """Return what told each of these images from any other until December 2026."""
        places = self._places(frame)
        if any(place not in self._uploads for place in places):
            self.urls(frame)
        return {place[0]: self._uploads[place].digest for place in places}

    def release(self, frame: int) -> None:
        """Take note that one of the requests of this frame is over."""
        with self._lock:
            for place in self._places(frame):
                self._requests_left[place] -= 1
                if self._requests_left[place] <= 0:
                    self._encoded.pop(place, None)

    def drop(self, frame: int) -> None:
        """Hold nothing of this frame: its images were encoded for a name alone."""
        with self._lock:
            for place in self._places(frame):
                self._encoded.pop(place, None)

    def describe(self) -> list[dict[str, Any]]:
        """Return what is worth telling of every image that was encoded, for the node's `info`."""
        return [
            {
                "input": self._plan.input_names[wire],
                "frame": self._plan.first_frames.get(wire, 0) + frame,
                **{name: value for name, value in vars(upload).items() if name != "digest"},
            }
            for wire, images in self._plan.images.items()
            for frame in range(len(images))
            # What earlier versions sent is encoded for its name alone.
            if (wire, frame) in self._requests_left and (upload := self._uploads.get((wire, frame)))
        ]

    def notes(self, frame: int) -> list[Text]:
        """Return a note for each image of this frame that is sent at another size than it has."""
        smaller = [self._smaller.get(place) for place in self._places(frame)]
        places = [place for place in self._places(frame) if place not in self._smaller]
        sizes = [(wire, self._plan.images[wire][at].shape[:2]) for wire, at in places]
        return [note for note in smaller if note] + [
            self._scaled_note(self._plan.input_names[wire], (width, height), sent)
            for wire, (height, width) in sizes
            if (sent := size_within((width, height), self._max_pixels, self._grid))
            != (width, height)
        ]

    def _scaled_note(self, name: str, own: tuple[int, int], sent: tuple[int, int]) -> Text:
        is_for_model = self._is_bound_by_model or sent[0] * sent[1] > own[0] * own[1]
        return text(
            "run.scaled_for_model" if is_for_model else "run.scaled",
            input=name,
            own=f"{own[0]}×{own[1]}",
            sent=f"{sent[0]}×{sent[1]}",
            model=self._plan.model.id,
        )

    def _places(self, frame: int) -> list[_Place]:
        """Return the images of a frame: an input of a single frame goes with every frame."""
        return [(wire, min(frame, len(images) - 1)) for wire, images in self._plan.images.items()]

    def _encode_once(self, place: _Place) -> Encoded:
        return self._once(self._encoded, place, partial(self._encode, place, self._format))

    def _digest_once(self, place: _Place) -> str:
        return self._once(self._digests, place, partial(self._digest, place))

    def _once(self, done: dict[_Place, Future[T]], place: _Place, work: Callable[[], T]) -> T:
        """Return what the work for an image gave; whoever asks meanwhile waits for it."""
        with self._lock:
            is_first = place not in done
            future = done.setdefault(place, Future())
        if is_first:
            settle(future, work)
        return future.result()

    def _digest(self, place: _Place) -> str:
        wire, frame = place
        with CPU:
            return digest_of(self._plan.images[wire][frame], self._max_pixels, self._grid)

    def _encode(self, place: _Place, upload_format: UploadFormat, share: float = 1) -> Encoded:
        """Encode an image with so many times fewer pixels than the settings allow it."""
        wire, frame = place
        image_input = self._plan.images[wire][frame]
        pixels = image_input.shape[0] * image_input.shape[1]
        most = self._max_pixels
        if share > 1:
            most = max(1, int(min(most or pixels, pixels) / share))
        earlier = self._uploads.get(place)
        with CPU:
            image = encode(image_input, self._plan.model.upload, upload_format, most, self._grid)
            digest = earlier.digest if earlier else hashlib.sha256(image.url).hexdigest()
        self._uploads[place] = Upload(
            digest, image.format, len(image.url), image.width, image.height, image.scaled_from
        )
        return image


def _megabytes(count: int) -> str:
    return f"{count / 1_000_000:.0f}"
