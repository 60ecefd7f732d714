"""The simulator as an object: it serves from its own thread while the caller goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import date
from types import TracebackType

from typing_extensions import Self

from ..loopback import HOST, served
from .models import DEFAULT_AS_OF, Day
from .service import Listener, Service
from .state import Money, PerModel, Removed, State

SITES = ("cn", "com")
FLAT_PRICE, FLAT_CALL_PRICE = "0.10", "0.001"


class Simulator(State):
    """A SiliconFlow on this machine.

    ```python
    with Simulator(site="cn", as_of="today", ipm=2) as simulator:
        client = Client(simulator.key, simulator.base_url)
    ```
    """

    def __init__(  # noqa: PLR0913 - each has a default, and all are given by name
        self,
        *,
        site: str = "cn",
        as_of: str | date = DEFAULT_AS_OF,
        port: int = 0,
        key: str = "sk-simulator",
        latency: PerModel = 0.0,
        ipm: PerModel | None = None,
        rpm: PerModel | None = None,
        tpm: PerModel | None = None,
        balance: Money = "100.00",
        price: Money | None = None,
        call_price: Money | None = None,
        removed_fields: Removed = "refuse",
        clip_seconds: PerModel = 0.0,
        clock: Callable[[], float] = time.time,
        on_request: Listener | None = None,
    ) -> None:
        """Prepare a simulator of the site `cn` or `com`; port 0 takes any free one.

        `as_of` is the day of the service: a date such as `2024-12-01`, `today` for that of
        November 2026, or `ever`: nothing was retired, older documents are spoken, and every image
        and every other request has one price.

        `latency` (seconds a request takes), `clip_seconds` (those of a video in its turn), `ipm`
        (images of one model in any 60 seconds), `rpm` and `tpm` (other requests, and their tokens)
        are one number, or a number per model
        or kind (`chat`, `embedding`, ...) where `*` stands for the rest. `price` is that of an
        image, `call_price` that of any other request with a model; without them a date has its
        price list. `removed_fields` says what becomes of a field that was taken out of the API:
        `refuse` or `ignore`. `clock` times the rate limits and the hour of an image's URL.
        """
        if site not in SITES:
            raise ValueError(f"site must be one of {', '.join(SITES)}, not {site!r}")
        day = Day(as_of, site)
        super().__init__(key, day, clock)
        self.site, self.port = site, port
        self.latency, self.ipm, self.rpm, self.tpm = latency, ipm, rpm, tpm
        flat = (FLAT_PRICE, FLAT_CALL_PRICE) if day.date is None else (None, None)
        self.balance = balance
        self.price = flat[0] if price is None else price
        self.call_price = flat[1] if call_price is None else call_price
        self.removed_fields, self.clip_seconds = removed_fields, clip_seconds
        self._service = Service(self, on_request)
        self._started = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    @property
    def base_url(self) -> str:
        """Return the base URL to give to a client."""
        return f"{self.origin}/v1"

    def start(self) -> None:
        """Serve from now on; OSError or OverflowError when the port cannot be used."""
        serving = self._serve()
        self._thread = threading.Thread(target=asyncio.run, args=(serving,), daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """Stop serving."""
        if self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def __enter__(self) -> Self:
        """Start, and hand over the simulator."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with served(self._service.application(), self.port) as self.port:
                # The address without a path: images are served below it.
                self.origin = f"http://{HOST}:{self.port}"
                self._started.set()
                await self._stopping.wait()
        except (OSError, OverflowError) as error:
            self._failure = error
        finally:
            self._started.set()
