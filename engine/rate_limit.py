"""Rate limits, learned from what was let through and what was refused.

The service tells neither the account's level nor when a refused request may come again (facts:
"Rate limits"): a limit per minute counts what arrived in the last sixty seconds, per account and
model. So the pack remembers what was let through and when. What is known to be allowed goes at
once; beyond that, one request at a time tries whether more is; and after a refusal everything
waits until enough of what was let through is a window old.

What a refusal taught holds for some windows, and is tried again then: another program on the same
key may have caused it. Each time that finds the same limit, the limit holds for twice as long.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW = 60.0
MARGIN = 1.0
"""Seconds added to the window: the service counts from the arrival, not from our sending."""
SURE = 2
"""What every level allows a minute of whatever endpoint: never tried one at a time."""
STAGGER = 0.1
"""Seconds between two requests that try whether more than known is allowed, for each image of
the first of them: a refusal is quick, and tells the next one whether to wait."""
HOLDS = 5
"""Windows for which a limit that was just learned holds; only one if every level allows more."""
FORGET = 3600.0
"""Seconds after which any learned limit is tried again: levels rise."""
GUESS = 300.0
"""Seconds for which a batch counts as too heavy: others may have used up the account's limit."""
SOONEST = 1.0
"""Seconds that pass at least between a refusal and the next try, whatever the service says; twice
as many after each further refusal."""
PROBE = 2.0
"""Seconds between two requests while the service is out of order: it says so quickly."""
BLIND = 15.0
"""Seconds to wait when something else uses up the account's limit and nothing is known."""


class TooHeavy(Exception):
    """The rate limit never lets a request for so many images pass."""


@dataclass(eq=False)
class Sent:
    """One request that was let through, or is under way: when it left and what it weighs."""

    at: float
    weight: int


class RateSchedule:
    """The schedule of one account and model. Pure: every method is told the time.

    `weight` is the number of images that a request asks for. Times are seconds of any
    monotonic clock.
    """

    def __init__(self, window: float | None = None, sure: int = SURE) -> None:
        """`sure` requests in a window are allowed from the start; more is learned."""
        self.window = WINDOW if window is None else window
        self._margin = MARGIN * self.window / 60.0
        self._sent: deque[Sent] = deque()
        self._sure = self._allowed = sure
        self._limit: int | None = None
        self._last_limit: int | None = None
        self._holds = 0.0
        self._learned_until = 0.0
        self._blocked = 0.0
        self._heavy: int | None = None
        self._refusals = 0
        self._failures = 0
        self._left_at = self._refused_at = self._failed_at = -math.inf

    def delay(self, now: float, weight: int = 1) -> float:
        """Return the seconds until a request of this weight may be sent; 0: now."""
        self._forget(now)
        blocked = max(self._blocked, self._left_at + self._probe if self._failures else 0.0)
        if now < blocked:
            return blocked - now
        within = sum(each.weight for each in self._sent)
        if self._limit is None:
            return self._trial_delay(now, within + weight)
        excess = within + weight - self._limit
        return 0.0 if excess <= 0 or not self._sent else self._until_freed(now, excess)

    def sent(self, now: float, weight: int = 1) -> Sent:
        """Record that a request leaves; it is handed to `passed`, `refused` or `undone` later."""
        request = Sent(now, weight)
        self._sent.append(request)
        self._left_at = now
        return request

    def passed(self, sent: Sent) -> None:
        """Learn from a request that was let through."""
        self._refusals = self._failures = 0
        if sent in self._sent:
            within = self._within(sent.at)
            self._allowed = max(self._allowed, within)
            if self._last_limit is not None and within > self._last_limit:
                self._last_limit = None  # it was another program's doing, or is gone

    def undone(self, sent: Sent) -> None:
        """Forget a request that never reached the service."""
        if sent in self._sent:
            self._sent.remove(sent)

    def failed(self, sent: Sent, now: float) -> int:
        """Learn that the service is out of order; return how often in a row that was found.

        Requests that left together find it once. So all that are under way share their retries.
        """
        self._forget(now)
        if sent.at > self._failed_at:
            self._failures += 1
            self._failed_at = now
        return self._failures

    def pause(self, now: float, seconds: float) -> None:
        """Let nothing leave for some seconds."""
        self._blocked = max(self._blocked, now + seconds)

    def is_out_of_order(self, now: float, failures: int) -> bool:
        """Return whether the service failed so often in a row, and lately."""
        return self._failures >= failures and now - self._failed_at <= self.window

    def is_too_heavy(self, weight: int) -> bool:
        """Return whether a request of this weight never passes, however long it waits."""
        return self._heavy is not None and weight >= self._heavy

    def refused(
        self, sent: Sent, now: float, retry_after: float | None = None, *, counted: bool = True
    ) -> bool:
        """Learn from a request that was refused; return whether it is too heavy by itself.

        A request that asks for several images and is refused although nothing was let through
        in the window cannot pass however long it waits. A limit that is not `counted` in requests,
        but in tokens, says nothing of how many pass: it is waited for, and no more.
        """
        self._forget(now)
        self.undone(sent)
        if sent.at > self._refused_at:  # of several that left together one tells it all
            self._refusals += 1
            self._refused_at = now
        within = self._within(now) if counted else 0
        heavy = counted and not self._sent and sent.weight > 1 and retry_after is None
        if within:
            self._learn(now, within)
        elif heavy:
            self._heavy, self._limit = sent.weight, max(SURE, sent.weight // 2)
            self._learned_until = now + GUESS * self.window / 60.0
        else:
            blind = BLIND * self.window / 60.0 if retry_after is None else retry_after
            soonest = SOONEST * 2.0 ** min(self._refusals - 1, 6)
            retry_after = max(blind, min(soonest, self.window))
        self.pause(now, min(retry_after or 0.0, HOLDS * self.window))
        return heavy

    def _learn(self, now: float, limit: int) -> None:
        """Hold to a limit: for twice as long if it is the one that was found the last time."""
        first = (HOLDS if limit >= self._sure else 1) * (self.window + self._margin)
        self._holds = min(2 * self._holds, FORGET) if limit == self._last_limit else first
        self._limit = self._last_limit = limit
        self._allowed = min(limit, self._allowed)
        self._learned_until = now + self._holds

    def _within(self, at: float) -> int:
        """Return the weight of what left in the window before a time, without its margin."""
        return sum(each.weight for each in self._sent if at - self.window < each.at <= at)

    @property
    def _probe(self) -> float:
        return PROBE * self.window / 60.0

    def _trial_delay(self, now: float, total: int) -> float:
        if total <= self._allowed or not self._sent:
            return 0.0
        last = self._sent[-1]
        return max(0.0, last.at + STAGGER * last.weight - now)

    def _until_freed(self, now: float, excess: int) -> float:
        freed = 0
        for sent in self._sent:
            freed += sent.weight
            if freed >= excess:
                break
        return max(0.0, sent.at + self.window + self._margin - now)

    def _forget(self, now: float) -> None:
        while self._sent and self._sent[0].at + self.window + self._margin <= now:
            self._sent.popleft()
        if now > self._learned_until:
            self._allowed = self._allowed if self._limit is None else self._limit
            self._limit = self._heavy = None
        if now - self._failed_at > self.window:
            self._failures = 0


class RateLimiter:
    """Lets requests of one account and model pass in their order, as its schedule allows."""

    def __init__(self, schedule: RateSchedule | None = None) -> None:
        """Start with a schedule that has learned nothing, unless another is given."""
        self._schedule = schedule or RateSchedule()
        self._changed = threading.Condition()
        self._queue: list[tuple[bool, object]] = []

    def enter(
        self,
        weight: int,
        waiting: Callable[[float], None],
        *,
        is_last: Callable[[], bool] = lambda: False,
    ) -> Sent:
        """Wait for the turn, and record that the request leaves; one that `is_last` behind others.

        It need not stay so. `waiting` gets the seconds that are left, several times a second; it
        may raise to give up. Raises `TooHeavy` if it became known meanwhile that the request can
        never pass.
        """
        with self._changed:
            ticket = self._line_up(is_last=is_last())
            try:
                while (left := self._left(ticket, weight)) > 0:
                    waiting(left)
                    self._changed.wait(min(left, 0.2))
                    if ticket[0] and not is_last():
                        self._queue.remove(ticket)
                        ticket = self._line_up(is_last=False)
                return self._schedule.sent(time.monotonic(), weight)
            finally:
                self._queue.remove(ticket)
                self._changed.notify_all()

    def _line_up(self, *, is_last: bool) -> tuple[bool, object]:
        ticket = (is_last, object())
        ahead = [each for each in self._queue if is_last or not each[0]]
        self._queue.insert(len(ahead), ticket)
        return ticket

    def passed(self, sent: Sent) -> None:
        """Learn from a request that the service accepted."""
        with self._changed:
            self._schedule.passed(sent)
            self._changed.notify_all()

    def is_too_heavy(self, weight: int) -> bool:
        """Return whether a request of this weight never passes."""
        with self._changed:
            return self._schedule.is_too_heavy(weight)

    def undone(self, sent: Sent) -> None:
        """Forget a request that never reached the service."""
        with self._changed:
            self._schedule.undone(sent)
            self._changed.notify_all()

    def refused(self, sent: Sent, retry_after: float | None, *, counted: bool = True) -> bool:
        """Learn from a refusal, and return whether the request is too heavy by itself."""
        with self._changed:
            heavy = self._schedule.refused(sent, time.monotonic(), retry_after, counted=counted)
            self._changed.notify_all()
            return heavy

    def failed(self, sent: Sent) -> int:
        """Learn that the service is out of order; return how often in a row that was found."""
        with self._changed:
            return self._schedule.failed(sent, time.monotonic())

    def pause(self, seconds: float) -> None:
        """Let nothing leave for some seconds."""
        with self._changed:
            self._schedule.pause(time.monotonic(), seconds)

    def is_out_of_order(self, failures: int) -> bool:
        """Return whether the service failed so often in a row, and lately."""
        with self._changed:
            return self._schedule.is_out_of_order(time.monotonic(), failures)

    def _left(self, ticket: tuple[bool, object], weight: int) -> float:
        """Return the seconds until this request may be sent: not before those ahead of it."""
        if self._schedule.is_too_heavy(weight):
            raise TooHeavy
        delay = self._schedule.delay(time.monotonic(), weight)
        return delay if self._queue[0] is ticket else max(delay, 0.05)
