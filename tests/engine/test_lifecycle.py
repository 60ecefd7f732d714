"""What is paid is kept: the ledger, shared requests, cancels, rate limits and the guard."""

import asyncio
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
import torch
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import exchange
from comfyui_siliconflow.engine import rate_limit as pacing
from comfyui_siliconflow.engine import retry as retries
from comfyui_siliconflow.engine import uploads as upload
from comfyui_siliconflow.engine.job import GrowingText, Job
from comfyui_siliconflow.engine.services import current_settings, ledger_for
from comfyui_siliconflow.media.data_urls import encode
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.storage.database import LedgerError
from comfyui_siliconflow.storage.ledger import Ledger
from comfyui_siliconflow.strings.text import SiliconFlowError, Text
from comfyui_siliconflow.tests.conftest import Held, LimitClock
from comfyui_siliconflow.tests.waiting import LONGEST, pack_threads, until
from PIL import Image

Run = Callable[..., tuple[torch.Tensor, int, dict[str, Any]]]

DRAW = "SiliconFlowTextToImage"
CHAT, TALKER = "SiliconFlowChat", "Qwen/Qwen2.5-7B-Instruct"
KOLORS = "Kwai-Kolors/Kolors"
QWEN = "Qwen/Qwen-Image"
INPUTS = {
    "model": QWEN,
    "prompt": "a cat",
    "seed": 1,
    "image_size": "custom",
    "width": 96,
    "height": 64,
}


class Shown:
    """Keeps what a node tells."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def text(self, text: Text) -> None:
        self.texts.append(str(text))

    def value(self, done: int, total: int) -> None:
        assert 0 <= done <= total

    def image(self, _image: Image.Image, _place: int) -> None:
        raise AssertionError("no image was requested")


async def cancelled(node_id: str, values: dict[str, Any], happened: Callable[[], object]) -> None:
    """Run a node, and cancel it when something has happened: it must not wait for its requests."""
    node = asyncio.create_task(NODE_CLASS_MAPPINGS[node_id]().execute(**values))
    await asyncio.to_thread(happened)
    node.cancel()
    with pytest.raises(asyncio.CancelledError):
        await node


def images_paid(simulator: Simulator) -> int:
    return sum(charge.pictures for charge in simulator.charges)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a minute of rate limits last a second, and tries follow each other at once."""
    monkeypatch.setattr(pacing, "WINDOW", 1.0)
    # A busy machine delays a request by more than a sixtieth of a second.
    monkeypatch.setattr(pacing, "MARGIN", 9.0)
    monkeypatch.setattr(pacing, "STAGGER", 0.3)
    monkeypatch.setattr(retries, "FIRST", 0.01)


@pytest.fixture
def limited(use: Callable[[Simulator], None], limit_clock: LimitClock, write_settings: Any) -> Any:
    """Serve a site with a limit of two images a minute, on a clock that waits for nobody."""
    write_settings(native_batch=True)
    with Simulator(ipm=2, clock=limit_clock) as started:
        use(started)
        yield started


def test_the_same_request_is_free_the_second_time(simulator: Simulator, run_node: Run) -> None:
    first, _, info = run_node(DRAW, **INPUTS)
    second, seed, again = run_node(DRAW, **INPUTS)
    assert torch.equal(first, second)
    assert (info["requests"][0]["origin"], again["requests"][0]["origin"]) == ("paid", "reused")
    assert again["requests"][0]["trace_id"] == info["requests"][0]["trace_id"]
    assert (seed, images_paid(simulator)) == (1, 1)
    assert len(simulator.generations) == 1


def test_reuse_can_be_turned_off(simulator: Simulator, run_node: Run, write_settings: Any) -> None:
    write_settings(reuse=False)
    run_node(DRAW, **INPUTS)
    run_node(DRAW, **INPUTS)
    assert images_paid(simulator) == 2


@pytest.fixture
def newer_ledger(simulator: Simulator, run_node: Run) -> Simulator:
    """Save a result, then let a newer version of the pack write the ledger."""
    run_node(DRAW, **INPUTS)
    ledger = ledger_for(current_settings())
    ledger.close()
    with closing(sqlite3.connect(ledger.database.folder / "ledger.sqlite3")) as file:
        file.execute("PRAGMA user_version = 99")
    simulator.charges.clear()
    return simulator


@pytest.mark.parametrize("settings", [{}, {"most_pictures": 4}])
@pytest.mark.parametrize("images", [1, 2])
def test_saved_results_that_only_a_newer_version_reads_are_not_paid_again(
    newer_ledger: Simulator, run_node: Run, write_settings: Any, settings: Any, images: int
) -> None:
    write_settings(**settings)
    with pytest.raises(SiliconFlowError, match="has format 99") as caught:
        run_node(DRAW, **INPUTS, batch_size=images)
    assert "update the nodes. Nothing was sent and nothing was charged." in str(caught.value)
    assert "running the same again would be charged" not in str(caught.value)
    assert (len(newer_ledger.generations), newer_ledger.charges) == (1, [])


def test_without_reuse_a_newer_ledger_stops_no_run(
    newer_ledger: Simulator, run_node: Run, write_settings: Any
) -> None:
    write_settings(reuse=False)
    _, _, info = run_node(DRAW, **INPUTS)
    assert len(newer_ledger.charges) == 1
    assert "This result is not saved" in info["notes"][0]


@pytest.fixture
def run_three(held: Held, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
    """Run a node three times at once, and return what they gave or raised."""
    join, joined = Job.join, threading.Semaphore(0)

    def counted(job: Job, growing: GrowingText) -> None:
        join(job, growing)
        joined.release()

    async def graph() -> list[Any]:
        runs = (NODE_CLASS_MAPPINGS[DRAW]().execute(**INPUTS) for _ in range(3))
        nodes = [asyncio.create_task(run) for run in runs]
        for _ in range(2):
            await asyncio.to_thread(joined.acquire, timeout=LONGEST)
        held.release()
        return await asyncio.gather(*nodes, return_exceptions=True)

    monkeypatch.setattr(Job, "join", counted)
    return lambda: asyncio.run(graph())


def test_identical_nodes_of_one_graph_share_one_request(
    simulator: Simulator, run_three: Callable[[], list[Any]]
) -> None:
    outputs = run_three()
    assert images_paid(simulator) == 1
    assert all(torch.equal(images, outputs[0][0]) for images, *_ in outputs)
    assert sum('"origin": "joined"' in info for _, _, info, *_ in outputs) == 2


def test_identical_nodes_that_fail_each_say_so_once(
    simulator: Simulator, run_three: Callable[[], list[Any]]
) -> None:
    simulator.fail(status=500, made=True)
    failures = run_three()
    assert len(simulator.generations) == 1
    for error in failures:
        assert isinstance(error, errors.ServerError)
        lines = str(error).splitlines()
        assert len(set(lines)) == len(lines)
        assert sum("seed" in line for line in lines) == 1


def test_the_node_says_that_nothing_was_paid(simulator: Simulator, run_node: Run) -> None:
    run_node(DRAW, **INPUTS)
    shown = Shown()

    async def again() -> None:
        host.report_to(shown)
        await NODE_CLASS_MAPPINGS[DRAW]().execute(**INPUTS)

    asyncio.run(again())
    assert shown.texts[-1].endswith("reused, free")
    assert images_paid(simulator) == 1


def test_a_cancelled_request_is_free_when_it_is_queued_again(
    simulator: Simulator, run_node: Run, held: Held
) -> None:
    shown = Shown()

    async def graph() -> None:
        host.report_to(shown)
        await cancelled(DRAW, INPUTS, lambda: held.wait_for(1))

    asyncio.run(graph())
    assert "already sent will finish" in shown.texts[-1]
    held.release()
    _, _, info = run_node(DRAW, **INPUTS)
    assert info["requests"][0]["origin"] in {"joined", "reused"}
    assert images_paid(simulator) == 1


def test_a_request_that_had_not_left_when_its_node_was_cancelled_never_does(
    simulator: Simulator,
) -> None:
    """Two leave, which is sure to be allowed; another is refused, and the others wait."""
    simulator.ipm = 2
    values = {**INPUTS, "batch_size": 6}

    def is_refused() -> bool:
        statuses = [record.status for record in simulator.generations]
        return 429 in statuses and statuses.count(200) == 2

    asyncio.run(cancelled(DRAW, values, lambda: until(is_refused)))
    until(lambda: not pack_threads())
    assert images_paid(simulator) == 2
    assert len(simulator.generations) < 6


def test_a_node_that_is_cancelled_while_a_name_is_looked_up_ends_at_once_and_sends_nothing(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, over = threading.Event(), threading.Event()

    def hang(*_given: Any, **_named: Any) -> Any:
        asked.set()
        assert over.wait(LONGEST)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    asyncio.run(cancelled(DRAW, INPUTS, lambda: asked.wait(LONGEST)))
    assert pack_threads()
    over.set()
    until(lambda: not pack_threads())
    assert simulator.requests == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("status", [429, 503])
def test_what_cannot_have_been_paid_is_sent_again(
    simulator: Simulator, run_node: Run, status: int
) -> None:
    simulator.fail(status, times=2)
    images, _, _ = run_node(DRAW, **INPUTS)
    assert images.shape[0] == 1
    assert len(simulator.generations) == 3
    assert images_paid(simulator) == 1


@pytest.mark.usefixtures("quick")
def test_an_overloaded_model_is_an_error_after_five_tries(
    simulator: Simulator, run_node: Run
) -> None:
    simulator.fail(503, times=99)
    with pytest.raises(errors.Overloaded):
        run_node(DRAW, **INPUTS)
    assert len(simulator.generations) == 5


@pytest.mark.parametrize("status", [500, 504, 0])
def test_what_may_have_been_paid_is_sent_again_only_by_the_user_and_reported(
    simulator: Simulator, run_node: Run, status: int
) -> None:
    simulator.fail(status, made=True)
    with pytest.raises(errors.RequestError, match="may have been charged"):
        run_node(DRAW, **INPUTS)
    assert len(simulator.generations) == 1
    _, _, info = run_node(DRAW, **INPUTS)
    assert "may have been charged as well" in info["notes"][0]


def test_a_lost_download_is_only_downloaded_the_next_time(
    simulator: Simulator, run_node: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfyui_siliconflow.siliconflow.http.downloads.WAITS", ())
    simulator.fail(503, on="pictures")
    with pytest.raises(errors.DownloadFailed):
        run_node(DRAW, **INPUTS)
    _, _, info = run_node(DRAW, **INPUTS)
    assert info["requests"][0]["origin"] == "downloaded"
    assert images_paid(simulator) == 1


@pytest.mark.parametrize("fails", ["claim", "mark_answered"])
def test_a_lost_download_that_is_in_no_ledger_is_not_said_to_be_free_the_next_time(
    simulator: Simulator, run_node: Run, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def fill_disk(*_: object, **__: object) -> None:
        raise LedgerError(Text("the disk is full"))

    monkeypatch.setattr("comfyui_siliconflow.siliconflow.http.downloads.WAITS", ())
    monkeypatch.setattr(Ledger, fails, fill_disk)
    simulator.fail(503, on="pictures")
    with pytest.raises(errors.DownloadFailed, match="would be charged again") as caught:
        run_node(DRAW, **INPUTS)
    assert not re.search("free|only downloads", str(caught.value))


def test_of_a_partial_failure_only_the_missing_image_is_sent_again(
    simulator: Simulator, run_node: Run
) -> None:
    simulator.fail(500)
    with pytest.raises(errors.PartialFailure, match="1 of 5 requests failed") as caught:
        run_node(DRAW, **{**INPUTS, "batch_size": 5})
    assert isinstance(caught.value.causes[0], errors.ServerError)
    images, _, info = run_node(DRAW, **{**INPUTS, "batch_size": 5})
    assert images.shape[0] == 5
    assert [item["origin"] for item in info["requests"]].count("paid") == 1
    assert images_paid(simulator) == 5


@pytest.mark.parametrize("model", [QWEN, KOLORS])
def test_ten_images_at_two_a_minute_all_arrive_in_five_windows(
    limited: Simulator, run_node: Run, model: str
) -> None:
    images, _, _ = run_node(DRAW, **{**INPUTS, "model": model, "batch_size": 10})
    assert images.shape[0] == 10
    good = [record for record in limited.generations if record.status == 200]
    assert len(limited.generations) - len(good) == 1
    windows = [
        (record.time - good[0].time) // 60 for record in good for _ in range(record.pictures)
    ]
    assert windows == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.usefixtures("limited")
def test_a_batch_that_the_limit_never_lets_pass_goes_in_smaller_requests(run_node: Run) -> None:
    images, _, info = run_node(DRAW, **{**INPUTS, "model": KOLORS, "batch_size": 4})
    assert images.shape[0] == 4
    assert [item["came"] for item in info["requests"]] == [2, 2]
    assert [entry["seed"] for entry in info["pictures"]] == [1, 1, 3, 3]
    _, _, info = run_node(DRAW, **{**INPUTS, "model": KOLORS, "batch_size": 4})
    assert [item["origin"] for item in info["requests"]] == ["reused", "reused"]


def test_the_node_counts_down_while_a_limit_is_waited_out(
    use: Callable[[Simulator], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So long that a machine under load, which shows not every second, shows two of them."""
    monkeypatch.setattr(pacing, "WINDOW", 6.0)
    shown = Shown()

    async def graph() -> None:
        host.report_to(shown)
        await NODE_CLASS_MAPPINGS[DRAW]().execute(**{**INPUTS, "batch_size": 3})

    with Simulator(ipm=2, clock=lambda: time.time() * 10) as simulator:
        use(simulator)
        asyncio.run(graph())
    waiting = [text for text in shown.texts if "rate limit" in text]
    # The second image may still be on its way when the third begins to wait.
    assert waiting[-1].startswith("2 of 3 · ")
    left = [int(text.split()[-3]) for text in waiting]
    assert left[0] > left[-1]
    assert left == sorted(left, reverse=True)


def test_a_wait_beyond_the_longest_is_an_error_and_what_arrived_is_saved(
    simulator: Simulator, run_node: Run, write_settings: Any
) -> None:
    write_settings(longest_wait=2)
    simulator.ipm = 2
    with pytest.raises(errors.PartialFailure, match="Longest wait for a rate limit"):
        run_node(DRAW, **{**INPUTS, "batch_size": 3})
    assert images_paid(simulator) == 2


def test_a_refusal_for_which_no_time_is_left_says_so() -> None:
    """The refusal itself may have taken longer than the wait that is allowed."""
    over = time.monotonic() - 1
    refused, overloaded = (
        kind(errors.Failure("x")) for kind in (errors.RateLimited, errors.Overloaded)
    )
    with pytest.raises(errors.WaitTooLong, match="Longest wait for a rate limit"):
        exchange.wait_before_retry(refused, 1, over)
    with pytest.raises(errors.Overloaded):
        exchange.wait_before_retry(overloaded, 1, over)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 429, "limit": "IPD"}, errors.DailyLimit),
        (
            {"status": 403, "body": {"code": 30001, "message": "no balance"}},
            errors.InsufficientBalance,
        ),
    ],
)
def test_what_waiting_cannot_mend_fails_at_once(
    simulator: Simulator, run_node: Run, fault: dict[str, Any], kind: type[Exception]
) -> None:
    simulator.fail(**fault)
    with pytest.raises(kind):
        run_node(DRAW, **INPUTS)
    assert len(simulator.generations) == 1


def test_a_limit_for_today_holds_up_no_later_run(
    use: Callable[[Simulator], None], run_node: Run, limit_clock: LimitClock
) -> None:
    """It says nothing of what may be sent in a minute."""
    with Simulator(clock=limit_clock, key="sk-of-the-day") as simulator:
        use(simulator)
        run_node(DRAW, **INPUTS)
        simulator.fail(429, limit="IPD")
        with pytest.raises(errors.DailyLimit, match="Run again tomorrow"):
            run_node(DRAW, **{**INPUTS, "seed": 2})
        for seed in range(3, 8):
            run_node(DRAW, **{**INPUTS, "seed": seed})
        assert limit_clock.now - limit_clock.began < 1


def test_a_limit_of_tokens_is_waited_out_and_caps_no_later_request(
    use: Callable[[Simulator], None],
    outputs_of: Callable[..., dict[str, Any]],
    limit_clock: LimitClock,
) -> None:
    """It counts tokens: how many requests had passed says nothing of it."""
    with Simulator(clock=limit_clock, key="sk-of-tokens") as simulator:
        use(simulator)
        outputs_of(CHAT, model=TALKER, prompt="0")
        simulator.fail(429, limit="TPM", on="chat")
        outputs_of(CHAT, model=TALKER, prompt="1")
        waited_until = limit_clock.now
        assert waited_until > limit_clock.began
        for number in range(2, 8):
            outputs_of(CHAT, model=TALKER, prompt=str(number))
        assert limit_clock.now - waited_until < 1


def test_waiting_for_a_rate_limit_uses_up_no_try_of_a_later_outage(
    use: Callable[[Simulator], None], run_node: Run, limit_clock: LimitClock, write_settings: Any
) -> None:
    write_settings(longest_wait=86400)
    with Simulator(clock=limit_clock, key="sk-limited-first") as simulator:
        use(simulator)
        simulator.fail(429, times=retries.TRIES + 1)
        simulator.fail(503, times=retries.TRIES - 1)
        _, _, info = run_node(DRAW, **INPUTS)
        assert info["requests"][0]["origin"] == "paid"
        assert len(simulator.generations) == 2 * retries.TRIES + 1


def test_in_an_outage_parallel_requests_share_their_retries(
    use: Callable[[Simulator], None], run_node: Run, limit_clock: LimitClock
) -> None:
    with Simulator(clock=limit_clock, key="sk-of-an-outage") as simulator:
        use(simulator)
        simulator.fail(503, times=1000)
        with pytest.raises(errors.PartialFailure) as caught:
            run_node(DRAW, **{**INPUTS, "batch_size": 16})
        assert {type(cause) for cause in caught.value.causes} == {errors.Overloaded}
        assert len(simulator.generations) < 16 + 2 * retries.TRIES
        assert limit_clock.now - limit_clock.began > 1


def test_an_outage_that_ends_costs_no_request_of_a_run(
    use: Callable[[Simulator], None], run_node: Run, limit_clock: LimitClock
) -> None:
    with Simulator(clock=limit_clock, key="sk-of-a-short-outage") as simulator:
        use(simulator)
        simulator.fail(503, times=retries.TRIES - 1)
        images, _, _ = run_node(DRAW, **{**INPUTS, "batch_size": 16})
        assert images.shape[0] == images_paid(simulator) == 16


@pytest.mark.parametrize("retry_after", [None, 0.0])
def test_an_overload_is_never_tried_again_at_once(retry_after: float | None) -> None:
    overloaded = errors.Overloaded(errors.Failure("x", retry_after=retry_after))
    waits = [retries.delay(overloaded, tries) for tries in range(1, retries.TRIES)]
    assert all(wait is not None and wait >= retries.FIRST for wait in waits)


def test_a_service_that_cannot_be_reached_is_tried_again(
    run_node: Run, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    del quick
    simulator = Simulator()
    simulator.start()
    port = simulator.port
    simulator.stop()
    monkeypatch.setenv("SILICONFLOW_API_KEY", "sk-simulator")
    monkeypatch.setenv("SILICONFLOW_BASE_URL", f"http://127.0.0.1:{port}/v1")
    monkeypatch.setattr(retries, "FIRST", 0.5)
    late = Simulator(port=port)
    threading.Timer(0.3, late.start).start()
    try:
        images, _, _ = run_node(DRAW, **INPUTS)
    finally:
        late.stop()
    assert images.shape[0] == 1


def test_the_guard_stops_a_run_of_too_many_images(
    simulator: Simulator, run_node: Run, write_settings: Any
) -> None:
    write_settings(most_pictures=3)
    with pytest.raises(errors.GuardStopped, match="this run makes 4"):
        run_node(DRAW, **{**INPUTS, "batch_size": 4})
    assert simulator.requests == []


def test_the_guard_counts_what_is_under_way_and_not_what_is_paid_already(
    simulator: Simulator, run_node: Run, hold: Callable[[], Held], write_settings: Any
) -> None:
    write_settings(most_pictures=3)
    run_node(DRAW, **{**INPUTS, "batch_size": 3})
    run_node(DRAW, **{**INPUTS, "batch_size": 5})
    assert images_paid(simulator) == 5

    held = hold()

    async def graph() -> list[Any]:
        nodes = (
            NODE_CLASS_MAPPINGS[DRAW]().execute(**{**INPUTS, "seed": s, "batch_size": 2})
            for s in (50, 60)
        )
        tasks = [asyncio.create_task(node) for node in nodes]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=LONGEST)
        held.release()
        return await asyncio.gather(*tasks, return_exceptions=True)

    outputs = asyncio.run(graph())
    assert sum(isinstance(item, errors.GuardStopped) for item in outputs) == 1


def test_the_guard_does_not_count_what_another_account_has_under_way(
    simulator: Simulator, held: Held, write_settings: Any, use: Callable[[Simulator], None]
) -> None:
    write_settings(most_pictures=2)
    asked = {**INPUTS, "batch_size": 2}

    async def graph(other: Simulator) -> None:
        first = asyncio.create_task(NODE_CLASS_MAPPINGS[DRAW]().execute(**asked))
        await asyncio.to_thread(held.wait_for, 2)
        use(other)
        second = asyncio.create_task(NODE_CLASS_MAPPINGS[DRAW]().execute(**asked))
        await asyncio.to_thread(held.wait_for, 4)
        held.release()
        await asyncio.gather(first, second)

    with Simulator(key="sk-other") as other:
        asyncio.run(graph(other))
        assert images_paid(simulator) == images_paid(other) == 2


def test_a_floor_of_older_settings_stops_nothing_and_names_what_replaced_it(
    today: Simulator, run_node: Run, write_settings: Any
) -> None:
    write_settings(balance_floor=1e6, picture_price=0.1)
    _, _, info = run_node(DRAW, **INPUTS)
    assert "minimum balance (balance_floor) has no effect any more" in info["notes"][0]
    assert "/v1/user/info" not in [record.path for record in today.requests]


def test_without_a_ledger_the_image_still_reaches_the_graph_with_a_note(
    simulator: Simulator, run_node: Run, tmp_path: Any
) -> None:
    (tmp_path / "data" / "siliconflow-ledger" / "ledger.sqlite3").mkdir(parents=True)
    images, _, info = run_node(DRAW, **INPUTS)
    assert images.shape[0] == 1
    assert "The ledger cannot be used" in info["notes"][0]
    assert images_paid(simulator) == 1


def test_a_data_folder_that_cannot_be_made_costs_no_image(
    simulator: Simulator, run_node: Run, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SILICONFLOW_DATA_DIR", str(tmp_path / "file" / "below"))
    images, _, info = run_node(DRAW, **INPUTS)
    assert images.shape[0] == 1
    assert "The ledger cannot be used" in info["notes"][0]
    assert images_paid(simulator) == 1


def test_a_damaged_stored_image_is_downloaded_again(
    simulator: Simulator, run_node: Run, tmp_path: Any
) -> None:
    first, _, _ = run_node(DRAW, **INPUTS)
    [file] = (tmp_path / "data").rglob("*.png")
    file.write_bytes(file.read_bytes()[:100])
    second, _, info = run_node(DRAW, **INPUTS)
    assert torch.equal(first, second)
    assert info["requests"][0]["origin"] == "downloaded"
    assert images_paid(simulator) == 1


def test_a_batch_that_went_in_parts_is_found_in_its_parts_after_a_restart(
    limited: Simulator, run_node: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {**INPUTS, "model": KOLORS, "batch_size": 4}
    run_node(DRAW, **values)
    monkeypatch.setattr("comfyui_siliconflow.engine.exchange._LIMITERS", {})
    limited.ipm = None
    _, _, info = run_node(DRAW, **values)
    assert [item["origin"] for item in info["requests"]] == ["reused", "reused"]
    assert images_paid(limited) == 4


def test_the_guard_counts_what_a_cancelled_node_left_under_way(
    simulator: Simulator, run_node: Run, held: Held, write_settings: Any
) -> None:
    write_settings(most_pictures=2)
    asyncio.run(cancelled(DRAW, {**INPUTS, "batch_size": 2}, lambda: held.wait_for(2)))
    with pytest.raises(errors.GuardStopped):
        run_node(DRAW, **{**INPUTS, "seed": 50})
    held.release()
    until(lambda: not pack_threads())
    run_node(DRAW, **{**INPUTS, "seed": 50})
    assert images_paid(simulator) == 3


def test_a_node_cancelled_while_its_images_are_encoded_pays_for_none(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoding, go_on = threading.Event(), threading.Event()

    def slowly(*given: Any) -> Any:
        encoding.set()
        go_on.wait(LONGEST)
        return encode(*given)

    monkeypatch.setattr(upload, "encode", slowly)
    values = {"model": KOLORS, "prompt": "x", "image": torch.rand(4, 32, 32, 3)}
    shown = Shown()

    async def graph() -> None:
        host.report_to(shown)
        await cancelled("SiliconFlowImageToImage", values, lambda: encoding.wait(LONGEST))

    asyncio.run(graph())
    go_on.set()
    until(lambda: not pack_threads())
    assert simulator.generations == []
    assert shown.texts[-1] == "Cancelled"


def test_the_requests_for_a_frame_are_sent_in_their_order(
    simulator: Simulator, run_node: Run
) -> None:
    run_node(DRAW, **{**INPUTS, "model": KOLORS, "batch_size": 10})
    assert [record.body["batch_size"] for record in simulator.generations] == [4, 4, 2]


@pytest.mark.usefixtures("simulator")
def test_a_run_in_progress_keeps_its_language_whatever_another_one_uses(
    held: Held, write_settings: Any
) -> None:
    shown = {"zh": Shown(), "en": Shown()}

    async def draw(seed: int, language: str) -> None:
        write_settings(language=language)
        host.report_to(shown[language])
        await NODE_CLASS_MAPPINGS[DRAW]().execute(**{**INPUTS, "seed": seed})

    async def graph() -> None:
        nodes = []
        for seed, language in enumerate(shown):
            nodes.append(asyncio.create_task(draw(seed, language)))
            await asyncio.to_thread(held.wait_for, seed + 1)
        held.release()
        await asyncio.gather(*nodes)

    asyncio.run(graph())
    assert "种子 0" in shown["zh"].texts[-1]
    assert "seed 1" in shown["en"].texts[-1]


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        ("storage.ledger.Ledger.claim", errors.NotSent),
        ("siliconflow.resources.images.parse", errors.Unforeseen),
    ],
)
def test_a_mistake_of_ours_is_told_as_unsent_or_as_perhaps_charged(
    simulator: Simulator,
    run_node: Run,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    kind: type[errors.RequestError],
) -> None:
    """Before the request is sent, or when its response is here."""

    def mistake(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(f"comfyui_siliconflow.{broken}", mistake)
    with pytest.raises(errors.RequestError, match="RuntimeError: a mistake") as caught:
        run_node(DRAW, **INPUTS)
    assert type(caught.value) is kind
    assert (caught.value.charged is False) == (simulator.charges == [])
