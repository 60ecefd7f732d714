"""Sends a request at the pace of its account, and gets the items of its response.

It is sent again only where that cannot be paid twice. Each item is on disk, and decoded, before it
is handed on.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from ..comfyui import host
from ..media.media_error import MediaError, TooManyPixels
from ..siliconflow.client import Client
from ..siliconflow.errors import (
    MINUTE_LIMITS,
    BadAnswer,
    BadResult,
    DailyLimit,
    DownloadFailed,
    Failure,
    NotConnected,
    RateLimited,
    RequestError,
    ResultRefused,
    WaitTooLong,
)
from ..siliconflow.http.downloads import NotWritten
from ..storage import atomic_files
from ..storage.database import LedgerError, ledger_errors
from ..storage.ledger import URL_SECONDS, Ledger, LedgerEntry, ResponseMetadata
from ..storage.spend_book import Spend
from ..strings.text import text
from . import retry
from .endpoint import ApiRequest, ApiResult, FileContent, RemoteFile, Ticket
from .job import Job, Plan, RunEnded
from .rate_limit import RateLimiter, RateSchedule, Sent, TooHeavy
from .threads import CPU, run_all

PARALLEL_DOWNLOADS = 4
SOON = 1.0
"""Seconds: less is how requests are spaced until an account's limit is known, and no limit met."""
_LIMITERS: dict[tuple[str, str], RateLimiter] = {}
_LOCK = threading.Lock()
logger = logging.getLogger("siliconflow")


class Sender:
    """Sends the requests of one run.

    All requests of an account for a model, of whatever node, pass the same rate limiter.
    """

    def __init__(
        self, client: Client, ledger: Ledger, plan: Plan, account: str, longest_wait: float
    ) -> None:
        """Store what the requests share.

        `longest_wait` in seconds bounds all waits of one request together, but not of one that is
        in the background.
        """
        self._client, self._ledger, self._endpoint = client, ledger, plan.endpoint
        self._model = plan.model.id
        self._longest_wait = longest_wait
        with _LOCK:
            self._limiter = _LIMITERS.setdefault(
                (account, self._model),
                RateLimiter(RateSchedule(sure=plan.endpoint.kind.allowed_a_minute)),
            )

    def is_too_heavy(self, count: int) -> bool:
        """Return whether the limit is known never to let a request for `count` images pass."""
        return self._limiter.is_too_heavy(count)

    def send(
        self, job: Job, entry: LedgerEntry | None, spend: Spend, request: ApiRequest
    ) -> ApiResult | Ticket:
        """Send a request and return its result; `spend` is recorded before it leaves.

        Raises a `RequestError` of the cause, `WaitTooLong`, `TooHeavy`, `RunEnded` if the run
        ended while the request waited, or `GuardStopped` where a budget would not know of it.
        """
        deadline = math.inf if job.in_background else time.monotonic() + self._longest_wait
        last: RequestError | None = None
        tries = 0
        job.line_up()
        while True:
            sent = self._limiter.enter(
                spend.items,
                partial(self._wait_for_turn, job, deadline, last),
                is_last=lambda: job.in_background and not job.is_looked_at,
            )
            job.waits_for = None
            if job.ends.is_set():  # cancelled while its images were encoded
                self._limiter.undone(sent)
                raise RunEnded
            try:
                if entry:
                    self._ledger.mark_sent(entry, spend, job.id)
            except LedgerError as error:
                if job.holds_cost or job.in_background:
                    self._limiter.undone(sent)
                job.ledger_failed_before_sending(error)
                job.unrecorded = spend
            job.is_sent, job.was_sent, job.sent_at = True, True, time.time()
            try:
                result = self._endpoint.call(self._client, request, job.hear)
            except RequestError as error:
                last, failures = error, self._learn_from(error, sent)
                tries += failures > 0  # a rate limit uses up none
                wait = wait_before_retry(error, max(tries, failures), deadline)
                self._limiter.pause(wait)
            else:
                self._limiter.passed(sent)
                return result
            finally:
                job.is_sent = False
            logger.debug("%s: try %d failed, next in %.1f s", self._model, tries, wait)
            job.record(self._ledger.mark_waiting, entry)

    def _learn_from(self, error: RequestError, sent: Sent) -> int:
        """Teach the rate limiter from a failed request.

        Returns how often in a row the service was out of order. Raises `TooHeavy` for a request
        that never passes.
        """
        if isinstance(error, NotConnected | DailyLimit):  # neither says anything of the minute
            self._limiter.undone(sent)
        elif isinstance(error, RateLimited):
            counted = error.limit in MINUTE_LIMITS
            if self._limiter.refused(sent, error.failure.retry_after, counted=counted):
                raise TooHeavy from None
        is_limit = isinstance(error, RateLimited)
        return self._limiter.failed(sent) if error.retryable and not is_limit else 0

    def _wait_for_turn(
        self, job: Job, deadline: float, last: RequestError | None, seconds: float
    ) -> None:
        """Show why a request waits; raise why it was not sent if it would wait in vain."""
        is_failure = last is not None and not isinstance(last, RateLimited)
        is_late = time.monotonic() + seconds > deadline
        if last and is_failure and (is_late or self._limiter.is_out_of_order(retry.TRIES)):
            raise last
        if is_late:
            raise WaitTooLong(last.failure if last else Failure(model=self._model))
        limited = "run.rate_limit" if seconds > SOON else "run.turn"
        job.wait(text("run.retrying" if is_failure else limited), seconds)


def wait_before_retry(error: RequestError, tries: int, deadline: float) -> float:
    """Return the seconds to wait before the next try; raise the error if there must be none."""
    wait = retry.delay(error, tries)
    if wait is None:
        raise error
    if time.monotonic() + wait > deadline:
        raise WaitTooLong(error.failure) if isinstance(error, RateLimited) else error
    return wait


class DamagedFile(Exception):
    """A saved file cannot be decoded any more; the ledger knows by now."""


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
