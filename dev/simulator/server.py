"""The simulator as an object: it serves from its own thread while the caller goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aiohttp import web

from .account import Account
from .faults import AFTER
from .limits import PerModel
from .log import Charge, Record
from .rules import TASKS, Rules
from .service import Listener, Service
from .settings import FORMS, LISTS, VOICE_LISTS, Form, State

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .answers import Kind
    from .faults import Place
    from .sending import Broken

HOST = "127.0.0.1"
SITES = ("cn", "com")
LAST_ANSWERS = 0.5
LAST_TURNS = 0.02

Money = Decimal | str | float


class Simulator:
    """A SiliconFlow on this machine.

    ```python
    with Simulator(site="cn", ipm=2) as simulator:
        client = Client(simulator.key, simulator.base_url)
    ```
    """

    def __init__(  # noqa: PLR0913 - each has a default, and all are given by name
        self,
        *,
        site: str = "cn",
        port: int = 0,
        key: str = "sk-simulator",
        latency: PerModel = 0.0,
        ipm: PerModel | None = None,
        rpm: PerModel | None = None,
        tpm: PerModel | None = None,
        balance: Money = "100.00",
        price: Money = "0.10",
        call_price: Money = "0.001",
        clock: Callable[[], float] = time.time,
        on_request: Listener | None = None,
    ) -> None:
        """Prepare a simulator of the site `cn` or `com`; port 0 takes any free one.

        `latency` (seconds a request takes), `ipm` (pictures of one model in any 60 seconds), and
        `rpm` and `tpm` (other requests, and their tokens) are one number, or a number per model
        or kind (`chat`, `embedding`, ...) where `*` stands for the rest. `price` is that of a
        picture, `call_price` that of any other call with a model. `clock` times the rate limits
        and the hour that a picture's URL is valid.
        """
        if site not in SITES:
            text = f"site must be one of {', '.join(SITES)}, not {site!r}"
            raise ValueError(text)
        self.site, self.port = site, port
        money = [Decimal(str(amount)) for amount in (balance, price, call_price)]
        account = Account(money[0], money[1], money[2], clock)
        account.limits.update(IPM=ipm, RPM=rpm, TPM=tpm)
        self._state = State(key, Rules(site), account, clock)
        self._state.settings.latency = latency
        self._service = Service(self._state, on_request)
        self._started = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    # Running

    def start(self) -> None:
        """Serve from now on; OSError or OverflowError when the port cannot be used."""
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)
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

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        runner = web.AppRunner(
            self._service.application(), access_log=None, shutdown_timeout=LAST_ANSWERS
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, self.port).start()
            self.port = runner.addresses[0][1]
            self._service.origin = self.origin
            self._started.set()
            await self._stopping.wait()
        except (OSError, OverflowError) as error:
            self._failure = error
        finally:
            self._started.set()
            await runner.cleanup()
            # Transports that were cut off close on the next turns of the loop.
            await asyncio.sleep(LAST_TURNS)

    # Where it is

    @property
    def origin(self) -> str:
        """The address without a path: pictures are served below it."""
        return f"http://{HOST}:{self.port}"

    @property
    def base_url(self) -> str:
        """The base URL to give to a client."""
        return f"{self.origin}/v1"

    @property
    def key(self) -> str:
        """The one API key that is let in."""
        return self._state.key

    # What happened

    @property
    def requests(self) -> list[Record]:
        """Every request so far, in the order they came, those under way included."""
        return self._state.requests

    @property
    def generations(self) -> list[Record]:
        """The requests for pictures among them."""
        return [record for record in self.requests if record.path.endswith("/generations")]

    @property
    def charges(self) -> list[Charge]:
        """Every charge so far: (trace_id, model, pictures, amount)."""
        return self._state.account.charges

    # What can be changed while it runs

    @property
    def balance(self) -> Decimal:
        """The money left."""
        return self._state.account.balance

    @balance.setter
    def balance(self, value: Money) -> None:
        self._state.account.balance = Decimal(str(value))

    @property
    def price(self) -> Decimal:
        """The price of one picture."""
        return self._state.account.price

    @price.setter
    def price(self, value: Money) -> None:
        self._state.account.price = Decimal(str(value))

    @property
    def latency(self) -> PerModel:
        """Seconds from a request to its result: a number, or a number per model."""
        return self._state.settings.latency

    @latency.setter
    def latency(self, value: PerModel) -> None:
        self._state.settings.latency = value

    @property
    def call_price(self) -> Decimal:
        """The price of a call other than for pictures."""
        return self._state.account.call_price

    @call_price.setter
    def call_price(self, value: Money) -> None:
        self._state.account.call_price = Decimal(str(value))

    @property
    def ipm(self) -> PerModel | None:
        """Pictures of one model in any 60 seconds: a number, a number per model, or no limit."""
        return self._state.account.limits["IPM"]

    @ipm.setter
    def ipm(self, value: PerModel | None) -> None:
        self._state.account.limits["IPM"] = value

    @property
    def rpm(self) -> PerModel | None:
        """Other requests to one model in any 60 seconds."""
        return self._state.account.limits["RPM"]

    @rpm.setter
    def rpm(self, value: PerModel | None) -> None:
        self._state.account.limits["RPM"] = value

    @property
    def tpm(self) -> PerModel | None:
        """Tokens that these requests may read and write in any 60 seconds."""
        return self._state.account.limits["TPM"]

    @tpm.setter
    def tpm(self, value: PerModel | None) -> None:
        self._state.account.limits["TPM"] = value

    @property
    def answer(self) -> Form:
        """How a picture is given: `url`, `b64_json`, or `data_url` (a data URL as its url)."""
        return self._state.settings.answer

    @answer.setter
    def answer(self, value: Form) -> None:
        if value not in FORMS:
            text = f"answer must be one of {', '.join(FORMS)}"
            raise ValueError(text)
        self._state.settings.answer = value

    @property
    def answer_lists(self) -> tuple[str, ...]:
        """The names under which the pictures are listed: `images`, `data`, both or none."""
        return self._state.settings.answer_lists

    @answer_lists.setter
    def answer_lists(self, value: tuple[str, ...]) -> None:
        if not set(value) <= set(LISTS):
            text = f"answer_lists may hold {' and '.join(LISTS)}"
            raise ValueError(text)
        self._state.settings.answer_lists = tuple(value)

    @property
    def voices(self) -> list[dict[str, str]]:
        """The voices that were uploaded: model, customName, text and uri of each."""
        return self._state.voices.all()

    @property
    def voice_lists(self) -> tuple[str, ...]:
        """The names under which voices are listed: `result`, `results`, both or none."""
        return self._state.settings.voice_lists

    @voice_lists.setter
    def voice_lists(self, value: tuple[str, ...]) -> None:
        if not set(value) <= set(VOICE_LISTS):
            text = f"voice_lists may hold {' and '.join(VOICE_LISTS)}"
            raise ValueError(text)
        self._state.settings.voice_lists = tuple(value)

    def fail(  # noqa: PLR0913 - each has a default, and most are given by name
        self,
        status: int = 503,
        times: int = 1,
        model: str | None = None,
        *,
        body: Any = None,
        kind: Kind | None = None,
        headers: Mapping[str, str] | None = None,
        limit: str | None = None,
        made: bool = False,
        on: Place = "generations",
        broken: Broken | None = None,
        after: int = AFTER,
    ) -> None:
        """Let the next `times` valid requests (of one model, if given) end in this error.

        Without `body` and `kind` the answer is the one documented for the status. `kind` says
        how `body` is sent: `json` (an object, or a text as a bare JSON string), `text`, `html`,
        or `empty`; bytes are sent as they are. `limit` names the limit of a 429: RPM, IPD, ...
        Status 0 closes the connection without an answer. With `made` the pictures are made and
        charged before the error, as may happen with a 504. `on` is the endpoint that fails:
        `generations`, `chat`, ... (`faults.Place` lists them).

        With `broken` the request succeeds, is charged, and its answer with status 200 comes out
        wrong on the way; a stream of events does `after` that many events:

        - `cut`: the connection closes in the middle (of an event)
        - `short`: the answer ends in the middle as if it were whole
        - `stall`: nothing more comes, and the connection stays open
        - `malformed`: an event is not JSON, and the rest follows; a body is `short`
        - `error`: an event is an error object, and the stream ends; a body is that object alone
        - `undone`: only `[DONE]` is missing
        - `noise`: odd, yet right: comments, other line ends, characters in two pieces; a WAV
          without its length, as one that is made while it is sent
        """
        how = {"body": body, "kind": kind, "headers": headers, "limit": limit}
        how |= {"made": made, "on": on, "broken": broken, "after": after}
        self._state.fail(status, times, model, **how)

    def clear_failures(self) -> None:
        """Forget the failures that still wait."""
        self._state.faults.clear()

    def add_model(
        self,
        model: str,
        schema: Mapping[str, Any],
        tasks: tuple[str, ...] = TASKS,
        traits: Mapping[str, Any] | None = None,
    ) -> None:
        """Serve a model newer than the tables; `{"type": "object"}` takes every field.

        `traits` are those of `schemas/models.json`: `{"vision": True}`, `{"size": 1024}`, ...
        """
        self._state.rules.add(model, schema, tasks, traits)
