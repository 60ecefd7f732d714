"""One request from its plan to its items: encode, ask the ledger, send, record, download, decode.

All of it runs in a thread. The ledger is told before each step that cannot be taken back.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from ..comfyui import host
from ..media.media_error import MediaError, TooManyPixels
from ..siliconflow.client import Client
from ..siliconflow.errors import (
    BadAnswer,
    BadRequest,
    BadResult,
    DownloadFailed,
    Failure,
    GuardStopped,
    NoResult,
    NotFinished,
    NotSent,
    RequestError,
    ResultMissing,
    ResultRefused,
    TicketExpired,
    Unforeseen,
    UploadTooLarge,
    WaitTooLong,
)
from ..siliconflow.http.downloads import NotWritten
from ..storage import atomic_files
from ..storage.accounts import account_id
from ..storage.database import LedgerError, LedgerTooNew, ledger_errors
from ..storage.ledger import (
    URL_SECONDS,
    EntryState,
    Ledger,
    LedgerEntry,
    ResponseMetadata,
    Submitter,
    fingerprint,
    has_digests,
)
from ..storage.settings import Settings
from ..storage.spend_book import Spend
from ..strings.text import SiliconFlowError, text
from . import retry
from .endpoint import ApiRequest, ApiResult, FileContent, RemoteFile, Ticket
from .job import STAGES, Job, Origin, Plan, PlannedRequest, Result, RunEnded
from .rate_limit import TooHeavy
from .sending import Sender
from .spending import Pricing, amount_text, billionths
from .threads import CPU, run_all
from .uploads import Uploads

BUSY_SECONDS = 0.3
PARALLEL_DOWNLOADS = 4
POLL_SECONDS = 5.0
"""Seconds between two questions whether a submitted request is done (service-2026: "5 to 10 s")."""
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


class DamagedFile(Exception):
    """A saved file cannot be decoded any more; the ledger knows by now."""


class FormerResultGone(Exception):
    """What an earlier version saved for a request cannot be used after all."""


_ITEM_ERRORS = (RequestError, DamagedFile)
"""Errors of one item that are raised once every other item is saved."""


@dataclass(frozen=True)
class Response:
    """A response of `count` items that are to be got: the job that has it, and its record."""

    job: Job
    entry: LedgerEntry | None
    metadata: ResponseMetadata
    count: int

    @property
    def recorded(self) -> LedgerEntry | None:
        """Its record, if that can be relied on."""
        return self.entry if self.job.is_saved else None


class Receiver:
    """Gets the items of one run's requests; each is on disk before it is handed on."""

    def __init__(self, client: Client, ledger: Ledger, plan: Plan, max_megapixels: float) -> None:
        """Fetch nothing yet."""
        self._client, self._ledger, self._endpoint = client, ledger, plan.endpoint
        self._model = plan.model.id
        self._max_pixels = int(max_megapixels * 1_000_000)

    def receive(
        self, job: Job, entry: LedgerEntry | None, result: ApiResult, cost: int | None
    ) -> list[Any]:
        """Record a result, then get its items; a file inside the response is saved before that.

        `cost` is in billionths of the currency.

        One item that fails keeps no other from being saved; then its error is raised:
        `DownloadFailed`, `BadResult`, or `BadAnswer` for a file inside the response that cannot
        be decoded.
        """
        count, metadata = len(result.items), result.metadata
        urls = [item.url if isinstance(item, RemoteFile) else None for item in result.items]
        for place, item in enumerate(result.items):
            if not isinstance(item, RemoteFile):
                content = item.content if isinstance(item, FileContent) else None
                saved = self._endpoint.kind.save(item) if content is None else content
                job.record(self._ledger.store_file, entry, place, count, saved)
        job.record(self._ledger.mark_answered, entry, metadata, urls, cost, job.unrecorded)
        get = partial(self._get, Response(job, entry, metadata, count))
        work = [partial(get, place, item) for place, item in enumerate(result.items)]
        return self._finish(job, entry, run_all(work, PARALLEL_DOWNLOADS, _ITEM_ERRORS))

    def load(self, job: Job, entry: LedgerEntry) -> list[Any]:
        """Get the items that the ledger knows: read what is saved, download the rest.

        Raises what `receive` raises, or `DamagedFile` for a saved file that cannot be decoded.
        """
        get = partial(self._get, Response(job, entry, entry.metadata, len(entry.files)))
        work = [
            partial(self._load, job, entry, file.index, file.path)
            if file.path
            else partial(get, file.index, RemoteFile(str(file.url)))
            for file in entry.files
        ]
        return self._finish(job, entry, run_all(work, PARALLEL_DOWNLOADS, _ITEM_ERRORS))

    def _finish(self, job: Job, entry: LedgerEntry | None, items: list[Any]) -> list[Any]:
        for item in items:
            if isinstance(item, Exception):
                raise item
        if entry and entry.state != "stored":
            job.record(self._ledger.mark_stored, entry)
        return items

    def _get(self, response: Response, place: int, item: Any) -> Any:
        """Return one item of a response, ready to be used; what was downloaded is saved."""
        job, metadata = response.job, response.metadata
        if isinstance(item, FileContent):
            item = self._decoded(item.content, metadata, BadAnswer)
        elif isinstance(item, RemoteFile) and self._endpoint.kind.load_file:
            item = self._download_file(response, place, item.url)
        elif isinstance(item, RemoteFile):
            try:
                content = self._client.download(item.url, self._model, metadata.trace_id)
                try:
                    item = self._decoded(content, metadata)
                except BadResult:  # damaged on the way, perhaps: once more from the start
                    content = self._client.download(item.url, self._model, metadata.trace_id)
                    item = self._decoded(content, metadata)
            except DownloadFailed as error:
                raise _until(error, response.recorded) from None
            job.record(self._ledger.store_file, response.entry, place, response.count, content)
        job.show_item(place, item)
        return item

    def _download_file(self, response: Response, place: int, url: str) -> Any:
        """Download an item straight to the disk, and check it there before it counts.

        Where the folder of the saved results takes no file, ComfyUI's temporary one may.
        """
        entry, metadata, recorded = response.entry, response.metadata, response.recorded
        checked: list[Any] = []
        download = partial(self._write_whole, url, metadata, checked)
        suffix, not_stored = self._endpoint.kind.suffix, None
        try:
            if entry:
                try:
                    path = self._ledger.store_file(entry, place, response.count, download, suffix)
                    return replace(checked[-1], path=path)
                except LedgerError as error:
                    not_stored = error
            path = host.temporary_directory() / f"{uuid.uuid4().hex}{suffix}"
            with ledger_errors():
                atomic_files.write(path, download)
        except DownloadFailed as error:
            raise _until(error, recorded) from None
        except LedgerError as error:
            message = text("run.not_written", item=self._endpoint.item_name, reason=error.text)
            failure = Failure(message, model=self._model, trace_id=metadata.trace_id)
            raise _until(
                DownloadFailed(failure), recorded, "error.DownloadFailed.no_room"
            ) from None
        if not_stored:
            response.job.ledger_failed(not_stored)
        return replace(checked[-1], path=path)

    def _write_whole(
        self, url: str, metadata: ResponseMetadata, checked: list[Any], file: BinaryIO
    ) -> None:
        """Download an item into a file, and add it to `checked` once all of it was decoded.

        One that is damaged on the way is downloaded once more from the start.
        """
        for is_last in (False, True):
            file.seek(0)
            file.truncate()
            try:
                self._client.download_to(url, file, self._model, metadata.trace_id)
            except NotWritten as error:
                raise error.reason from None
            file.flush()
            try:
                checked.append(self._decoded(Path(file.name), metadata))
            except BadResult as error:
                if error.is_too_large:
                    raise
                if is_last:
                    with suppress(LedgerError):
                        suffix = self._endpoint.kind.suffix
                        copy = self._ledger.keep_refused(Path(file.name), suffix)
                        error.add(text("run.refused_file", file=str(copy)))
                    raise
            else:
                return

    def _load(self, job: Job, entry: LedgerEntry, place: int, file: Path) -> Any:
        """Decode a saved file. Only one that can be read and not decoded is damaged."""
        try:
            content = file if self._endpoint.kind.load_file else file.read_bytes()
            item = self._decoded(content, entry.metadata)
        except OSError as error:
            message = text(
                "run.saved_file_unreadable", item=self._endpoint.item_name, reason=str(error)
            )
            raise self._endpoint.kind.bad_file(
                Failure(message, model=self._model, trace_id=entry.metadata.trace_id)
            ) from None
        except BadResult as error:
            if error.is_too_large:
                raise
            job.record(self._ledger.mark_damaged, entry, place)
            raise DamagedFile from None
        job.show_item(place, item)
        return item

    def _decoded(
        self,
        content: Any,
        metadata: ResponseMetadata,
        error_class: type[RequestError] | None = None,
    ) -> Any:
        """Return the item of a file: of its content, or of its path if it is not in memory."""
        kind = self._endpoint.kind
        try:
            with CPU:
                return (kind.load_file or kind.load)(content, self._max_pixels)
        except MediaError as error:
            message = text("run.bad_item", item=self._endpoint.item_name, reason=error.text)
            advice = text("error.ResultRefused.too_large", setting="most_megapixels")
            raised = (error_class or self._endpoint.kind.bad_file)(
                Failure(message, model=self._model, trace_id=metadata.trace_id),
                advice if type(error) is TooManyPixels else None,
            )
            if isinstance(raised, BadResult):
                raised.is_too_large = isinstance(error, TooManyPixels)
            raise raised from error


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
                    job.error = ResultMissing(Failure(model=self._plan.model.id))
                else:
                    job.results.append(replace(result, frame=form.frame))
            job.stage = STAGES

    def go_on(self, job: Job, name: str) -> None:
        """Fetch what another process submitted under this name. Nothing is sent, or charged."""
        job.may_send, job.in_background = False, True
        with self._ending(job):
            job.stage = 1
            work = partial(self._find_or_send, job, job.request, name)
            result = self._share(job, job.request, name, work)
            job.results.append(replace(result, origin="paid"))  # by this job, in its first process
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

        def download() -> Job:
            of_plan.go_on(later, name)
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
                    pause = retry.download_delay(error, tries[type(error)])
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
            was_lost = self._ledger.was_lost(names, job.not_again_since)
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
        names = []
        for job in jobs:
            names.append(self._name(job.request))
            self._drop(job.request)
        self._ledger.plan(names, self._plan.model.id)

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
            origin, result = "downloaded", self._wait_for(job, request, entry, ticket)
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
                response = self._wait_for(job, request, entry, response, record)
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
                self._ledger.plan([self._name(part) for part in parts], self._plan.model.id)
        job.sends_unpaid = job.sends_unpaid and is_unpaid
        return parts

    def _claim(self, job: Job, request: PlannedRequest, name: str) -> LedgerEntry | None:
        """Ask the ledger for a request; wait while another process runs it."""
        try:
            if self._reuse:
                self._adopt(request, name)
            claim = partial(self._ledger.claim, name, self._plan.model.id, reuse=self._reuse)
            while (entry := claim()).state == "busy":
                job.sleep(text("run.other_process"), BUSY_SECONDS)
            if entry.was_given_up and not self._is_known(entry):
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

    def _is_known(self, entry: LedgerEntry) -> bool:
        """Ask once with a ticket that was given up; return whether it may bring a result after all.

        It may not have reached each machine of the service when it was asked with before.
        """
        try:
            self._endpoint.poll(self._client, Ticket(entry.ticket or ""))
        except RequestError as error:
            return not isinstance(error, retry.UNKNOWN)
        return True

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

    def _wait_for(
        self,
        job: Job,
        request: PlannedRequest,
        entry: LedgerEntry | None,
        ticket: Ticket,
        record: Callable[[], None] | None = None,
    ) -> ApiResult:
        """Poll until the result of a submitted request is there.

        It is paid for: a cancel ends the node, and this goes on, so that the result is saved. A
        poll that fails is repeated: it is free. The result has the trace ID of the submission, and
        the seconds since it. Whatever ends this early, the request stays
        submitted and its ticket finds the result later, unless the service says that there will be
        none: then the same request is sent anew. `record` writes a new ticket down; where the
        ledger fails, it is called again before each poll.
        """
        alike, last, good_at = 0, None, time.monotonic()
        known_at = sent_at = job.sent_at or (entry.sent_at if entry else 0.0)
        job.started_at = min(job.started_at, time.monotonic() - (time.time() - sent_at))
        job.is_sent = True  # under way at the service
        with suppress(LedgerError):
            job.growing.usual_seconds = self._ledger.usual_seconds(self._plan.model.id)
        while True:
            seconds = POLL_SECONDS
            if record:
                with suppress(LedgerError):
                    record()
                    record = None
            try:
                result = self._endpoint.poll(self._client, ticket)
            except RequestError as error:
                alike, last = alike + 1 if type(error) is last else 1, type(error)
                age = time.time() - known_at
                wait = retry.poll_delay(error, alike, time.monotonic() - good_at, age)
                if wait is None:
                    raise self._lost(job, request, entry, ticket, error) from None
                job.growing.doing, seconds = text("run.retrying"), max(wait, POLL_SECONDS)
            else:
                alike, good_at, known_at = 0, time.monotonic(), time.time()
                if isinstance(result, ApiResult):
                    job.growing.doing = None
                    trace_id = ticket.trace_id or result.metadata.trace_id
                    seconds = max(0.0, time.time() - sent_at)
                    metadata = replace(result.metadata, trace_id=trace_id, seconds=seconds)
                    return replace(result, metadata=metadata)
                if time.time() > sent_at + self._endpoint.most_seconds:
                    late = NotFinished(Failure(result))
                    raise self._lost(job, request, entry, ticket, late)
                job.growing.doing = result
            time.sleep(seconds)

    def _lost(
        self,
        job: Job,
        request: PlannedRequest,
        entry: LedgerEntry | None,
        ticket: Ticket,
        error: RequestError,
    ) -> RequestError:
        """Return the error of a poll that is the last; record it if there will be no result."""
        trace_id = ticket.trace_id or error.failure.trace_id
        failure = replace(error.failure, model=self._plan.model.id, trace_id=trace_id)
        cost = self.pricing.cost(request)
        price = text("run.price") if cost is None else amount_text(cost, self.pricing.currency)
        sent_at = time.localtime(job.sent_at or (entry and entry.sent_at) or time.time())
        what = {"time": time.strftime("%Y-%m-%d %H:%M", sent_at), "cost": price}
        # The address was right when the request was sent: a 404 is of its ticket.
        if isinstance(error, retry.UNKNOWN):
            final: RequestError = TicketExpired(failure, text("run.expired", **what))
        elif isinstance(error, NotFinished):
            final = NotFinished(failure, text("run.not_finished", **what))
        elif isinstance(error, NoResult):
            final = type(error)(failure)
        else:
            final = type(error)(failure, text("run.polls_failed"))
        if isinstance(final, NoResult):
            is_over = not isinstance(final, TicketExpired)
            mark_failed = partial(self._ledger.mark_failed, may_be_paid=True, is_over=is_over)
            job.record(mark_failed, entry)
        else:
            job.record(self._ledger.leave, entry)
        final.charged = None
        return final

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


def _until(
    error: DownloadFailed, entry: LedgerEntry | None, advice: str = "error.DownloadFailed.until"
) -> DownloadFailed:
    """Return the error of a download that says until when the file can be had for free, if at all.

    Without a record of its URL it cannot: `entry` is `None` then.
    """
    if isinstance(error, ResultRefused):
        return error
    if entry is None:
        return DownloadFailed(error.failure, text("error.DownloadFailed.unsaved"))
    ends = time.localtime((entry.answered_at or time.time()) + URL_SECONDS)
    until = time.strftime("%H:%M", ends)
    return DownloadFailed(error.failure, text(advice, until=until))
