"""The balance: asked for seldom, and no more where the service has retired the call."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ..comfyui import events
from ..comfyui.host import Caller
from ..siliconflow.client import Client
from ..siliconflow.errors import RetiredCall
from ..siliconflow.resources.account import user_info
from ..storage.settings import Settings
from ..strings.text import SiliconFlowError
from .threads import settle, start_thread

PAUSE_SECONDS = 3.0
"""Runs that end together are followed by one lookup."""
FRESH_SECONDS = 10.0
RETIRED_SECONDS = 86_400.0
"""After a 410 the service is not asked for so long: it may bring the call back."""
logger = logging.getLogger("siliconflow")


@dataclass(frozen=True)
class _Lookup:
    """When the service was asked, by the monotonic clock, and what it answered or failed with."""

    at: float
    answer: Future[dict[str, Any]] = field(default_factory=Future)


class Balances:
    """What accounts were last known to have. Thread-safe."""

    def __init__(self) -> None:
        """Start without a balance; the first who asks gets it from the service."""
        self._lock = threading.Lock()
        self._last: dict[Client, _Lookup] = {}
        self._balances: dict[Client, dict[str, Any]] = {}
        self._waiting: dict[Client, list[Caller]] = {}
        self._retired: dict[Client, float] = {}
        self._is_retirement_logged = False

    def ask(self, client: Client) -> Decimal | None:
        """Ask the service; return `None`, as a rule without asking, where it retired the call."""
        retired_at = self._retired.get(client)
        if retired_at is not None and time.monotonic() < retired_at + RETIRED_SECONDS:
            return None
        try:
            return user_info(client).balance
        except RetiredCall:
            with self._lock:
                self._retired = {client: time.monotonic()}
                was_logged, self._is_retirement_logged = self._is_retirement_logged, True
            if not was_logged:
                logger.info("SiliconFlow no longer reports the balance: it is not shown")
            return None

    def now(self, client: Client, settings: Settings) -> dict[str, Any]:
        """Return the balance if it is fresh, else ask the service; raise why it is not known.

        Whoever asks meanwhile waits for the same answer.
        """
        return self._look_up(client, settings, time.monotonic() - FRESH_SECONDS)

    def last_known(self, client: Client, settings: Settings) -> dict[str, Any] | None:
        """Return the last balance that the service told, however long ago. Asks nobody."""
        balance = self._balances.get(client)
        return {**balance, "currency": settings.currency} if balance else None

    def forget(self) -> None:
        """Forget the balance: the next who asks gets it from the service."""
        with self._lock:
            self._last = {}
            self._balances = {}
            self._retired = {}

    def after_run(self, client: Client, settings: Settings, caller: Caller) -> None:
        """Send the page the balance soon; never in the way of the run that just ended."""
        with self._lock:
            waiting = self._waiting.setdefault(client, [])
            waiting.append(caller)
        if len(waiting) == 1:
            start_thread(self._publish, client, settings)

    def _publish(self, client: Client, settings: Settings) -> None:
        last = self._last.get(client)
        if last:
            time.sleep(max(0.0, last.at + PAUSE_SECONDS - time.monotonic()))
        with self._lock:
            callers = self._waiting.pop(client)  # a run that ends from now on asks again
        try:
            balance = self._look_up(client, settings, time.monotonic())
        except SiliconFlowError as error:
            # Nobody asked for it, and the next run, or a look at the settings, says what is wrong.
            logger.info("The balance is not known: %s", type(error).__name__)
            return
        events.send_all(callers, events.BALANCE, balance)

    def _look_up(self, client: Client, settings: Settings, since: float) -> dict[str, Any]:
        """Return the answer to the last lookup if it was made `since` then, else ask."""
        with self._lock:
            last = self._last.get(client)
            lookup = last if last and last.at > since else _Lookup(time.monotonic())
            self._last = {client: lookup}  # the account in use: others are asked again
        if lookup is not last:
            settle(lookup.answer, lambda: _as_json(self.ask(client)))
        balance = lookup.answer.result()
        with self._lock:
            if client in self._last:  # not of an account that is no longer in use
                self._balances = {client: balance}
        return {**balance, "currency": settings.currency}


def _as_json(balance: Decimal | None) -> dict[str, Any]:
    if balance is None:
        return {"balance": None, "reason": RetiredCall.__name__, "at": time.time()}
    return {"balance": f"{balance:f}", "at": time.time()}


BALANCES = Balances()
