"""The balance, for the page: asked for after a run, in the background, and seldom."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from ..siliconflow.account import user_info
from ..siliconflow.client import Client
from ..siliconflow.errors import SiliconFlowError
from ..siliconflow.settings import Settings
from . import events, host
from .asker import Asker

PAUSE_SECONDS = 3.0
"""Runs that end together are followed by one question."""
FRESH_SECONDS = 10.0
CURRENCIES = {"cn": "CNY", "com": "USD"}
"""Of a site's accounts; the service does not tell."""
logger = logging.getLogger(__name__)


class Balances:
    """What accounts were last known to have. Safe for many threads."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._lock = threading.Lock()
        self._known: dict[Client, dict[str, Any]] = {}
        self._asked_at: dict[Client, float] = {}
        self._waiting: set[Client] = set()

    def now(self, client: Client, settings: Settings) -> dict[str, Any]:
        """Give the balance: as last known if that is fresh, else the service is asked."""
        with self._lock:
            known, asked_at = self._known.get(client), self._asked_at.get(client, 0.0)
        if known and time.monotonic() - asked_at < FRESH_SECONDS:
            return known
        return self._ask(client, settings)

    def after_run(self, client: Client, settings: Settings, asker: Asker) -> None:
        """Tell the page soon what is left; never in the way of the run that just ended."""
        if not settings.show_balance or not host.prompt_server():
            return
        with self._lock:
            if client in self._waiting:
                return
            self._waiting.add(client)
        work = (client, settings, asker)
        threading.Thread(target=self._tell, args=work, name="siliconflow", daemon=True).start()

    def _tell(self, client: Client, settings: Settings, asker: Asker) -> None:
        time.sleep(max(0.0, self._asked_at.get(client, 0.0) + PAUSE_SECONDS - time.monotonic()))
        with self._lock:
            self._waiting.discard(client)  # a run that ends from now on is asked for again
        try:
            events.tell(asker, events.BALANCE, self._ask(client, settings))
        except SiliconFlowError as error:
            # Nobody asked for it, and the next run, or a look at the settings, says what is wrong.
            logger.info("The balance is not known: %s", type(error).__name__)

    def _ask(self, client: Client, settings: Settings) -> dict[str, Any]:
        with self._lock:
            self._asked_at = {client: time.monotonic()}
        balance = user_info(client).balance
        found = {
            "balance": str(balance),
            "currency": CURRENCIES[settings.site],
            "at": time.time(),
        }
        with self._lock:
            self._known = {client: found}  # the account in use: others are asked for anew
        return found


BALANCES = Balances()
