"""The pace of one account and model, on a clock of the test's own."""

import math
import threading
from collections import deque
from itertools import pairwise
from types import SimpleNamespace

import pytest
from comfyui_siliconflow.engine import rate_limit
from comfyui_siliconflow.engine.endpoint import REQUESTS_A_MINUTE
from comfyui_siliconflow.engine.rate_limit import (
    BLIND,
    FORGET,
    GUESS,
    HOLDS,
    PROBE,
    STAGGER,
    SURE,
    RateLimiter,
    RateSchedule,
    TooHeavy,
)
from comfyui_siliconflow.tests.waiting import LONGEST, until
from hypothesis import given
from hypothesis import strategies as st

WINDOW = 60.0


class Service:
    """A service with a limit per sliding minute, counting each request when it arrives."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.passed: deque[tuple[float, int]] = deque()
        self.refused: list[float] = []

    def accepts(self, now: float, weight: int) -> bool:
        while self.passed and self.passed[0][0] + WINDOW <= now:
            self.passed.popleft()
        good = sum(item for _, item in self.passed) + weight <= self.limit
        if good:
            self.passed.append((now, weight))
        else:
            self.refused.append(now)
        return good


def run(service: Service, pace: RateSchedule, images: int, now: float = 0.0) -> list[float]:
    """Request images as fast as the pace allows; return when each was let through."""
    times: list[float] = []
    while len(times) < images:
        now += pace.delay(now)
        note = pace.sent(now)
        if service.accepts(now, 1):
            pace.passed(note)
            times.append(now)
        else:
            pace.refused(note, now)
    return times


def test_ten_images_at_two_a_minute_take_five_windows_and_one_refusal() -> None:
    service = Service(2)
    times = run(service, RateSchedule(), 10)
    assert [round(at / 61) for at in times] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert len(service.refused) == 1


@given(limit=st.integers(1, 30), images=st.integers(1, 100))
def test_any_number_arrives_in_the_least_number_of_windows_after_few_refusals(
    limit: int, images: int
) -> None:
    service = Service(limit)
    times = run(service, RateSchedule(), images)
    assert times == sorted(times)
    least = (images - 1) // limit
    assert times[-1] <= least * 61 + 0.1 * (limit + 2)
    assert len(service.refused) <= 2 + math.log2(1 + least)


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.floats(0, 90)), max_size=60))
def test_a_delay_is_never_negative_and_what_it_promises_comes_true(
    events: list[tuple[int, bool, float]],
) -> None:
    pace, now = RateSchedule(), 0.0
    for weight, passes, pause in events:
        delay = pace.delay(now, weight)
        assert 0 <= delay <= WINDOW * 2
        assert pace.delay(now + delay + 1e-6, weight) == 0
        note = pace.sent(now + delay, weight)
        now += delay
        if passes:
            pace.passed(note)
        else:
            pace.refused(note, now)
        now += pause


def test_what_is_known_to_be_allowed_goes_at_once_and_the_next_one_tries() -> None:
    pace = RateSchedule()
    for _ in range(SURE):
        assert pace.delay(0.0) == 0
        pace.passed(pace.sent(0.0))
    assert 0 < pace.delay(0.0) <= 0.1


def test_without_a_limit_each_image_leaves_as_soon_as_the_one_before_may_tell_of_one() -> None:
    service = Service(1000)
    times = run(service, RateSchedule(), 16)
    assert times == pytest.approx([0.0] * SURE + [STAGGER * n for n in range(1, 15)])
    assert service.refused == []


def test_retry_after_is_honoured() -> None:
    pace = RateSchedule()
    pace.refused(pace.sent(0.0), 0.0, retry_after=7.0)
    assert pace.delay(0.0) == 7.0
    assert pace.delay(7.0) == 0


def test_a_service_that_asks_to_come_back_at_once_is_not_hammered() -> None:
    pace, now, tries = RateSchedule(), 0.0, 0
    while now < 600:
        now += pace.delay(now)
        pace.refused(pace.sent(now), now, retry_after=0.0)
        tries += 1
    assert tries <= 6 + 600 / WINDOW
    pace.passed(pace.sent(now := now + WINDOW))
    pace.refused(pace.sent(now := now + 2 * WINDOW), now, retry_after=0.0)
    assert pace.delay(now) < WINDOW


def test_refusals_of_requests_that_left_together_count_as_one() -> None:
    pace = RateSchedule(sure=REQUESTS_A_MINUTE)
    together = [pace.sent(0.0) for _ in range(16)]
    for sent in together[::-1]:
        pace.refused(sent, 0.1, retry_after=0.0)
    assert pace.delay(0.1) <= 61


def test_a_service_that_asks_to_come_back_in_a_year_is_asked_again_in_minutes() -> None:
    pace = RateSchedule()
    pace.refused(pace.sent(0.0), 0.0, retry_after=1e9)
    assert pace.delay(0.0) <= HOLDS * WINDOW


@pytest.mark.parametrize(
    ("sure", "limit", "passed", "windows"),
    [
        (REQUESTS_A_MINUTE, 1000, 60, 2),
        (REQUESTS_A_MINUTE, 1000, 1, 2),
        (SURE, 50, 3, HOLDS + 1),
        (SURE, 9, 2, HOLDS + 1),
    ],
)
def test_a_limit_that_another_program_caused_is_gone_after_a_few_windows(
    sure: int, limit: int, passed: int, windows: int
) -> None:
    pace, service = RateSchedule(sure=sure), Service(limit)
    run(service, pace, passed)
    pace.refused(pace.sent(1.0), 1.0)
    later = 1.0 + windows * 61
    at_once = min(limit, 400)
    assert run(service, pace, at_once, now=later)[-1] <= later + STAGGER * at_once
    assert service.refused == []


@pytest.mark.parametrize("limit", [1, 2, 9, 50])
def test_a_limit_that_is_there_is_tried_ever_more_seldom(limit: int) -> None:
    service = Service(limit)
    run(service, RateSchedule(), limit * 240)
    assert len(service.refused) <= 12
    pauses = [later - earlier for earlier, later in pairwise(service.refused)]
    assert pauses[-1] >= FORGET


def test_a_limit_that_rises_is_found_within_a_few_windows() -> None:
    service, pace = Service(3), RateSchedule()
    run(service, pace, 6)
    service.limit = 30
    later = 61 * (2 + HOLDS)
    assert run(service, pace, 30, now=later)[-1] < later + 10


def test_while_the_service_is_out_of_order_one_request_at_a_time_asks_whether_it_still_is() -> None:
    pace = RateSchedule(sure=REQUESTS_A_MINUTE)
    together = [pace.sent(0.0) for _ in range(16)]
    assert [pace.failed(sent, 0.1) for sent in together] == [1] * 16
    pace.pause(0.1, 1.5)
    assert pace.delay(0.1) == pytest.approx(max(1.5, PROBE - 0.1))
    second = pace.sent(2.0)
    assert pace.delay(2.0) == pytest.approx(PROBE)
    assert pace.failed(second, 2.1) == 2
    assert pace.is_out_of_order(2.1, 2)
    pace.passed(pace.sent(4.0))
    assert not pace.is_out_of_order(4.0, 1)
    assert pace.delay(4.0) == 0


def test_an_outage_of_long_ago_is_forgotten() -> None:
    pace = RateSchedule()
    pace.failed(pace.sent(0.0), 0.0)
    assert pace.failed(pace.sent(2 * WINDOW), 2 * WINDOW) == 1


def test_an_outage_of_long_ago_slows_nothing_down() -> None:
    pace = RateSchedule(sure=REQUESTS_A_MINUTE)
    pace.failed(pace.sent(0.0), 0.2)
    later = 2 * WINDOW
    for _ in range(8):
        assert pace.delay(later) == 0
        pace.sent(later)


def test_a_refusal_while_nothing_of_ours_went_through_waits_a_while() -> None:
    pace = RateSchedule()
    pace.refused(pace.sent(0.0), 0.0)
    assert pace.delay(0.0) == 15.0


def test_a_request_for_more_than_the_limit_is_reported_as_too_heavy() -> None:
    pace = RateSchedule()
    assert pace.refused(pace.sent(0.0, 4), 0.0)
    assert pace.delay(0.0, 2) == 0
    assert [pace.is_too_heavy(weight) for weight in (2, 3, 4, 5)] == [False, False, True, True]
    pace.delay(GUESS + 1, 1)
    assert not pace.is_too_heavy(4)


def test_one_refusal_that_others_caused_does_not_hold_a_fast_account_for_an_hour() -> None:
    pace, service = RateSchedule(), Service(50)
    pace.refused(pace.sent(0, 4), 0.1)
    later = GUESS + 1
    assert run(service, pace, 20, now=later)[-1] < later + 3


def test_the_same_refusal_after_a_recovery_holds_no_longer_than_the_first() -> None:
    """What passes beyond a limit shows that the account never had it."""
    pace, now = RateSchedule(sure=REQUESTS_A_MINUTE), 0.0
    for _ in range(9):
        run(Service(10**6), pace, 300, now)
        now += 86400.0
        pace.passed(pace.sent(now))
        pace.refused(pace.sent(now + 1), now + 1.2)
        now += 3 * (WINDOW + 1)
        assert run(Service(10**6), pace, 300, now)[-1] < now + STAGGER * 300
        now += FORGET


def test_what_left_later_is_not_known_to_have_passed() -> None:
    pace = RateSchedule()
    first = pace.sent(0, 1)
    for at in (0.1, 0.2, 0.3):
        pace.sent(at, 1)
    pace.passed(first)
    assert pace.delay(0.3, 1) == pytest.approx(0.1)


def test_a_batch_that_never_passes_holds_up_nobody_behind_it() -> None:
    gate = RateLimiter(RateSchedule(window=60))
    gate.refused(gate.enter(4, _ignore), None)
    gate.enter(2, _ignore)
    with pytest.raises(TooHeavy):
        gate.enter(4, _give_up)


def test_a_trial_waits_for_the_refusal_of_the_one_before_the_longer_the_more_it_requested() -> None:
    for weight in (3, 4):
        pace = RateSchedule()
        pace.sent(0, weight)
        assert pace.delay(0, 1) == pytest.approx(0.1 * weight)


def test_after_a_batch_was_too_heavy_only_what_is_sure_is_sent() -> None:
    pace = RateSchedule()
    pace.refused(pace.sent(0, 4), 0.1)
    pace.sent(0.2, 2)
    assert pace.delay(0.3, 2) == pytest.approx(60.9)


def test_a_batch_that_waits_while_it_becomes_known_to_be_too_heavy_is_not_sent() -> None:
    gate = RateLimiter(RateSchedule())
    first = gate.enter(4, _ignore)

    def refused_meanwhile(_seconds: float) -> None:
        if not gate.is_too_heavy(4):
            gate.refused(first, None)

    with pytest.raises(TooHeavy):
        gate.enter(4, refused_meanwhile)


def test_a_batch_beside_others_is_not_too_heavy_by_itself() -> None:
    pace = RateSchedule()
    pace.passed(pace.sent(0.0, 2))
    assert not pace.refused(pace.sent(1.0, 2), 1.0)
    assert pace.delay(1.0, 2) == pytest.approx(60)


def test_a_request_that_never_left_does_not_count() -> None:
    pace = RateSchedule()
    pace.undone(pace.sent(0.0))
    pace.refused(pace.sent(0.0), 0.0, retry_after=1)
    assert pace.delay(2.0) == 0


def test_a_learned_limit_is_tried_again_after_a_while_for_levels_rise() -> None:
    pace, service = RateSchedule(), Service(2)
    run(service, pace, 3)
    service.limit = 20
    later = 61 + FORGET + 100
    assert run(service, pace, 10, now=later)[-1] < later + 2


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the time of all rate limiters, which a test changes."""
    time = [0.0]
    monkeypatch.setattr(rate_limit, "time", SimpleNamespace(monotonic=lambda: time[0]))
    return time


def limited_to_one() -> RateLimiter:
    """Return a gate that has learned to let one request pass in a window."""
    gate = RateLimiter(RateSchedule(window=WINDOW))
    gate.passed(gate.enter(1, _ignore))
    gate.refused(gate.enter(1, _ignore), None)
    return gate


def test_a_gate_lets_requests_pass_in_the_order_of_their_arrival(now: list[float]) -> None:
    gate = limited_to_one()
    order: list[int] = []

    def enter(number: int, waits: threading.Event) -> None:
        gate.enter(1, lambda _: waits.set())
        order.append(number)

    for number in range(5):
        waits = threading.Event()
        threading.Thread(target=enter, args=(number, waits), daemon=True).start()
        assert waits.wait(LONGEST)
    for passed in range(5):
        assert order == list(range(passed))
        now[0] += WINDOW + 1
        until(lambda: len(order) > passed)  # noqa: B023 - ends before the next
    assert order == [0, 1, 2, 3, 4]


def test_what_is_in_the_background_passes_behind_what_somebody_waits_for(now: list[float]) -> None:
    gate = limited_to_one()
    order: list[str] = []

    def enter(name: str, waits: threading.Event) -> None:
        is_last = name.startswith("background")
        gate.enter(1, lambda _: waits.set(), is_last=lambda: is_last and name not in looked_at)
        order.append(name)

    looked_at: set[str] = set()
    for name in ("background 1", "background 2", "background 3", "foreground"):
        waits = threading.Event()
        threading.Thread(target=enter, args=(name, waits), daemon=True).start()
        assert waits.wait(LONGEST)
    looked_at.add("background 3")  # before its turn comes, as a window is longer than a look
    until(lambda: [each[0] for each in gate._queue].count(True) == 2)  # noqa: SLF001
    for passed in range(4):
        now[0] += WINDOW + 1
        until(lambda: len(order) > passed)  # noqa: B023 - ends before the next
    assert order == ["foreground", "background 3", "background 1", "background 2"]


def test_whoever_gives_up_waiting_leaves_the_queue(now: list[float]) -> None:
    gate = limited_to_one()
    with pytest.raises(KeyboardInterrupt):
        gate.enter(1, _give_up)
    waits: list[float] = []

    def note_and_give_up(left: float) -> None:
        waits.append(left)
        raise KeyboardInterrupt

    now[0] = 5.0
    with pytest.raises(KeyboardInterrupt):
        gate.enter(1, note_and_give_up)
    assert waits == [WINDOW + 1 - 5]


def _ignore(_left: float) -> None:
    return


def _give_up(_left: float) -> None:
    raise KeyboardInterrupt


def test_a_limit_of_tokens_is_waited_for_and_says_nothing_of_the_number_of_requests() -> None:
    pace = RateSchedule(sure=REQUESTS_A_MINUTE)
    for _ in range(3):
        pace.passed(pace.sent(0.0))
    assert not pace.refused(pace.sent(0.0), 0.0, counted=False)
    assert 0 < pace.delay(0.0) <= BLIND
    later = BLIND + 1
    for _ in range(10):
        assert pace.delay(later) == 0
        pace.sent(later)


def test_what_the_lowest_level_allows_of_texts_goes_out_at_once() -> None:
    pace = RateSchedule(sure=REQUESTS_A_MINUTE)
    for _ in range(500):
        assert pace.delay(0.0) == 0
        pace.sent(0.0)
