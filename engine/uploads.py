"""The input pictures of one run as data URLs: encoded when they are wanted, dropped when done."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..media.data_urls import Encoded, encode
from ..storage.settings import Settings
from ..strings.text import Text
from ..tasks.plan import Plan
from .threads import CPU, settle

SCALED = Text(
    "{name} was scaled from {own} to {sent} for the upload (upload_side in the settings).",
    "{name} 上传前已从 {own} 缩小为 {sent}（设置项 upload_side）。",
)
_Place = tuple[str, int]


@dataclass(frozen=True)
class Upload:
    """What is known of an encoded picture for good: the rest is dropped once it was sent."""

    digest: str
    format: str
    bytes: int
    width: int
    height: int
    scaled_from: tuple[int, int] | None

    def told(self) -> dict[str, Any]:
        """Give what is worth telling."""
        return {name: value for name, value in vars(self).items() if name != "digest"}


class Uploads:
    """Each frame is encoded once for all requests that send it, whichever thread wants it first.

    A data URL is held until the last of its requests is over: what a run holds at a time follows
    from how many requests are under way, not from how many frames it was given.
    """

    def __init__(self, plan: Plan, settings: Settings) -> None:
        """Encode nothing yet."""
        self._plan = plan
        self._format = settings.upload_format
        self._most_pixels = settings.upload_side**2
        self._lock = threading.Lock()
        self._held: dict[_Place, Future[Encoded]] = {}
        self._known: dict[_Place, Upload] = {}
        self._left = Counter(place for ask in plan.asks for place in self._places(ask.frame))

    def urls(self, frame: int) -> dict[str, bytes]:
        """Give the data URLs of the pictures that go with input frame `frame`, by wire name."""
        places = self._places(frame)
        with ThreadPoolExecutor(max(1, len(places))) as pool:
            found = pool.map(self._once, places)
            return {wire: item.url for (wire, _), item in zip(places, found, strict=True)}

    def digests(self, frame: int) -> dict[str, str]:
        """Give a name for each of these pictures that tells it from any other, by wire name."""
        missing = [place for place in self._places(frame) if place not in self._known]
        if missing:
            self.urls(frame)
        return {place[0]: self._known[place].digest for place in self._places(frame)}

    def release(self, frame: int) -> None:
        """Tell that one of the requests of this frame is over."""
        with self._lock:
            for place in self._places(frame):
                self._left[place] -= 1
                if self._left[place] <= 0:
                    self._held.pop(place, None)

    def drop(self, frame: int) -> None:
        """Hold nothing of this frame: its pictures were encoded for their digests alone."""
        with self._lock:
            for place in self._places(frame):
                self._held.pop(place, None)

    def described(self) -> list[dict[str, Any]]:
        """Describe every picture that was encoded, for the node's `info`."""
        return [
            {"input": self._plan.names[wire], "frame": frame, **upload.told()}
            for (wire, frame), upload in sorted(self._known.items())
        ]

    def scaled(self, frame: int) -> list[Text]:
        """Say of each picture of this frame that was scaled from which size to which."""
        known = [(self._plan.names[place[0]], self._known[place]) for place in self._places(frame)]
        return [
            SCALED.format(
                name=name,
                own="x".join(map(str, upload.scaled_from)),
                sent=f"{upload.width}x{upload.height}",
            )
            for name, upload in known
            if upload.scaled_from
        ]

    def _places(self, frame: int) -> list[_Place]:
        """Give the pictures of a frame: an input of a single frame goes with every frame."""
        return [
            (wire, min(frame, images.shape[0] - 1)) for wire, images in self._plan.pictures.items()
        ]

    def _once(self, place: _Place) -> Encoded:
        with self._lock:
            known = self._held.get(place)
            future = self._held.setdefault(place, Future())
        if known is None:
            settle(future, partial(self._encoded, place))
        return future.result()

    def _encoded(self, place: _Place) -> Encoded:
        wire, frame = place
        with CPU:
            found = encode(
                self._plan.pictures[wire][frame],
                self._plan.model.upload,
                self._format,
                self._most_pixels,
            )
            digest = hashlib.sha256(found.url).hexdigest()
        self._known[place] = Upload(
            digest, found.format, len(found.url), found.width, found.height, found.scaled_from
        )
        return found
