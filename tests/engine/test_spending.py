"""What runs cost is recorded, and judged before the first request: budgets, confirmation."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from comfyui_siliconflow.comfyui import background, host
from comfyui_siliconflow.comfyui.host import Caller
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import exchange, rate_limit, retry, run, services, spending
from comfyui_siliconflow.engine.job import Job
from comfyui_siliconflow.engine.spending import amount_text
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import catalogue, errors
from comfyui_siliconflow.siliconflow.resources import chat
from comfyui_siliconflow.storage import spend_book
from comfyui_siliconflow.storage.database import LedgerError
from comfyui_siliconflow.storage.ledger import Ledger
from comfyui_siliconflow.storage.spend_book import Spend
from comfyui_siliconflow.storage.waiting_runs import WaitingRuns
from comfyui_siliconflow.strings.text import SiliconFlowError, Text
from comfyui_siliconflow.tests.waiting import LONGEST, pack_threads, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DRAW, EDIT, CHAT = "SiliconFlowTextToImage", "SiliconFlowImageEdit", "SiliconFlowChat"
IMAGE = {
    "model": "Qwen/Qwen-Image",
    "prompt": "a cat",
    "image_size": "custom",
    "width": 64,
    "height": 64,
    "seed": 1,
}
TALK = {"model": "Pro/zai-org/GLM-5.1", "prompt": "a cat", "seed": 1, "max_tokens": 100}
OTHERS: dict[str, dict[str, Any]] = {
    CHAT: TALK,
    "SiliconFlowTextToSpeech": {"model": "FunAudioLLM/CosyVoice2-0.5B", "input": "a 猫"},
    "SiliconFlowEmbeddings": {"model": "Qwen/Qwen3-Embedding-8B", "input": "a cat\na 狗"},
    "SiliconFlowRerank": {
        "model": "Pro/BAAI/bge-reranker-v2-m3",
        "query": "a cat",
        "documents": "a 狗\na cat",
    },
}
Outputs = Callable[..., dict[str, Any]]


def charged(simulator: Simulator) -> Decimal:
    return sum((charge.amount for charge in simulator.charges), Decimal(0))


def rows(data: Path) -> list[tuple[str, str, int, int | None]]:
    """Return what is recorded: state, model, items, billionths; nothing before the first run."""
    file = data / "siliconflow-ledger" / "ledger.sqlite3"
    if not file.exists():
        return []
    with closing(sqlite3.connect(file)) as database:
        found = database.execute("SELECT state, model, items, cost FROM spend ORDER BY at")
        return found.fetchall()


def recorded(data: Path, *states: str) -> Decimal:
    costs = [cost for state, _, _, cost in rows(data) if state in states]
    return sum((Decimal(cost or 0) for cost in costs), Decimal(0)) / 10**9


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


# What it cost


@pytest.mark.parametrize("node_id", [DRAW, *OTHERS])
def test_what_is_recorded_and_shown_is_what_was_charged_to_the_last_digit(
    today: Simulator, outputs_of: Outputs, data: Path, node_id: str
) -> None:
    inputs = OTHERS.get(node_id, IMAGE)
    info = outputs_of(node_id, **inputs)["info"]
    assert charged(today) > 0
    assert Decimal(info["cost"]["amount"]) == charged(today) == recorded(data, "paid")
    assert info["cost"]["currency"] == "CNY"
    assert info["cost"]["prices_as_of"].startswith("2026-")


def test_a_saved_result_costs_nothing_and_is_recorded_as_free(
    today: Simulator, outputs_of: Outputs, data: Path
) -> None:
    outputs_of(DRAW, **IMAGE)
    info = outputs_of(DRAW, **IMAGE)["info"]
    assert info["cost"]["amount"] == "0"
    assert [state for state, *_ in rows(data)] == ["paid", "free"]
    assert recorded(data, "free") == recorded(data, "paid") == charged(today)


def test_what_is_spent_outlives_cleared_results_and_a_restart(
    today: Simulator, outputs_of: Outputs, data: Path
) -> None:
    outputs_of(DRAW, **IMAGE)
    ledger = services.ledger_for(services.current_settings())
    ledger.clear()
    ledger.close()
    assert ledger.totals().requests == 0
    assert recorded(data, "paid") == charged(today)


def test_a_request_of_unknown_fate_counts_as_paid_and_a_refused_one_does_not(
    today: Simulator, outputs_of: Outputs, data: Path
) -> None:
    for status, states in ((400, []), (500, ["sent"])):
        today.fail(status)
        with pytest.raises(errors.RequestError):
            outputs_of(DRAW, **IMAGE)
        assert [state for state, *_ in rows(data)] == states
    assert recorded(data, "sent") == Decimal("0.3")
    assert charged(today) == 0


@pytest.mark.parametrize("price", [None, 0.5])
def test_what_the_response_has_is_charged_and_not_what_was_asked_for(
    today: Simulator,
    outputs_of: Outputs,
    data: Path,
    write_settings: Callable[..., None],
    price: float | None,
) -> None:
    write_settings(prices={IMAGE["model"]: price} if price else {})
    today.removed_fields = "ignore"
    info = outputs_of(DRAW, **IMAGE, extra_body='{"batch_size": 4}')["info"]
    cost = charged(today) if price is None else Decimal("0.5")
    assert Decimal(info["cost"]["amount"]) == recorded(data, "paid") == cost
    assert [items for _, _, items, _ in rows(data)] == [1]


def test_an_answer_without_token_counts_costs_what_its_text_can_at_most_and_says_so(
    today: Simulator, outputs_of: Outputs, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = chat.complete
    monkeypatch.setattr(chat, "complete", lambda *given: replace(complete(*given), usage={}))
    info = outputs_of(CHAT, **{**TALK, "max_tokens": 10_000})["info"]
    assert charged(today) <= recorded(data, "paid") < charged(today) + Decimal("0.02")
    assert Decimal(info["cost"]["amount"]) == recorded(data, "paid")
    assert info["cost"]["is_estimate"] is True
    assert "did not say how many tokens" in str(info["notes"])


def test_nobody_keeps_what_a_run_brought_when_it_is_over(
    today: Simulator, outputs_of: Outputs
) -> None:
    assert charged(today) == 0
    outputs_of(CHAT, **TALK)
    assert charged(today) > 0
    assert run._GUARD._jobs == {}  # noqa: SLF001 - what would keep it for as long as ComfyUI runs


def test_a_model_without_a_price_is_recorded_as_unknown(
    today: Simulator, outputs_of: Outputs, data: Path
) -> None:
    today.add_model("vendor/new", {"type": "object"}, ("text-to-image",), {"size": 64})
    info = outputs_of(DRAW, **{**IMAGE, "custom_model": "vendor/new"})["info"]
    assert info["cost"]["amount"] is None
    assert rows(data) == [("paid", "vendor/new", 1, None)]


def test_a_price_of_the_users_own_wins(
    today: Simulator, outputs_of: Outputs, write_settings: Any
) -> None:
    del today
    write_settings(prices={IMAGE["model"]: 0.25, TALK["model"]: {"input": 0, "output": 1000}})
    cost = outputs_of(DRAW, **IMAGE)["info"]["cost"]
    assert cost == {"amount": "0.25", "currency": "CNY", "prices_as_of": ""}
    info = outputs_of(CHAT, **TALK)["info"]
    tokens = Decimal(info["usage"]["completion_tokens"])
    assert Decimal(info["cost"]["amount"]) == tokens / 1000


def test_the_price_of_the_other_site_is_none(today: Simulator) -> None:
    del today
    settings_of_com = mock.Mock(site="com", currency="USD", prices={})
    model = catalogue.load().find(str(IMAGE["model"]), "cn")
    assert model.price
    assert spending.Pricing(model, mock.Mock(), settings_of_com).describe()["prices_as_of"] == ""


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("0.3", "¥0.30"), ("5", "¥5.00"), ("1E+2", "¥100.00"), ("0.00025", "¥0.00025")],
)
def test_an_amount_is_shown_as_people_write_it(amount: str, shown: str) -> None:
    assert amount_text(Decimal(amount), "CNY") == shown


# Whatever happens, in whatever order


class Died(BaseException):
    """The process is over: nothing of it goes on."""


RUNS = [(DRAW, seed) for seed in (1, 2, 3)] + [(CHAT, seed) for seed in (1, 2)]
FAULTS = ("", "400", "429", "500", "503", "500 made", "0", "0 made", "cut")
CRASHES = ("", "mark_sent", "after mark_sent", "mark_answered", "after mark_answered")
steps = st.tuples(
    st.sampled_from(RUNS),
    st.sampled_from(FAULTS),
    st.sampled_from(CRASHES),
    st.integers(0, 1),
    st.sampled_from(["", "", "twice", "clear"]),
)


def fail_next(simulator: Simulator, fault: str, node_id: str) -> None:
    on: Any = "chat" if node_id == CHAT else "generations"
    if fault == "cut":
        simulator.fail(broken="cut", on=on)
    elif fault:
        simulator.fail(int(fault.split(maxsplit=1)[0]), on=on, made=fault.endswith("made"))


def dying(method: Callable[..., Any], crash: str) -> Callable[..., Any]:
    def die(*given: Any, **named: Any) -> Any:
        if crash.startswith("after"):
            method(*given, **named)
        raise Died

    return die


async def queue(node_id: str, inputs: dict[str, Any], times: int, *, dies: bool) -> None:
    """Queue a node so many times at once. Where threads died, nobody waits for what they did."""
    nodes = [
        asyncio.create_task(NODE_CLASS_MAPPINGS[node_id]().execute(**inputs)) for _ in range(times)
    ]
    idle = 0
    while not all(node.done() for node in nodes):
        await asyncio.wait(nodes, timeout=0.01)
        idle = 0 if pack_threads() else idle + 1
        if dies and idle > 2:  # not between two of their threads
            for node in nodes:
                node.cancel()
    for outcome in await asyncio.gather(*nodes, return_exceptions=True):
        assert not isinstance(outcome, Exception) or isinstance(outcome, SiliconFlowError)


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    with Simulator(site="cn", as_of="today") as simulator:
        yield simulator


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(steps, min_size=1, max_size=6))
def test_what_is_recorded_is_what_was_charged_or_more_by_requests_of_unknown_fate_alone(
    service: Simulator, use: Callable[[Simulator], None], taken: list[Any]
) -> None:
    use(service)
    before, off = charged(service), '{"confirm_images": 0, "confirm_cost": 0, "auto_run_images": 0}'
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(retry, "FIRST", 0.01),
        mock.patch.object(rate_limit, "WINDOW", 0.02),
        mock.patch.object(exchange, "_LIMITERS", {}),
    ):
        data = Path(folder)
        (data / "settings.json").write_text(off)
        with mock.patch.dict("os.environ", SILICONFLOW_DATA_DIR=folder):
            processes = [Ledger(data), Ledger(data)]
            for (node_id, seed), fault, crash, number, more in taken:
                ledger = processes[number]
                if more == "clear":
                    ledger.clear()
                fail_next(service, fault, node_id)
                inputs = {**(TALK if node_id == CHAT else IMAGE), "seed": seed}
                patch = (
                    {}
                    if not crash
                    else {
                        name: dying(getattr(ledger, name), crash)
                        for name in (crash.removeprefix("after "), "mark_failed")
                    }
                )
                with contextlib.ExitStack() as stack:
                    one = mock.patch.object(services, "_ledger", lambda _, one=ledger: one)
                    for each in (
                        one,
                        *(mock.patch.object(ledger, *item) for item in patch.items()),
                    ):
                        stack.enter_context(each)
                    times = 2 if more == "twice" else 1
                    asyncio.run(queue(node_id, inputs, times, dies=bool(crash)))
                    until(lambda: not pack_threads())
                if crash:
                    ledger.close()
                    processes[number] = Ledger(data)
                    exchange._LIMITERS.clear()  # noqa: SLF001 - a process has its own
                service.clear_failures()
            for ledger in processes:
                ledger.close()
            paid, unknown = recorded(data, "paid"), recorded(data, "sent")
            assert paid <= charged(service) - before <= paid + unknown
            if unknown:
                assert any(fault or crash for _, fault, crash, _, _ in taken)
            else:
                assert paid == charged(service) - before


# Budgets


@pytest.mark.skipif(
    not hasattr(time, "tzset"), reason="the zone of a process is set on POSIX alone"
)
def test_a_day_begins_at_midnight_where_the_clock_changes_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class OnThatDay(datetime):
        @classmethod
        def now(cls, _zone: tzinfo | None = None) -> OnThatDay:
            return cls(2027, 3, 28, 12)

    monkeypatch.setattr(spending, "datetime", OnThatDay)
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        assert (
            spending.times_began()[0] == datetime(2027, 3, 27, 23, tzinfo=timezone.utc).timestamp()
        )
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("name", ["daily_budget", "monthly_budget"])
def test_a_run_that_would_go_over_a_budget_is_not_sent_and_told_what_is_left(
    today: Simulator, outputs_of: Outputs, write_settings: Any, name: str
) -> None:
    write_settings(**{name: 1.0})
    outputs_of(DRAW, **IMAGE, batch_size=2)
    with pytest.raises(errors.GuardStopped, match=r"¥0\.40 is left.* could cost ¥0\.60"):
        outputs_of(DRAW, **{**IMAGE, "prompt": "a dog"}, batch_size=2)
    outputs_of(DRAW, **IMAGE, batch_size=3)  # two of three are paid already
    assert charged(today) == Decimal("0.9")


def test_a_free_model_goes_on_when_the_budget_is_spent(
    today: Simulator, outputs_of: Outputs, write_settings: Any
) -> None:
    outputs_of(DRAW, **IMAGE)
    write_settings(daily_budget=0.1)
    outputs_of(DRAW, **{**IMAGE, "model": "Kwai-Kolors/Kolors"})
    assert len(today.generations) == 2


def test_a_request_of_unknown_fate_and_an_unknown_price_count_against_a_budget(
    today: Simulator, outputs_of: Outputs, write_settings: Any
) -> None:
    today.add_model("vendor/new", {"type": "object"}, ("text-to-image",), {"size": 64})
    write_settings(daily_budget=1.0, unknown_price=0.6)
    outputs_of(DRAW, **{**IMAGE, "custom_model": "vendor/new"})
    today.fail(500)
    with pytest.raises(errors.ServerError):
        outputs_of(DRAW, **IMAGE)
    with pytest.raises(errors.GuardStopped, match=r"¥0\.90 is spent or committed today"):
        outputs_of(DRAW, **IMAGE)


def test_what_another_process_is_about_to_spend_counts_while_it_lives(
    today: Simulator, outputs_of: Outputs, write_settings: Any, data: Path
) -> None:
    del today
    write_settings(daily_budget=0.5)
    other = Ledger(data)
    with other.spending() as book:
        book.hold("job", Spend("m", "CNY", 1, 300_000_000, ""))
    with pytest.raises(errors.GuardStopped, match=r"¥0\.20 is left"):
        outputs_of(DRAW, **IMAGE)
    other.close()
    outputs_of(DRAW, **IMAGE)


def test_two_runs_at_once_share_a_budget_and_hold_nothing_when_they_are_over(
    today: Simulator, write_settings: Any, data: Path
) -> None:
    write_settings(daily_budget=1.0)

    async def graph() -> list[Any]:
        nodes = (
            NODE_CLASS_MAPPINGS[DRAW]().execute(**{**IMAGE, "prompt": each, "batch_size": 2})
            for each in ("one", "two")
        )
        return await asyncio.gather(*nodes, return_exceptions=True)

    outcomes = asyncio.run(graph())
    assert sum(isinstance(each, errors.GuardStopped) for each in outcomes) == 1
    assert charged(today) == Decimal("0.6")
    assert {state for state, *_ in rows(data)} == {"paid"}


def test_a_budget_that_cannot_be_checked_is_not_passed(
    today: Simulator, outputs_of: Outputs, write_settings: Any, data: Path
) -> None:
    write_settings(daily_budget=100)
    (data / "siliconflow-ledger" / "ledger.sqlite3").mkdir(parents=True)
    with pytest.raises(errors.GuardStopped, match="record of your spending"):
        outputs_of(DRAW, **IMAGE)
    assert today.generations == []


def test_a_request_that_a_budget_would_not_know_of_is_not_sent(
    today: Simulator, outputs_of: Outputs, write_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(daily_budget=100)

    def fail(*_: object) -> None:
        raise LedgerError(Text("the disk is gone"))

    monkeypatch.setattr(Ledger, "mark_sent", fail)
    with pytest.raises(errors.GuardStopped, match=r"disk is gone.*This request was not sent"):
        outputs_of(DRAW, **IMAGE)
    assert today.generations == []
    write_settings(daily_budget=0)
    outputs_of(DRAW, **IMAGE)
    assert len(today.generations) == 1


def test_what_could_not_be_recorded_when_it_left_is_when_it_is_answered(
    today: Simulator, outputs_of: Outputs, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LedgerError(Text("the ledger is busy"))

    monkeypatch.setattr(Ledger, "mark_sent", fail)
    outputs_of(DRAW, **IMAGE)
    assert recorded(data, "paid") == charged(today) == Decimal("0.3")


def test_an_unknown_price_counts_once_while_it_is_under_way(
    today: Simulator, outputs_of: Outputs, write_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    today.add_model("vendor/new", {"type": "object"}, ("text-to-image",), {"size": 64})
    write_settings(daily_budget=1.0, unknown_price=0.4)
    spent = []
    mark_answered = Ledger.mark_answered

    def noted(ledger: Ledger, *given: Any) -> None:
        with ledger.spending() as book:
            spent.append(spending.amount_spent(book.since(0), services.current_settings()))
        mark_answered(ledger, *given)

    monkeypatch.setattr(Ledger, "mark_answered", noted)
    outputs_of(DRAW, **{**IMAGE, "custom_model": "vendor/new"})
    assert spent == [Decimal("0.4")]


def test_who_waited_for_a_request_that_was_cancelled_pays_for_it_only_within_the_budget(
    today: Simulator,
    write_settings: Any,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    joined = threading.Event()
    monkeypatch.setattr(Job, "join", lambda *_: joined.set())
    write_settings(daily_budget=0.4)
    today.fail(429, headers={"retry-after": "30"})

    async def graph() -> object:
        draw = NODE_CLASS_MAPPINGS[DRAW]()
        first = asyncio.create_task(draw.execute(**IMAGE))
        await asyncio.to_thread(until, lambda: today.generations)
        second = asyncio.create_task(draw.execute(**IMAGE))
        await asyncio.to_thread(joined.wait, LONGEST)
        other = Ledger(data)
        with other.spending() as book:
            book.hold("job", Spend("m", "CNY", 1, 300_000_000, ""))
        first.cancel()
        ends = await asyncio.gather(first, second, return_exceptions=True)
        other.close()
        return ends[1]

    assert isinstance(asyncio.run(graph()), errors.GuardStopped)
    assert charged(today) == 0


def test_a_saved_result_that_turns_out_to_be_damaged_is_paid_again_only_within_the_budget(
    today: Simulator, outputs_of: Outputs, write_settings: Any, data: Path
) -> None:
    speech = "SiliconFlowTextToSpeech"
    outputs_of(speech, **OTHERS[speech])
    [file] = (data / "siliconflow-ledger").rglob("*of1*")
    file.write_bytes(b"damaged")
    write_settings(daily_budget=0.000001)
    with pytest.raises(errors.GuardStopped, match="daily budget"):
        outputs_of(speech, **OTHERS[speech])
    assert len(today.charges) == 1


# Confirmation


def test_a_video_wired_in_by_accident_costs_nothing_and_is_told_with_its_cost(
    today: Simulator, outputs_of: Outputs, make_image: Callable[..., torch.Tensor]
) -> None:
    edit = {"model": "Qwen/Qwen-Image-Edit", "prompt": "blue", "image": make_image(81, 16, 16)}
    with pytest.raises(errors.GuardStopped) as stopped:
        outputs_of(EDIT, **edit)
    assert today.requests == []
    assert "81 images and costs up to ¥24.30" in str(stopped.value)
    assert "Already paid, and free: 0. To be paid now: 81." in str(stopped.value)


def test_equal_frames_count_as_the_one_request_that_they_cost(
    today: Simulator,
    outputs_of: Outputs,
    write_settings: Any,
    make_image: Callable[..., torch.Tensor],
) -> None:
    write_settings(confirm_images=3, auto_run_images=2, daily_budget=0.65, most_pictures=2)
    edit, frames = {"model": "Qwen/Qwen-Image-Edit", "prompt": "blue"}, make_image(2, 16, 16)
    outputs_of(EDIT, **edit, image=frames[:1].repeat(4, 1, 1, 1), seed=1)
    outputs_of(EDIT, **edit, image=frames[[0, 0, 0, 1]], seed=1)
    assert len(today.generations) == 2
    write_settings(confirm_images=3, auto_run_images=0, most_pictures=2, reuse=False)
    with pytest.raises(errors.GuardStopped):
        outputs_of(EDIT, **edit, image=frames[:1].repeat(4, 1, 1, 1), seed=1)


def test_the_same_frames_go_ahead_when_they_are_queued_again_with_another_seed(
    today: Simulator,
    outputs_of: Outputs,
    write_settings: Any,
    make_image: Callable[..., torch.Tensor],
) -> None:
    write_settings(confirm_images=2)
    edit, frames = {"model": "Qwen/Qwen-Image-Edit", "prompt": "blue"}, make_image(3, 16, 16)
    for image in (frames, 1 - frames):
        with pytest.raises(errors.GuardStopped):
            outputs_of(EDIT, **edit, image=image, seed=1)
    outputs_of(EDIT, **edit, image=frames, seed=2)
    assert len(today.generations) == 3


def test_what_is_queued_before_anybody_can_have_read_the_question_confirms_nothing(
    today: Simulator, outputs_of: Outputs, write_settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of prompts is queued one after the other while the first is asked about already."""
    monkeypatch.setattr(spend_book, "READ_SECONDS", 60.0)
    write_settings(confirm_images=1, auto_run_images=0)
    for seed in range(3):
        with pytest.raises(errors.GuardStopped):
            outputs_of(DRAW, **{**IMAGE, "seed": 10 * seed}, batch_size=2)
    assert today.generations == []


def test_another_count_prompt_or_image_is_asked_about_anew(
    today: Simulator, outputs_of: Outputs, write_settings: Any
) -> None:
    write_settings(confirm_images=1, auto_run_images=0)
    for changes in ({}, {"batch_size": 3}, {"prompt": "a dog"}, {"width": 128}):
        with pytest.raises(errors.GuardStopped):
            outputs_of(DRAW, **{**IMAGE, "batch_size": 2, **changes})
    assert today.generations == []
    outputs_of(DRAW, **IMAGE, batch_size=2)
    with pytest.raises(errors.GuardStopped):  # a confirmation counts once
        outputs_of(DRAW, **{**IMAGE, "seed": 9}, batch_size=2)


def test_a_confirmation_is_too_late_after_ten_minutes(
    today: Simulator, outputs_of: Outputs, write_settings: Any, data: Path
) -> None:
    write_settings(confirm_images=1)
    with pytest.raises(errors.GuardStopped):
        outputs_of(DRAW, **IMAGE, batch_size=2)
    with closing(sqlite3.connect(data / "siliconflow-ledger" / "ledger.sqlite3")) as database:
        database.execute("UPDATE confirmations SET asked_at = asked_at - 601")
        database.commit()
    with pytest.raises(errors.GuardStopped):
        outputs_of(DRAW, **IMAGE, batch_size=2)
    assert today.generations == []


def test_what_is_in_the_ledger_counts_nothing(
    today: Simulator, outputs_of: Outputs, write_settings: Any
) -> None:
    outputs_of(DRAW, **IMAGE, batch_size=3)
    write_settings(confirm_images=2, auto_run_images=0)
    with pytest.raises(errors.GuardStopped, match=r"6 images .*\n.*free: 3\."):
        outputs_of(DRAW, **IMAGE, batch_size=6)
    outputs_of(DRAW, **IMAGE, batch_size=5)
    assert len(today.generations) == 5


def test_a_cost_is_asked_about_whatever_costs_it(
    today: Simulator, outputs_of: Outputs, write_settings: Any
) -> None:
    write_settings(confirm_cost=0.002)
    with pytest.raises(errors.GuardStopped, match="up to ¥"):
        outputs_of(CHAT, **TALK)
    assert today.requests == []
    outputs_of(CHAT, **TALK)


def test_what_is_free_is_never_asked_about(
    today: Simulator, outputs_of: Outputs, write_settings: Any
) -> None:
    write_settings(confirm_images=2, auto_run_images=3)
    for seed in (10, 20, 30):
        outputs_of(DRAW, **{**IMAGE, "model": "Kwai-Kolors/Kolors", "batch_size": 4, "seed": seed})
    assert sum(record.pictures for record in today.generations) == 12


def test_the_nodes_of_one_prompt_are_counted_together(
    today: Simulator,
    outputs_of: Outputs,
    write_settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_settings(confirm_images=3)

    def current(prompt_id: str) -> Callable[..., Caller]:
        return lambda node_type, _: Caller(node_type, "1", prompt_id=prompt_id)

    for prompt_id, prompts in (("first", ("one", "two")), ("second", ("three",))):
        monkeypatch.setattr("comfyui_siliconflow.nodes.base.current_caller", current(prompt_id))
        for prompt in prompts[:1]:
            outputs_of(DRAW, **{**IMAGE, "prompt": prompt, "batch_size": 2})
        for prompt in prompts[1:]:
            with pytest.raises(errors.GuardStopped):
                outputs_of(DRAW, **{**IMAGE, "prompt": prompt, "batch_size": 2})
    assert len(today.generations) == 4


def test_a_prompt_that_was_queued_before_the_question_confirms_nothing(
    today: Simulator, outputs_of: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = time.time() - 5
    monkeypatch.setattr(
        "comfyui_siliconflow.nodes.base.current_caller",
        lambda node_type, _: Caller(node_type, "1", queued_at=early),
    )
    for _ in range(2):
        with pytest.raises(errors.GuardStopped):
            outputs_of(DRAW, **IMAGE, batch_size=17)
    assert today.generations == []


def test_comfyui_says_when_a_prompt_was_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    running: dict[int, Any] = {7: (0, "p", {}, {"create_time": 5000}, [])}
    server = mock.Mock(prompt_queue=mock.Mock(currently_running=running))
    monkeypatch.setattr(host, "prompt_server", lambda: server)
    context = mock.Mock(node_id="3", prompt_id="p")
    monkeypatch.setattr(host, "_executing", lambda: context)
    caller = host.current_caller("Node", None)
    assert (caller.node_id, caller.prompt_id, caller.queued_at) == ("3", "p", 5.0)


def test_a_prompt_that_goes_on_was_queued_when_the_user_queued_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    queued: list[tuple[Any, ...]] = []
    queue = mock.Mock(currently_running={}, put=queued.append)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = mock.Mock(prompt_queue=queue, loop=loop, number=1)
    valid = mock.AsyncMock(return_value=(True, None, ["1"], {}))
    modules = {"execution": mock.Mock(validate_prompt=valid)}
    monkeypatch.setattr(host, "prompt_server", lambda: server)
    monkeypatch.setattr(host, "module", modules.get)
    ledger = Ledger(tmp_path)
    runs = WaitingRuns(ledger.database)
    prompt = {"graph": {"1": {"inputs": {}}}, "extra_data": {"create_time": 5000}, "outputs": ["1"]}
    try:
        for may_pay in (False, True):
            runs.add("p", "content", ["1"], prompt)
            new_id = background.go_on("p", runs, may_pay=may_pay)
            queue.currently_running[1] = queued[-1]
            context = mock.Mock(node_id="1", prompt_id=new_id)
            monkeypatch.setattr(host, "_executing", lambda context=context: context)
            assert (host.current_caller("Node", None).queued_at == 5.0) is not may_pay
            assert not queue.delete_queue_item.called
            background.forget("p", runs)
            [is_meant] = queue.delete_queue_item.call_args.args
            assert is_meant(queued[-1])
            assert not is_meant((0, "q", {}, {}, []))
            queue.delete_queue_item.reset_mock()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        ledger.close()


def test_where_comfyui_does_not_say_when_a_prompt_was_queued_it_is_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = time.time()
    queued = host.note_time({"prompt": {}, "extra_data": {"client_id": "page"}})["extra_data"]
    assert queued["client_id"] == "page"
    assert before - 1 <= queued["create_time"] / 1000 <= time.time()
    running: dict[int, Any] = {7: (0, "p", {}, {}, [])}  # of no server
    server = mock.Mock(prompt_queue=mock.Mock(currently_running=running))
    monkeypatch.setattr(host, "prompt_server", lambda: server)
    monkeypatch.setattr(host, "_executing", lambda: mock.Mock(node_id="3", prompt_id="p"))
    times = {host.current_caller("Node", None).queued_at for _ in range(3)}
    assert len(times) == 1


# Auto-run


def test_a_prompt_that_is_queued_with_ever_new_seeds_stops(
    today: Simulator, outputs_of: Outputs, write_settings: Any
) -> None:
    write_settings(auto_run_images=3)
    for seed in (1, 2, 3):
        outputs_of(DRAW, **{**IMAGE, "seed": seed})
    for seed in (4, 5, 6):  # at once: nobody has read what it would cost
        with pytest.raises(errors.GuardStopped, match="same workflow with other seeds"):
            outputs_of(DRAW, **{**IMAGE, "seed": seed})
    outputs_of(DRAW, **{**IMAGE, "seed": 2})  # in the ledger
    outputs_of(DRAW, **{**IMAGE, "prompt": "a dog"})
    assert len(today.generations) == 4


def test_a_confirmed_auto_run_goes_on_for_as_many_images_again(
    today: Simulator,
    outputs_of: Outputs,
    write_settings: Any,
) -> None:
    write_settings(auto_run_images=2)

    def draw(seed: int) -> None:
        outputs_of(DRAW, **{**IMAGE, "seed": seed})

    draw(1)
    draw(2)
    for seed in (3, 4, 5):  # an auto-run confirms nothing by going on
        with pytest.raises(errors.GuardStopped, match="with the same seed"):
            draw(seed)
    draw(5)
    draw(6)
    with pytest.raises(errors.GuardStopped):
        draw(7)
    assert len(today.generations) == 4


def test_the_frames_of_one_run_are_no_auto_run_and_those_of_the_next_are(
    today: Simulator,
    outputs_of: Outputs,
    write_settings: Any,
    make_image: Callable[..., torch.Tensor],
) -> None:
    write_settings(auto_run_images=3)
    edit = {"model": "Qwen/Qwen-Image-Edit", "prompt": "blue", "image": make_image(4, 16, 16)}
    outputs_of(EDIT, **edit, seed=1)
    with pytest.raises(errors.GuardStopped, match="4 images were generated"):
        outputs_of(EDIT, **edit, seed=2)
    assert len(today.generations) == 4


def test_a_rate_by_the_hour_is_that_of_the_hour_in_which_the_request_left(
    today: Simulator, outputs_of: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = []
    cost = spending.Pricing.cost

    def noted(self: spending.Pricing, *given: Any) -> Decimal | None:
        times.append(given[-1])
        return cost(self, *given)

    monkeypatch.setattr(spending.Pricing, "cost", noted)
    today.fail(429, headers={"retry-after": "1"})
    outputs_of(DRAW, **IMAGE)
    refused, made = today.generations
    assert refused.time + 1 <= times[-1] <= made.time


@pytest.mark.parametrize(
    ("model", "is_said"), [("Kwai-Kolors/Kolors", False), (IMAGE["model"], True)]
)
def test_a_download_that_fails_says_of_a_charge_only_what_is_so(
    today: Simulator, outputs_of: Outputs, model: str, is_said: bool
) -> None:
    today.fail(404, on="pictures", times=5)
    with pytest.raises(errors.DownloadFailed) as failed:
        outputs_of(DRAW, **{**IMAGE, "model": model})
    for words in failed.value.text:
        assert ("You were charged." in words or "本次已扣费。" in words) is is_said
    assert "Run the same settings again before" in str(failed.value)
    assert failed.value.charged is is_said


@pytest.mark.parametrize(
    ("model", "is_said"), [("Kwai-Kolors/Kolors", False), (IMAGE["model"], True)]
)
def test_a_failure_of_a_free_model_says_nothing_of_a_charge(
    today: Simulator, outputs_of: Outputs, model: str, is_said: bool
) -> None:
    today.fail(500, made=True)
    with pytest.raises(errors.ServerError) as failed:
        outputs_of(DRAW, **{**IMAGE, "model": model})
    assert ("may have been charged" in str(failed.value)) is is_said
    assert ("This request is free" in str(failed.value)) is not is_said
    assert failed.value.charged is (None if is_said else False)
