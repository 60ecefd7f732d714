"""A request that is answered with a ticket: sent once, and polled until its result is there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.engine import lifecycle, retry
from comfyui_siliconflow.engine.endpoint import (
    ApiRequest,
    ApiResult,
    Endpoint,
    FileContent,
    OnText,
    RemoteFile,
    ResultKind,
    Ticket,
)
from comfyui_siliconflow.engine.job import Job, Plan, plan_of_bodies
from comfyui_siliconflow.siliconflow.catalogue import unlisted
from comfyui_siliconflow.siliconflow.client import Client
from comfyui_siliconflow.siliconflow.errors import (
    BadAnswer,
    BadRequest,
    CertificateFailed,
    ConnectionLost,
    DownloadFailed,
    Failure,
    Forbidden,
    GatewayTimeout,
    GenerationFailed,
    InsufficientBalance,
    InvalidKey,
    ModelNotFound,
    NotConnected,
    NotFinished,
    Overloaded,
    RateLimited,
    ReadTimeout,
    RequestError,
    RetiredCall,
    ServerError,
    TicketExpired,
    WrongAddress,
)
from comfyui_siliconflow.storage.accounts import account_id
from comfyui_siliconflow.storage.database import LedgerError
from comfyui_siliconflow.storage.ledger import Ledger, ResponseMetadata, Submitter
from comfyui_siliconflow.storage.settings import Settings
from comfyui_siliconflow.strings.text import Text
from comfyui_siliconflow.tests.waiting import until

SETTINGS = Settings(api_key="sk-x", base_url="http://127.0.0.1:1/v1")


class Service:
    """Makes a result that is there after so many polls, and counts what it is asked."""

    most_seconds = 3600.0

    def __init__(self) -> None:
        self.submitted = 0
        self.polled: list[str] = []
        self.polls_left = 2
        self.during_poll: Callable[[], object] = list

    def submit(self, _client: Client, _request: ApiRequest, _on_text: OnText) -> Ticket:
        self.submitted += 1
        return Ticket(f"ticket {self.submitted}", "charged")

    def poll(self, _client: Client, ticket: Ticket) -> ApiResult | Text:
        self.polled.append(ticket.id)
        self.during_poll()
        self.polls_left -= 1
        if self.polls_left > 0:
            return Text("in line")
        return ApiResult([FileContent(b"a clip")], ResponseMetadata("trace", seconds=1.0))


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(retry, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(retry, "FIRST", 0.0)
    monkeypatch.setattr(retry, "REFUSED_SECONDS", 0.0)
    return Service()


@pytest.fixture
def old_tickets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a ticket be so old that it may have expired."""
    monkeypatch.setattr(retry, "KEPT_SECONDS", 0.0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path)
    yield opened
    opened.close()


def plan_of(service: Service) -> Plan:
    kind = ResultKind("video", lambda content, _max_pixels: content)
    endpoint = Endpoint(
        "video/submit",
        kind,
        service.submit,
        "image",
        poll=service.poll,
        most_seconds=service.most_seconds,
    )
    return plan_of_bodies(unlisted("vendor/clip"), [{"model": "vendor/clip"}], endpoint)


def run(service: Service, ledger: Ledger) -> Job:
    plan, client = plan_of(service), Client("sk-x", SETTINGS.base_url)
    job = Job(plan.requests[0], threading.Event())
    job.start()
    lifecycle.RequestLifecycle("video", SETTINGS, client, ledger, plan).run(job)
    return job


def test_the_result_is_polled_for_and_saved(service: Service, ledger: Ledger) -> None:
    assert run(service, ledger).items == [b"a clip"]
    assert (service.submitted, service.polled) == (1, ["ticket 1"] * 2)
    again = run(service, ledger)
    assert (again.items, again.results[0].origin) == ([b"a clip"], "reused")
    assert (service.submitted, len(service.polled)) == (1, 2)


def test_a_cancel_does_not_end_the_polling_so_that_the_result_comes_into_the_ledger(
    service: Service, ledger: Ledger
) -> None:
    plan, client = plan_of(service), Client("sk-x", SETTINGS.base_url)
    cancelled = Job(plan.requests[0], threading.Event())
    service.during_poll = cancelled.ends.set
    lifecycle.RequestLifecycle("video", SETTINGS, client, ledger, plan).run(cancelled)
    assert cancelled.items == [b"a clip"]
    assert run(service, ledger).results[0].origin == "reused"
    assert service.submitted == 1


def die(_client: Client, _ticket: Ticket) -> ApiResult | Text:
    raise SystemExit


def submit_and_die(service: Service, ledger: Ledger) -> Job:
    """Submit, and end the thread at the first poll, as the end of the process does."""
    plan, client = plan_of(service), Client("sk-x", SETTINGS.base_url)
    plan = replace(plan, endpoint=replace(plan.endpoint, poll=die))
    job = Job(plan.requests[0], threading.Event())
    with pytest.raises(SystemExit):
        lifecycle.RequestLifecycle("video", SETTINGS, client, ledger, plan).run(job)
    return job


def test_the_same_request_goes_on_with_the_ticket_of_a_process_that_died(
    service: Service, tmp_path: Path
) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    submit_and_die(service, first)
    first.close()
    job = run(service, second)
    assert (job.items, job.results[0].origin) == ([b"a clip"], "downloaded")
    assert (service.submitted, service.polled) == (1, ["ticket 1"] * 2)
    second.close()


def test_a_restart_knows_what_a_process_that_died_had_submitted_and_fetches_it(
    service: Service, tmp_path: Path
) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    account = account_id("sk-x", SETTINGS.base_url)
    died = submit_and_die(service, first)
    assert second.unfinished(account) == []  # its process still runs
    first.close()
    [unfinished] = second.unfinished(account)
    assert unfinished.submitter == Submitter(account, "video", died.id)
    assert second.unfinished("another account") == []
    plan, client = plan_of(service), Client("sk-x", SETTINGS.base_url)
    job = Job(plan.requests[0], threading.Event())
    going_on = lifecycle.RequestLifecycle("video", SETTINGS, client, second, plan)
    going_on.go_on(job, unfinished.fingerprint)
    assert (job.items, service.submitted) == ([b"a clip"], 1)
    assert second.unfinished(account) == []
    assert run(service, second).results[0].origin == "reused"
    second.close()


def test_a_result_has_the_trace_id_of_what_was_charged_and_the_seconds_since_then(
    service: Service, tmp_path: Path
) -> None:
    first, second = Ledger(tmp_path, clock=lambda: time.time() - 100), Ledger(tmp_path)
    submit_and_die(service, first)
    first.close()
    job = run(service, second)
    metadata = job.results[0].metadata
    assert (metadata.trace_id, metadata.seconds >= 100, job.seconds >= 100) == (
        "charged",
        True,
        True,
    )
    second.close()


def test_the_error_of_a_submitted_request_has_the_trace_id_of_what_was_charged(
    service: Service, ledger: Ledger
) -> None:
    def fail() -> None:
        raise GenerationFailed(Failure("too dark", 200, trace_id="poll"))

    service.during_poll = fail
    error = run(service, ledger).error
    assert isinstance(error, GenerationFailed)
    assert error.failure.trace_id == "charged"


def test_a_restart_that_dies_as_well_leaves_the_ticket_to_the_next(
    service: Service, tmp_path: Path
) -> None:
    account = account_id("sk-x", SETTINGS.base_url)
    first, second, third = (Ledger(tmp_path) for _ in range(3))
    submit_and_die(service, first)
    first.close()
    [unfinished] = second.unfinished(account)
    plan, client = plan_of(service), Client("sk-x", SETTINGS.base_url)
    plan = replace(plan, endpoint=replace(plan.endpoint, poll=die))
    going_on = lifecycle.RequestLifecycle("video", SETTINGS, client, second, plan)
    with pytest.raises(SystemExit):
        going_on.go_on(Job(plan.requests[0], threading.Event()), unfinished.fingerprint)
    assert third.unfinished(account) == []  # the second still runs
    second.close()
    assert third.unfinished(account) == [unfinished]
    assert run(service, third).results[0].origin == "downloaded"
    assert (service.submitted, service.polled) == (1, ["ticket 1"] * 2)
    third.close()


def test_a_restart_outlasts_an_outage_of_the_download(
    service: Service, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, client, fails = plan_of(service), Client("sk-x", SETTINGS.base_url), iter(range(5))

    def download(*_: object) -> bytes:
        if next(fails, None) is not None:
            raise DownloadFailed(Failure("HTTP 503"))
        return b"a clip"

    def answer(_client: Client, _ticket: Ticket) -> ApiResult | Text:
        return ApiResult([RemoteFile("https://host/clip.mp4")], ResponseMetadata())

    monkeypatch.setattr(client, "download", download)
    plan = replace(plan, endpoint=replace(plan.endpoint, poll=answer))
    of_plan = lifecycle.RequestLifecycle("video", SETTINGS, client, ledger, plan)
    died, job = (Job(plan.requests[0], threading.Event()) for _ in range(2))
    of_plan.run(died)
    assert isinstance(died.error, DownloadFailed)
    of_plan.go_on(job, of_plan._name(job.request))  # noqa: SLF001 - as the ledger has it
    assert (job.items, job.error, service.submitted) == ([b"a clip"], None, 1)


def test_going_on_sends_nothing_where_the_ledger_has_no_ticket(
    service: Service, ledger: Ledger
) -> None:
    plan, client = plan_of(service), Client("sk-x", SETTINGS.base_url)
    job = Job(plan.requests[0], threading.Event())
    lifecycle.RequestLifecycle("video", SETTINGS, client, ledger, plan).go_on(job, "0" * 64)
    assert (job.items, job.error, service.submitted) == ([], None, 0)


def test_how_long_a_request_usually_takes_is_learned(tmp_path: Path) -> None:
    now = 0.0

    def clock() -> float:
        return now

    ledger = Ledger(tmp_path, clock=clock)
    assert ledger.usual_seconds("vendor/clip") is None
    for number, takes in enumerate((50.0, 90.0, 60.0)):
        entry = ledger.claim(f"{number}" * 64, "vendor/clip")
        ledger.mark_sent(entry)
        ledger.mark_submitted(entry, "ticket")
        now += takes
        ledger.mark_answered(entry, ResponseMetadata(), ["https://host/clip.mp4"])
    assert ledger.usual_seconds("vendor/clip") == 60.0
    assert ledger.usual_seconds("vendor/other") is None
    ledger.close()


def test_what_the_service_does_about_it_is_told(service: Service, ledger: Ledger) -> None:
    plan, client = plan_of(service), Client("sk-x", SETTINGS.base_url)
    job = Job(plan.requests[0], threading.Event())
    seen: list[Text | None] = []
    service.during_poll = lambda: seen.append(job.growing.doing)
    lifecycle.RequestLifecycle("video", SETTINGS, client, ledger, plan).run(job)
    assert seen == [None, Text("in line")]
    assert job.growing.doing is None


def test_who_queues_the_same_again_meanwhile_pays_nothing_and_is_told_as_much(
    service: Service, ledger: Ledger
) -> None:
    plan, client = plan_of(service), Client("sk-x", SETTINGS.base_url)
    of_plan = lifecycle.RequestLifecycle("video", SETTINGS, client, ledger, plan)
    first, second = (Job(plan.requests[0], threading.Event()) for _ in range(2))
    threads = [threading.Thread(target=of_plan.run, args=(job,)) for job in (first, second)]

    seen: list[Text | None] = []

    def cancel_and_queue_again() -> None:
        if not threads[1].ident:
            first.ends.set()
            threads[1].start()
            until(lambda: second.growing is first.growing)
        seen.append(second.growing.doing)

    service.during_poll = cancel_and_queue_again
    threads[0].start()
    threads[0].join()
    threads[1].join()
    assert seen == [None, Text("in line")]
    assert (service.submitted, second.items, second.results[0].origin) == (1, [b"a clip"], "joined")


def test_a_submitted_request_counts_as_running_while_it_is_polled(
    service: Service, ledger: Ledger
) -> None:
    plan, client = plan_of(service), Client("sk-x", SETTINGS.base_url)
    job = Job(plan.requests[0], threading.Event())
    seen: list[bool] = []
    service.during_poll = lambda: seen.append(job.is_sent)
    lifecycle.RequestLifecycle("video", SETTINGS, client, ledger, plan).run(job)
    assert seen == [True, True]


def test_the_ticket_is_on_disk_before_the_first_poll(service: Service, tmp_path: Path) -> None:
    seen: list[str | None] = []
    ledger = Ledger(tmp_path)

    def look() -> None:
        with ledger.database.read() as db:
            seen.extend(row["ticket"] for row in db.execute("SELECT ticket FROM requests"))

    service.during_poll = look
    run(service, ledger)
    assert seen[0] == "ticket 1"
    ledger.close()


@pytest.mark.parametrize(
    "error",
    [
        Overloaded,
        RateLimited,
        ServerError,
        GatewayTimeout,
        ReadTimeout,
        ConnectionLost,
        BadAnswer,
        NotConnected,
        CertificateFailed,
        WrongAddress,
    ],
)
def test_a_poll_that_fails_is_repeated(
    service: Service, ledger: Ledger, error: type[RequestError]
) -> None:
    def fail_twice() -> None:
        if len(service.polled) < 3:
            raise error(Failure("busy", 404 if error is WrongAddress else None))

    service.during_poll = fail_twice
    assert run(service, ledger).items == [b"a clip"]
    assert (service.submitted, service.polled) == (1, ["ticket 1"] * 4)


@pytest.mark.parametrize("error_class", [ConnectionLost, Overloaded, InvalidKey])
def test_polls_that_fail_for_too_long_leave_the_ticket_for_the_next_run_and_say_so(
    service: Service,
    ledger: Ledger,
    error_class: type[RequestError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry, "OUTAGE_SECONDS", 0.05)

    def lose() -> None:
        raise error_class(Failure("gone"))

    service.during_poll = lose
    error = run(service, ledger).error
    assert type(error) is error_class
    assert error.charged is None
    assert "asking is free. Run the same settings again to go on waiting" in str(error)
    assert "Nothing was charged" not in str(error)
    service.during_poll = list
    assert run(service, ledger).items == [b"a clip"]
    assert service.submitted == 1


def test_another_process_goes_on_with_what_this_one_no_longer_asks_for(
    service: Service, tmp_path: Path
) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)

    def refuse() -> None:
        raise InvalidKey(Failure("no such key"))

    service.during_poll = refuse
    assert isinstance(run(service, first).error, InvalidKey)
    service.during_poll = list
    assert run(service, second).items == [b"a clip"]
    assert service.submitted == 1
    first.close()
    second.close()


@pytest.mark.parametrize("error_class", [BadRequest, WrongAddress, RetiredCall, ModelNotFound])
def test_a_ticket_cannot_have_expired_while_its_result_may_still_be_made(
    service: Service, ledger: Ledger, error_class: type[RequestError]
) -> None:
    def refuse_long() -> None:
        if len(service.polled) < 10 * retry.SAME_ANSWERS:
            raise error_class(Failure("no such request"))

    service.during_poll = refuse_long
    assert run(service, ledger).items == [b"a clip"]
    assert service.submitted == 1


def test_an_old_ticket_that_was_known_a_moment_ago_has_not_expired(
    service: Service, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    service.polls_left = 3

    def get_old_and_refuse() -> None:
        nonlocal now
        if len(service.polled) == 1:
            now += 3000
        elif len(service.polled) < 10:
            raise WrongAddress(Failure("no such request", 404))

    service.during_poll = get_old_and_refuse
    assert run(service, ledger).items == [b"a clip"]


@pytest.mark.parametrize("error_class", [InvalidKey, Forbidden, InsufficientBalance])
def test_a_refused_key_ends_the_polls_only_if_it_stays_refused_for_a_minute(
    service: Service,
    ledger: Ledger,
    error_class: type[RequestError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retry, "REFUSED_SECONDS", 60.0)

    def refuse_often() -> None:
        if len(service.polled) < 3 * retry.SAME_ANSWERS:
            raise error_class(Failure("no"))

    service.during_poll = refuse_often
    assert run(service, ledger).items == [b"a clip"]


@pytest.mark.usefixtures("old_tickets")
@pytest.mark.parametrize(
    "refusal",
    [
        ModelNotFound(Failure("no such request", 400)),
        BadRequest(Failure("no such request", 400)),
        WrongAddress(Failure("no such request", 404)),
        RetiredCall(Failure("no such request", 410)),
    ],
)
def test_an_expired_ticket_is_given_up_says_what_was_charged_and_its_loss_is_noted(
    service: Service, ledger: Ledger, refusal: RequestError
) -> None:
    def refuse() -> None:
        if service.polled[-1] == "ticket 1":
            raise refusal

    service.during_poll = refuse
    error = run(service, ledger).error
    assert type(error) is TicketExpired
    assert "You were probably charged the price of one request" in str(error)
    assert "ask for it once more, which is free" in str(error)
    assert service.polled == ["ticket 1"] * retry.SAME_ANSWERS
    again = run(service, ledger)
    assert (again.items, service.submitted) == ([b"a clip"], 2)
    assert again.notes
    assert service.polled[retry.SAME_ANSWERS :] == ["ticket 1", "ticket 2", "ticket 2"]


@pytest.mark.usefixtures("old_tickets")
@pytest.mark.parametrize("polls_left", [0, 3])
def test_a_ticket_that_was_given_up_is_asked_with_once_more_before_the_same_is_sent_again(
    service: Service, ledger: Ledger, polls_left: int
) -> None:
    def refuse() -> None:
        raise WrongAddress(Failure("no such request", 404))

    service.during_poll = refuse
    assert isinstance(run(service, ledger).error, TicketExpired)
    service.during_poll, service.polls_left = list, polls_left
    again = run(service, ledger)
    assert (again.items, service.submitted) == ([b"a clip"], 1)
    assert again.results[0].origin == "downloaded"
    assert not again.notes


def test_polling_ends_after_hours_says_so_and_leaves_the_ticket(
    service: Service, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Service, "most_seconds", 0.0)
    service.polls_left = 3
    job = run(service, ledger)
    assert type(job.error) is NotFinished
    assert job.error.charged is None
    assert "in line" in str(job.error)
    assert "You may have been charged the price of one request" in str(job.error)
    assert isinstance(run(service, ledger).error, NotFinished)
    assert service.polled == ["ticket 1"] * 2
    assert run(service, ledger).items == [b"a clip"]
    assert service.submitted == 1


def test_a_ticket_that_could_not_be_written_down_is_before_a_later_poll(
    service: Service, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark, failing = Ledger.mark_submitted, iter(range(2))

    def fail_twice(*given: Any) -> None:
        if next(failing, None) is not None:
            raise LedgerError(Text("the disk is full"))
        mark(*given)

    def die_at_last() -> None:
        if len(service.polled) == 3:
            raise SystemExit

    monkeypatch.setattr(Ledger, "mark_submitted", fail_twice)
    service.polls_left, service.during_poll = 9, die_at_last
    with pytest.raises(SystemExit):
        run(service, ledger)
    ledger.close()
    service.polls_left, other = 1, Ledger(tmp_path)
    job = run(service, other)
    assert (job.items, service.submitted) == ([b"a clip"], 1)
    other.close()


def test_a_ticket_is_not_given_up_for_one_unknown_answer_within_an_outage(
    service: Service, ledger: Ledger
) -> None:
    refusals: list[RequestError] = [ServerError(Failure(status=503)) for _ in range(5)]
    refusals.append(WrongAddress(Failure(status=404)))

    def refuse() -> None:
        if refusals:
            raise refusals.pop(0)

    service.during_poll = refuse
    assert run(service, ledger).items == [b"a clip"]
    assert service.submitted == 1


def test_what_the_service_could_not_make_is_given_up_at_once_with_its_reason(
    service: Service, ledger: Ledger
) -> None:
    def fail() -> None:
        raise GenerationFailed(Failure("The prompt was refused.", 200))

    service.during_poll = fail
    error = run(service, ledger).error
    assert type(error) is GenerationFailed
    assert "The prompt was refused." in str(error)
    assert service.polled == ["ticket 1"]
    service.during_poll = list
    assert run(service, ledger).notes


def test_an_outage_of_minutes_is_waited_out(
    service: Service, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "POLL_SECONDS", 0.0)

    def lose() -> None:
        if len(service.polled) < 60:
            raise NotConnected(Failure("no network"))

    service.during_poll = lose
    assert run(service, ledger).items == [b"a clip"]
    assert retry.OUTAGE_SECONDS > 10 * 60 + 5 * 60
