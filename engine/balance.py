"""The balance, for the page: asked for after a run, in the background, and seldom."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from ..comfyui import events, host
from ..comfyui.caller import Caller
from ..siliconflow.client import Client
from ..siliconflow.resources.account import user_info
from ..storage.settings import Settings
from ..strings.text import SiliconFlowError
from .threads import settle

PAUSE_SECONDS = 3.0
"""Runs that end together are followed by one question."""
FRESH_SECONDS = 10.0
CURRENCIES = {"cn": "CNY", "com": "USD"}
"""Of a site's accounts; the service does not tell."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Question:
    """What the service was asked, by the monotonic clock, and what it answers or fails with."""

    at: float
    answer: Future[dict[str, Any]] = field(default_factory=Future)


class Balances:
    """What accounts were last known to have. Safe for many threads."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._lock = threading.Lock()
        self._last: dict[Client, _Question] = {}
        self._known: dict[Client, dict[str, Any]] = {}
        self._waiting: dict[Client, list[Caller]] = {}

    def now(self, client: Client, settings: Settings) -> dict[str, Any]:
        """Give the balance, or raise why it is not known: what is fresh, else the service is asked.

        Whoever asks meanwhile waits for the same answer.
        """
        return self._answer(client, settings, time.monotonic() - FRESH_SECONDS)

    def known(self, client: Client, settings: Settings) -> dict[str, Any] | None:
        """Give what the account was last heard to have, however long ago; asks nobody."""
        found = self._known.get(client)
        return {**found, "currency": CURRENCIES[settings.site]} if found else None

    def heard(self, client: Client, balance: Decimal) -> None:
        """Take what the service told when it was asked for something else."""
        question = _Question(time.monotonic())
        question.answer.set_result(_told(balance))
        with self._lock:
            self._last = {client: question}
            self._known = {client: question.answer.result()}

    def forget(self) -> None:
        """Know nothing again: the next who asks is told what the service says then."""
        with self._lock:
            self._last = {}
            self._known = {}

    def after_run(self, client: Client, settings: Settings, caller: Caller) -> None:
        """Tell the page soon what is left; never in the way of the run that just ended."""
        if not settings.show_balance or not host.prompt_server():
            return
        with self._lock:
            others = self._waiting.setdefault(client, [])
            others.append(caller)
        if len(others) == 1:
            work = (client, settings)
            threading.Thread(target=self._tell, args=work, name="siliconflow", daemon=True).start()

    def _tell(self, client: Client, settings: Settings) -> None:
        time.sleep(self._pause(client))
        with self._lock:
            callers = self._waiting.pop(client)  # a run that ends from now on is asked for again
        try:
            found = self._answer(client, settings, time.monotonic())
        except SiliconFlowError as error:
            # Nobody asked for it, and the next run, or a look at the settings, says what is wrong.
            logger.info("The balance is not known: %s", type(error).__name__)
            return
        events.send_all(callers, events.BALANCE, found)

    def _pause(self, client: Client) -> float:
        last = self._last.get(client)
        return max(0.0, last.at + PAUSE_SECONDS - time.monotonic()) if last else 0.0

    def _answer(self, client: Client, settings: Settings, since: float) -> dict[str, Any]:
        """Take the answer to the last question if it was asked `since` then, else ask."""
        with self._lock:
            last = self._last.get(client)
            question = last if last and last.at > since else _Question(time.monotonic())
            self._last = {client: question}  # the account in use: others are asked for anew
        if question is not last:
            settle(question.answer, partial(_asked, client))
        self._keep(client, question)
        return {**question.answer.result(), "currency": CURRENCIES[settings.site]}

    def _keep(self, client: Client, question: _Question) -> None:
        found = question.answer.result()
        with self._lock:
            if client in self._last:  # not of an account that is no longer in use
                self._known = {client: found}


def _asked(client: Client) -> dict[str, Any]:
    return _told(user_info(client).balance)


def _told(balance: Decimal) -> dict[str, Any]:
    return {"balance": f"{balance:f}", "at": time.time()}


BALANCES = Balances()
