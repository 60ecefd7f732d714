"""One request from its plan to its items: encode, ask the ledger, send, record, download, decode.

All of it runs in a thread. The ledger is told before each step that cannot be taken back.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import replace
from decimal import Decimal
from functools import cached_property, partial
from typing import Any

from ..siliconflow.client import Client
from ..siliconflow.errors import (
    BadRequest,
    DownloadFailed,
    Failure,
    GuardStopped,
    NotSent,
    RequestError,
    ResultMissing,
    Unforeseen,
    UploadTooLarge,
    WaitTooLong,
)
from ..storage.accounts import account_id
from ..storage.database import LedgerError, LedgerTooNew
from ..storage.ledger import (
    EntryState,
    Ledger,
    LedgerEntry,
    Submitter,
    fingerprint,
    has_digests,
)
from ..storage.settings import Settings
from ..storage.spend_book import Spend
from ..strings.text import SiliconFlowError, text
from .endpoint import ApiRequest, ApiResult, Ticket
from .exchange import DamagedFile, Receiver, Sender
from .job import STAGES, Job, Origin, Plan, PlannedRequest, Result, RunEnded
from .rate_limit import TooHeavy
from .retry import Poller, download_delay
from .spending import Pricing, billionths
from .uploads import Uploads

BUSY_SECONDS = 0.3
_ORIGINS: dict[EntryState, Origin] = {"stored": "reused", "answered": "downloaded"}
logger = logging.getLogger("siliconflow")


class SingleFlight:
    """The requests under way in this process by name: identical ones share one. Thread-safe."""

    def __init__(self) -> None:
        """Start without a request under way."""
        self._lock = threading.Lock()
        self._under_way: dict[str, tuple[Future[Result], Job]] = {}

    def has(self, name: str) -> bool:
        """Return whether a request is under way."""
        with self._lock:
            return name in self._under_way

    def share(
        self, name: str, job: Job, work: Callable[[], Result], longest_wait: float = math.inf
    ) -> Result:
        """Do `work`, or wait for the job that does it already and follow its growing text.

        All of them get the result, or an exception of their own like the one that `work` raises.
        One in the foreground gives the job the place of its own in line, and raises `WaitTooLong`
        if that is not sent within `longest_wait` seconds.
        """
        own: Future[Result] = Future()
        while True:
            if job.ends.is_set():
                raise RunEnded
            with self._lock:
                future, sender = self._under_way.setdefault(name, (own, job))
            if future is own:
                break
            job.join(sender.growing)
            # The run that is joined may be cancelled before it sent anything: then this one does.
            with suppress(RunEnded):
                try:
                    _await(future, job, sender, longest_wait)
                    result = future.result()
                    result = replace(result, origin="joined", cost=Decimal(0), is_estimate=False)
                except SiliconFlowError as error:
                    raise copy(error) from error
                for place, item in enumerate(result.items):
                    job.show_item(place, item)
                return result
        try:
            own.set_result(work())
        except BaseException as error:  # whoever waits must not wait for ever
            own.set_exception(copy(error) if isinstance(error, SiliconFlowError) else error)
            raise
        finally:
            with self._lock:
                del self._under_way[name]
        return own.result()


def _await(future: Future[Result], job: Job, sender: Job, longest_wait: float) -> None:
    """Wait until a request that a job joined has ended, but not for ever until it is sent."""
    if job.in_background:
        return
    sender.is_looked_at = True
    deadline = time.monotonic() + longest_wait
    while not wait([future], BUSY_SECONDS).done:
        is_in_line = not (sender.was_sent or sender.is_sent)  # one goes on with a ticket
        if is_in_line and time.monotonic() > deadline:
            raise WaitTooLong(Failure())


class FormerResultGone(Exception):
    """What an earlier version saved for a request cannot be used after all."""


_IN_FLIGHT = SingleFlight()


class RequestLifecycle:
    """Runs the requests of one plan."""

    def __init__(
        self, task: str, settings: Settings, client: Client, ledger: Ledger, plan: Plan
    ) -> None:
        """Only store what the requests share; `run` sends them."""
        self._task, self._plan, self._endpoint = task, plan, plan.endpoint
        self._client, self._ledger, self._reuse = client, ledger, settings.reuse
        self._settings = settings
        self._account = account_id(settings.require_key(), settings.base_url)
        self._longest_wait = settings.longest_wait
        self._paid = "free" if plan.model.is_free(settings.site) else "charged"
        self.pricing = Pricing(plan.model, plan.endpoint, settings)
        self.uploads = Uploads(plan, settings) if plan.images else None
        self._sender = Sender(client, ledger, plan, self._account, settings.longest_wait)
        self._receiver = Receiver(client, ledger, plan, settings.most_megapixels)

    @cached_property
    def _poller(self) -> Poller:
        return Poller(self._client, self._ledger, self._plan, self.pricing)

    def run(self, job: Job) -> None:
        """Run a job to its end; what went wrong is left in `job.error`.

        A request that the rate limit never lets pass as a whole goes in parts.
        """
        with self._ending(job):
            left = [job.request]
            while left:
                request = left.pop(0)
                if request.count > 1 and self._goes_in_parts(job, request):
                    left[:0] = self._parts(job, request)
                    continue
                form = (request.former and self._free_form(job, request)) or request
                name = job.name = self._name(form)
                job.stage = max(job.stage, 1)
                work = partial(self._find_or_send, job, form, name)
                try:
                    if not self._reuse:
                        result = work()
                    elif job.in_background:
                        result = self._share(job, form, name, work)
                    else:
                        result = _IN_FLIGHT.share(name, job, work, self._longest_wait)
                except FormerResultGone:
                    left[:0] = [replace(request, former_frame=None)]
                except TooHeavy:
                    left[:0] = self._parts(job, request)
                except RunEnded:
                    if (job.may_send and not form.first_names) or job.ends.is_set():
                        raise
                    job.error = self._missing(job, form)
                else:
                    job.results.append(replace(result, frame=form.frame))
            job.stage = STAGES

    def _missing(self, job: Job, request: PlannedRequest) -> ResultMissing:
        error = ResultMissing(Failure(model=self._plan.model.id))
        names = self._names(job, request)
        with suppress(LedgerError):
            if not (self._ledger.lost_of(names) or self._ledger.paid_of(names)):
                error.charged = False
        return error

    def go_on(self, job: Job, name: str, origin: Origin = "paid") -> None:
        """Fetch what another process submitted under this name. Nothing is sent, or charged.

        As a rule it was the job that paid for it, in its first process.
        """
        job.may_send, job.in_background = False, True
        with self._ending(job):
            job.stage = 1
            work = partial(self._find_or_send, job, job.request, name)
            result = self._share(job, job.request, name, work)
            job.results.append(replace(result, origin=origin))
            job.stage = STAGES

    def download_later(self, job: Job) -> Callable[[], Job]:
        """Return what downloads what a job could not, as long as its URL works, for another run.

        It blocks as long, holds no images meanwhile, and returns the job as it has ended then.
        """
        plan = replace(self._plan, images={})
        of_plan = RequestLifecycle(self._task, self._settings, self._client, self._ledger, plan)
        parts = [replace(result, items=()) for result in job.results]
        later = Job(job.request, threading.Event(), results=parts, id=job.id, is_started=True)
        later.queued_at, later.started_at, name = job.queued_at, job.started_at, job.name
        origin: Origin = "paid" if job.was_sent else "downloaded"

        def download() -> Job:
            of_plan.go_on(later, name, origin)
            return later

        return download

    def _share(
        self, job: Job, request: PlannedRequest, name: str, work: Callable[[], Result]
    ) -> Result:
        """Do `work`, or join whoever does it.

        In the background, what could not be downloaded is downloaded again as long as its URL
        works: that is free, and nothing is sent. Another run of the same may do so meanwhile.
        """
        may_send, sent_at = job.may_send, job.sent_at
        tries = Counter[type[DownloadFailed]]()
        failure: DownloadFailed | None = None
        delay = 0.0
        try:
            while True:
                try:
                    if failure:
                        job.sleep(text("run.retrying"), delay)
                    result = _IN_FLIGHT.share(name, job, work)
                except DownloadFailed as error:
                    tries[type(error)] += 1
                    pause = download_delay(error, tries[type(error)])
                    if pause is None or not self._may_download_again(job, name):
                        raise
                    job.may_send, failure, delay = False, error, pause
                except RunEnded:
                    if failure is None:
                        raise
                    raise failure from None  # its URL has just expired, or nobody waits any more
                else:
                    if tries and job.sent_at != sent_at:  # it was paid for this job
                        cost = self.pricing.cost(request, at=job.sent_at)
                        return replace(result, origin="paid", cost=cost)
                    return result
        finally:
            if tries:
                job.may_send = may_send

    def _may_download_again(self, job: Job, name: str) -> bool:
        """Return whether nobody waits for it in vain, and the ledger has a URL that works."""
        if job.in_background and job.is_saved:
            with suppress(LedgerError):
                return self._ledger.is_paid(name)
        return False

    @contextmanager
    def _ending(self, job: Job) -> Iterator[None]:
        """Leave in `job.error` what goes wrong with a job, and let go of what it held."""
        try:
            yield
        except SiliconFlowError as error:
            job.error = self.worded(error, job)
        except RunEnded:
            return
        except Exception as error:  # a mistake of ours must not hide what was paid
            logger.exception("%s %s: internal error", self._task, self._plan.model.id)
            message = f"{type(error).__name__}: {error}"[:300]
            error_class = Unforeseen if job.was_sent else NotSent
            job.error = error_class(Failure(message, model=self._plan.model.id))
            job.error.__cause__ = error
        finally:
            self._finish(job)

    def unpaid(self, job: Job) -> list[PlannedRequest]:
        """Return the requests that would be paid, were the job run now."""
        if not (job.may_send or job.sends_unpaid):
            return []
        try:
            unpaid = self._unpaid(job, job.request)
            if job.may_send:
                return unpaid
            return [each for each in unpaid if self._ledger.is_known_unpaid(self._name(each))]
        except LedgerError as error:
            self._look_up_failed(job, error)
            return []
        finally:
            self._drop(job.request)

    def first_of(self, job: Job) -> list[Any]:
        """Return in JSON what `find_first` needs in another run of the same prompt."""
        try:
            return [*job.request.place, job.request.seed, self._names(job, job.request)]
        finally:
            self._drop(job.request)

    def find_first(self, job: Job, seed: int, names: Sequence[str]) -> None:
        """Let a job find what was asked for when its prompt ran first, if it is another now.

        A node before it gives something else in each run. What is paid for anew, and what surely
        never was, is asked for as it is now; what may have been charged is neither.
        """
        try:
            if self._names(job, job.request) == names:
                return
            first = replace(job.request, seed=seed, former_frame=None, first_names=tuple(names))
            was_lost = bool(self._ledger.lost_of(names, job.not_again_since))
            if job.may_send and not was_lost and self._unpaid(job, first):
                return
            if job.sends_unpaid and self._ledger.is_known_unpaid(*names):
                job.may_send = True
                return
            job.request = first
            job.note(text("run.first_result"))
        except LedgerError as error:
            self._look_up_failed(job, error)
        finally:
            self._drop(job.request)

    def _names(self, job: Job, request: PlannedRequest) -> list[str]:
        """Return the names of a request and of all its parts, each before its own parts."""
        if request.first_names:
            return [*request.first_names]
        form = (request.former and self._free_form(job, request)) or request
        parts = request.split() if request.count > 1 else ()
        return [self._name(form), *(name for part in parts for name in self._names(job, part))]

    def distinct(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Return the jobs without those that get what an earlier one of the same run pays for."""
        if not self._reuse:
            return jobs
        firsts: dict[str, Job] = {}
        for job in jobs:
            firsts.setdefault(self._name(job.request), job)
        return [*firsts.values()]

    def paid_lately(self, jobs: Sequence[Job], counted_as: str, seconds: float) -> int:
        """Return how many items of an auto-run were paid, without what these jobs get for free.

        Raises `LedgerError`.
        """
        names: set[str] = set()

        def is_asked_for(name: str) -> bool:
            if self._reuse and not names:
                names.update(self._name(job.request) for job in jobs)
            return name in names

        return self._ledger.paid_lately(counted_as, seconds, is_asked_for)

    def is_stored(self, job: Job) -> bool:
        """Return whether all that a job asks for is saved: nothing is to be sent or awaited.

        Raises `LedgerError`.
        """
        try:
            return self._is_stored(job.request)
        finally:
            self._drop(job.request)

    def is_awaited(self, job: Job) -> bool:
        """Return whether a part of a job is to be sent, or under way. Raises `LedgerError`."""
        if job.may_send:
            return not self.is_stored(job)
        return self.is_under_way(job) or bool(self.unpaid(job))

    def is_under_way(self, job: Job) -> bool:
        """Return whether a part of a job is under way in this process."""
        try:
            return self._is_under_way(job.request)
        finally:
            self._drop(job.request)

    def _is_under_way(self, request: PlannedRequest) -> bool:
        return any(_IN_FLIGHT.has(self._name(form)) for form in self._forms(request)) or (
            request.count > 1 and any(map(self._is_under_way, request.split()))
        )

    def plan(self, jobs: Sequence[Job]) -> None:
        """Record what jobs send in their turn, if their process lives so long."""
        requests = []
        for job in jobs:
            requests.append((self._name(job.request), job.id))
            self._drop(job.request)
        self._ledger.plan(requests, self._plan.model.id)

    def _drop(self, request: PlannedRequest) -> None:
        if self.uploads:
            self.uploads.drop(request.frame)

    def _is_stored(self, request: PlannedRequest) -> bool:
        for form in self._forms(request):
            name = self._name(form)
            if not _IN_FLIGHT.has(name):
                self._adopt(form, name)
                if self._ledger.is_stored(name):
                    return True
        return request.count > 1 and all(map(self._is_stored, request.split()))

    def content(self, requests: Sequence[PlannedRequest], *, with_seeds: bool = False) -> str:
        """Return the hash of what requests ask for, whatever their seeds unless `with_seeds`."""
        unseeded = (
            replace(each, body={k: v for k, v in each.body.items() if k != "seed"}, first_names=())
            for each in requests
        )
        names = [self._name(each) for each in (requests if with_seeds else unseeded)]
        return fingerprint(self._account, self._endpoint.path, {"requests": names})

    def worded(self, error: SiliconFlowError, job: Job) -> SiliconFlowError:
        """Return an error as it is said of a job: one that costs nothing was not charged."""
        if not isinstance(error, RequestError) or error.charged is False:
            return error
        return error.for_free_call() if self.pricing.cost(job.request) == 0 else error

    def discard(self, jobs: Sequence[Job]) -> None:
        """Let the ledger forget what jobs brought: the node can make nothing of it."""
        for job in jobs:
            for result in job.results:
                try:
                    self._ledger.discard(result.request_id)
                except LedgerError as error:
                    job.ledger_failed(error)

    def _finish(self, job: Job) -> None:
        """Let go of what the job held, and log the line that a user's report is understood by."""
        job.in_line.set()
        if self.uploads:
            for note in self.uploads.notes(job.request.frame):
                job.note(note)
            self.uploads.release(job.request.frame)
        traces = [result.metadata.trace_id for result in job.results]
        failure = job.error.failure if isinstance(job.error, RequestError) else None
        origins = ", ".join(
            dict.fromkeys(self._paid if r.origin == "paid" else r.origin for r in job.results)
        )
        outcome = type(job.error).__name__ if job.error else origins or "cancelled"
        if failure and failure.status:
            codes = (failure.status, failure.code)
            outcome += f" ({', '.join(str(code) for code in codes if code is not None)})"
        trace_id = failure.trace_id if failure else ", ".join(filter(None, traces))
        logger.info(
            "%s %s: %s after %.1f s, trace ID %s",
            self._task,
            self._plan.model.id,
            outcome,
            job.seconds,
            trace_id or "unknown",
        )

    def _unpaid(self, job: Job, request: PlannedRequest) -> list[PlannedRequest]:
        if self._is_paid(job, request):
            return []
        if not self._has_paid_parts(job, request):
            return [request]
        return [unpaid for part in request.split() for unpaid in self._unpaid(job, part)]

    def _is_paid(self, job: Job, request: PlannedRequest) -> bool:
        """Return whether a request costs nothing."""
        return self._free_form(job, request) is not None

    def _free_form(self, job: Job, request: PlannedRequest) -> PlannedRequest | None:
        """Return the form of a request that costs nothing: it is saved, answered or under way."""
        if not self._reuse:
            return None
        try:
            for form in self._forms(request):
                name = self._name(form)
                if not _IN_FLIGHT.has(name):
                    self._adopt(form, name)
                    if not self._ledger.is_paid(name):
                        continue
                return form
        except LedgerError as error:
            self._look_up_failed(job, error)
        return None

    def _forms(self, request: PlannedRequest) -> Iterator[PlannedRequest]:
        """Yield a request, and as earlier versions sent it if any of theirs are still known."""
        yield request
        if request.former and self._ledger.has_former_names():
            yield request.former

    def _has_paid_parts(self, job: Job, request: PlannedRequest) -> bool:
        """Return whether parts of a request were paid one by one, as a rate limit asks for."""
        return request.count > 1 and any(
            self._is_paid(job, part) or self._has_paid_parts(job, part) for part in request.split()
        )

    def _find_or_send(self, job: Job, request: PlannedRequest, name: str) -> Result:
        """Take what the ledger has, else send the request and record what comes of it."""
        if job.ends.is_set():
            raise RunEnded
        entry = self._find(job, request, name)
        if isinstance(entry, Result):
            return entry
        origin: Origin = "paid"
        if entry and entry.state == "submitted":
            ticket = Ticket(entry.ticket or "", entry.metadata.trace_id)
            origin, result = "downloaded", self._poller.wait_for(job, request, entry, ticket)
        elif (
            request.is_former
            or request.first_names
            or not (job.may_send or (job.sends_unpaid and entry and entry.is_known_unpaid))
        ):
            job.record(self._ledger.withdraw, entry)
            raise FormerResultGone if request.is_former else RunEnded
        else:
            try:
                if job.judge and job.may_pay < request.count:
                    job.judge(job, request)  # it was taken for paid, or for another run's
                job.may_pay -= request.count
                response = self._send_fitting(job, request, entry)
            except BaseException as error:
                may_be_paid = job.was_sent and _may_be_paid(error)
                job.may_pay += 0 if may_be_paid else request.count
                mark_failed = partial(
                    self._ledger.mark_failed, may_be_paid=may_be_paid, held_as=job.id
                )
                job.record(mark_failed, entry)
                raise
            if isinstance(response, Ticket):
                submitter = Submitter(self._account, self._task, job.id)
                mark = self._ledger.mark_submitted
                traced = response.trace_id
                record = partial(mark, entry, response.id, submitter, traced) if entry else None
                response = self._poller.wait_for(job, request, entry, response, record)
            result = response
        job.stage = max(job.stage, 2)
        made = replace(request, count=len(result.items))  # that is what is charged
        cost = self.pricing.cost(made, result.usage, job.sent_at or None)
        items = self._receiver.receive(job, entry, result, billionths(cost))
        self._note_count(job, request, len(items))
        request_id, paid = entry.id if entry else "", cost if origin == "paid" else Decimal(0)
        is_estimate = result.is_estimate and bool(paid)
        if is_estimate:
            job.note(text("run.cost_at_most"))
        brought = Result(items, len(items), result.metadata, origin, request_id, paid)
        sent_at = job.sent_at or (entry.sent_at if entry else 0.0)
        return replace(brought, is_estimate=is_estimate, price=cost, sent_at=sent_at)

    def _find(self, job: Job, request: PlannedRequest, name: str) -> Result | LedgerEntry | None:
        """Return what the ledger has of a request, else the entry to send or to poll it with.

        A damaged file is looked for once more: what is left of the result may be downloaded.
        """
        for _ in range(1 + request.count):
            entry = self._claim(job, request, name)
            if entry is None or entry.state in {"new", "submitted"}:
                return entry
            with suppress(DamagedFile):
                items = self._receiver.load(job, entry)
                if any(self._endpoint.is_gone(self._client, item) for item in items):
                    job.record(partial(self._ledger.mark_failed, may_be_paid=False), entry)
                    continue
                is_own = not job.may_send or entry.sent_at >= job.made_since
                if entry.state == "stored" and not is_own:  # else it was paid for this prompt
                    job.record(self._ledger.mark_reused, entry)
                self._note_count(job, request, len(items))
                came = Result(items, len(items), entry.metadata, _ORIGINS[entry.state], entry.id)
                price = self.pricing.cost(replace(request, count=len(items)), at=entry.sent_at)
                return replace(came, price=price, sent_at=entry.sent_at)
        return None

    def _goes_in_parts(self, job: Job, request: PlannedRequest) -> bool:
        """Return whether a request never passes as a whole, or parts of it were sent already."""
        return not self._is_paid(job, request) and (
            self._sender.is_too_heavy(request.count)
            or self._has_paid_parts(job, request)
            or (job.sends_unpaid and self._was_sent_in_parts(job, request))
        )

    def _was_sent_in_parts(self, job: Job, request: PlannedRequest) -> bool:
        """Return whether a request was surely never charged as a whole, but parts may have been."""
        whole, *parts = self._names(job, request)
        with suppress(LedgerError):
            is_unpaid = self._ledger.is_known_unpaid
            return is_unpaid(whole) and not is_unpaid(whole, *parts)
        return False

    def _parts(self, job: Job, request: PlannedRequest) -> Sequence[PlannedRequest]:
        """Return the parts of a request; if it was never charged, they are planned in its place."""
        parts, is_unpaid = request.split(), False
        with suppress(LedgerError):  # after a restart they count as charged
            is_unpaid = self._ledger.is_known_unpaid(self._name(request))
            if job.in_background and is_unpaid:
                names = [(self._name(part), job.id) for part in parts]
                self._ledger.plan(names, self._plan.model.id)
        job.sends_unpaid = job.sends_unpaid and is_unpaid
        return parts

    def _claim(self, job: Job, request: PlannedRequest, name: str) -> LedgerEntry | None:
        """Ask the ledger for a request; wait while another process runs it."""
        try:
            if self._reuse:
                self._adopt(request, name)
            claim = partial(
                self._ledger.claim, name, self._plan.model.id, job.id, reuse=self._reuse
            )
            while (entry := claim()).state == "busy":
                job.sleep(text("run.other_process"), BUSY_SECONDS)
            if entry.was_given_up and not self._poller.is_known(entry):
                self._ledger.mark_failed(entry, may_be_paid=True)
                entry = claim(revive=False)
        except LedgerError as error:
            self._look_up_failed(job, error)
            return None
        if entry.lost_request and self.pricing.cost(request) != 0:
            sent_at = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.lost_request.sent_at))
            trace_id = entry.lost_request.trace_id
            key = "run.lost_request_traced" if trace_id else "run.lost_request"
            job.note(text(key, time=sent_at, trace_id=trace_id))
            job.may_send = job.may_send and entry.lost_request.sent_at < job.not_again_since
        return entry

    def _look_up_failed(self, job: Job, error: LedgerError) -> None:
        """Note that what comes is not saved.

        Raises `LedgerTooNew` if results would be reused: all that are saved would be paid again.
        """
        if self._reuse and isinstance(error, LedgerTooNew):
            raise LedgerTooNew(text("run.ledger_too_new", reason=error.text)) from None
        job.ledger_failed_before_sending(error)

    def _send_fitting(
        self, job: Job, request: PlannedRequest, entry: LedgerEntry | None
    ) -> ApiResult | Ticket:
        """Send the request; images that are too large for it, or for a gateway, are sent smaller.

        A 413 comes from before the service, which has made and charged nothing then. Nor has it
        for what else was refused, which is sent once more as the plan mends it.
        """
        uploads, frame, refusals = self.uploads, request.frame, 0
        body, mend = request.body, self._plan.mend
        content = job.counted_as or self.content([request])
        cost = billionths(self.pricing.cost(request))
        spend = Spend(self._plan.model.id, self.pricing.currency, request.count, cost, content)
        urls = uploads.fitting_urls(frame) if uploads else {}
        while True:
            api_request = ApiRequest(body, urls, self._plan.headers)
            try:
                return self._sender.send(job, entry, spend, api_request)
            except BadRequest as error:
                if uploads and isinstance(error, UploadTooLarge):
                    refusals += 1
                    urls = uploads.smaller_urls(frame, refusals)
                    if not urls:
                        raise
                    continue
                mended = mend and mend(error, body)
                if not mended:
                    raise
                (body, note), mend = mended, None
                job.note(note)

    def _note_count(self, job: Job, request: PlannedRequest, count: int) -> None:
        if count != request.count:
            names = self._endpoint.item_names
            job.note(text("run.other_count", count=count, requested=request.count, items=names))

    def _adopt(self, request: PlannedRequest, name: str) -> None:
        """Find what was paid under the name that the request had until December 2026.

        That hashed what is uploaded as it was encoded, all of it, which is done only if it may have
        to be sent. What earlier versions sent in another form never had such a name.
        """
        is_new = request.former is not None and not request.is_former
        is_new |= bool(request.first_names)
        has_former_name = not is_new and (self.uploads or has_digests(request.body))
        if not has_former_name or not self._ledger.has_former_names() or self._ledger.is_paid(name):
            return
        former = self._name(request, encoded=True)
        if request.is_former:
            self._drop(request)
        self._ledger.adopt(former, name)

    def _name(self, request: PlannedRequest, *, encoded: bool = False) -> str:
        """Return the name of a request: the same for the same account, endpoint and content."""
        if request.first_names:
            return request.first_names[0]
        uploads = self.uploads
        digests_of = uploads and (uploads.encoded_digests if encoded else uploads.digests)
        digests = digests_of(request.frame) if digests_of else {}
        content = {**request.body, **digests, **self._plan.headers}
        return fingerprint(self._account, self._endpoint.path, content, encoded=encoded)


def _may_be_paid(error: BaseException) -> bool:
    """Return whether a request that ended so may have been charged; the unforeseen may have."""
    if isinstance(error, RunEnded | TooHeavy | GuardStopped):
        return False
    return not isinstance(error, RequestError) or error.charged is not False
