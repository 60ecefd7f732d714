"""A request that is answered with a ticket: sent once, and polled until its result is there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from comfyui_siliconflow.engine import lifecycle, retry
from comfyui_siliconflow.engine.endpoint import (
    ApiRequest,
    ApiResult,
    Endpoint,
    FileContent,
    OnText,
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
    Failure,
    GatewayTimeout,
    InvalidKey,
    ModelNotFound,
    NotConnected,
    Overloaded,
    RateLimited,
    ReadTimeout,
    RequestError,
    ServerError,
    WrongAddress,
)
from comfyui_siliconflow.storage.ledger import Ledger, ResponseMetadata
from comfyui_siliconflow.storage.settings import Settings

SETTINGS = Settings(api_key="sk-x", base_url="http://127.0.0.1:1/v1")


class Service:
    """Makes a result that is there after so many polls, and counts what it is asked."""

    def __init__(self) -> None:
        self.submitted = 0
        self.polled: list[str] = []
        self.polls_left = 2
        self.during_poll: Callable[[], object] = list

    def submit(self, _client: Client, _request: ApiRequest, _on_text: OnText) -> Ticket:
        self.submitted += 1
        return Ticket(f"ticket {self.submitted}")

    def poll(self, _client: Client, ticket: Ticket) -> ApiResult | None:
        self.polled.append(ticket.id)
        self.during_poll()
        self.polls_left -= 1
        if self.polls_left > 0:
            return None
        return ApiResult([FileContent(b"a clip")], ResponseMetadata("trace", seconds=1.0))


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    monkeypatch.setattr(lifecycle, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(retry, "FIRST", 0.0)
    return Service()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path)
    yield opened
    opened.close()


def plan_of(service: Service) -> Plan:
    kind = ResultKind("video", lambda content, _max_pixels: content)
    endpoint = Endpoint("video/submit", kind, service.submit, "image", poll=service.poll)
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


def test_a_cancel_stops_the_polling_and_the_same_request_goes_on_with_its_ticket(
    service: Service, tmp_path: Path
) -> None:
    plan, client = plan_of(service), Client("sk-x", SETTINGS.base_url)
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    cancelled = Job(plan.requests[0], threading.Event())
    service.during_poll = cancelled.ends.set
    lifecycle.RequestLifecycle("video", SETTINGS, client, first, plan).run(cancelled)
    assert (cancelled.results, cancelled.error) == ([], None)
    first.close()  # as when its process ends
    service.during_poll = list
    job = run(service, second)
    assert (job.items, job.results[0].origin) == ([b"a clip"], "downloaded")
    assert (service.submitted, service.polled) == (1, ["ticket 1"] * 2)
    second.close()


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
def test_polls_that_all_fail_leave_the_ticket_for_the_next_run_and_say_so(
    service: Service, ledger: Ledger, error_class: type[RequestError]
) -> None:
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


@pytest.mark.parametrize(
    ("refusal", "error_class"),
    [
        (ModelNotFound(Failure("no such request", 400)), ModelNotFound),
        (WrongAddress(Failure("no such request", 404)), BadRequest),
    ],
)
def test_a_ticket_that_brings_nothing_is_given_up_and_its_loss_is_noted(
    service: Service, ledger: Ledger, refusal: RequestError, error_class: type[RequestError]
) -> None:
    def refuse() -> None:
        raise refusal

    service.during_poll = refuse
    error = run(service, ledger).error
    assert type(error) is error_class
    assert "You may have been charged" in str(error)
    service.during_poll = list
    again = run(service, ledger)
    assert (again.items, service.submitted) == ([b"a clip"], 2)
    assert again.notes
