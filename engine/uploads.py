"""The input images of one run as data URLs: encoded when they are needed, dropped when done."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..media.data_urls import Encoded, UploadFormat, encode
from ..storage.settings import Settings
from ..strings.text import Text, text
from .job import Plan
from .threads import CPU, run_all, settle

_Place = tuple[str, int]
"""The wire name of an input image, and its frame."""


@dataclass(frozen=True)
class Upload:
    """What is known of an encoded image for good: its data URL is dropped once it was sent."""

    digest: str
    format: str
    bytes: int
    width: int
    height: int
    scaled_from: tuple[int, int] | None


class Uploads:
    """Each frame is encoded once for all requests that send it, whichever thread needs it first.

    A data URL is held until the last of its requests is over: what a run holds at a time follows
    from how many requests are under way, not from how many frames it was given.
    """

    def __init__(self, plan: Plan, settings: Settings) -> None:
        """Encode nothing yet."""
        self._plan = plan
        self._format = settings.upload_format
        self._max_pixels = settings.upload_side**2
        self._lock = threading.Lock()
        self._encoded: dict[_Place, Future[Encoded]] = {}
        self._uploads: dict[_Place, Upload] = {}
        self._requests_left = Counter(
            place for request in plan.requests for place in self._places(request.frame)
        )

    def urls(self, frame: int) -> dict[str, bytes]:
        """Return the data URLs of the images that go with input frame `frame`, by wire name."""
        places = self._places(frame)
        encoded = run_all([partial(self._encode_once, place) for place in places], len(places))
        return {
            wire: image.url
            for (wire, _), image in zip(places, encoded, strict=True)
            if isinstance(image, Encoded)
        }

    def smaller_urls(self, frame: int, step: int) -> dict[str, bytes]:
        """Return the data URLs after `step` refusals for their size; none after the last step.

        Lossless images are lossy first, then have a quarter of their pixels. Their digests stay:
        the user asked for the same.
        """
        shares = (4, 16) if self._format == "lossy" else (1, 4)
        if step > len(shares):
            return {}
        places = self._places(frame)
        return {place[0]: self._encode(place, "lossy", shares[step - 1]).url for place in places}

    def smaller_notes(self, frame: int) -> list[Text]:
        """Return a note for each image of this frame that is sent smaller than the settings say."""
        return [
            text(
                "run.sent_smaller",
                input=self._plan.input_names[place[0]],
                format=self._uploads[place].format.upper(),
                sent=f"{self._uploads[place].width}×{self._uploads[place].height}",
            )
            for place in self._places(frame)
        ]

    def digests(self, frame: int) -> dict[str, str]:
        """Return what tells each of these images from any other, by wire name."""
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
        """Hold nothing of this frame: its images were encoded for their digests alone."""
        with self._lock:
            for place in self._places(frame):
                self._encoded.pop(place, None)

    def describe(self) -> list[dict[str, Any]]:
        """Return what is worth telling of every image that was encoded, for the node's `info`."""
        return [
            {
                "input": self._plan.input_names[wire],
                "frame": frame,
                **{name: value for name, value in vars(upload).items() if name != "digest"},
            }
            for (wire, frame), upload in sorted(self._uploads.items())
        ]

    def notes(self, frame: int) -> list[Text]:
        """Return a note for each image of this frame that was scaled before it was sent."""
        uploads = [(wire, self._uploads.get((wire, at))) for wire, at in self._places(frame)]
        return [
            scaled_note(self._plan.input_names[wire], upload)
            for wire, upload in uploads
            if upload and upload.scaled_from
        ]

    def _places(self, frame: int) -> list[_Place]:
        """Return the images of a frame: an input of a single frame goes with every frame."""
        return [
            (wire, min(frame, images.shape[0] - 1)) for wire, images in self._plan.images.items()
        ]

    def _encode_once(self, place: _Place) -> Encoded:
        with self._lock:
            is_first = place not in self._encoded
            future = self._encoded.setdefault(place, Future())
        if is_first:
            settle(future, partial(self._encode, place, self._format))
        return future.result()

    def _encode(self, place: _Place, upload_format: UploadFormat, share: int = 1) -> Encoded:
        """Encode an image with so many times fewer pixels than the settings allow it."""
        wire, frame = place
        image_input = self._plan.images[wire][frame]
        pixels = image_input.shape[0] * image_input.shape[1]
        most = min(self._max_pixels or pixels, pixels) // share if share > 1 else self._max_pixels
        earlier = self._uploads.get(place)
        with CPU:
            image = encode(image_input, self._plan.model.upload, upload_format, most)
            digest = earlier.digest if earlier else hashlib.sha256(image.url).hexdigest()
        self._uploads[place] = Upload(
            digest, image.format, len(image.url), image.width, image.height, image.scaled_from
        )
        return image


def scaled_note(name: str, image: Encoded | Upload) -> Text:
    """Return the note that an image was scaled before it was sent."""
    width, height = image.scaled_from or (0, 0)
    return text(
        "run.scaled",
        input=name,
        own=f"{width}×{height}",
        sent=f"{image.width}×{image.height}",
    )
