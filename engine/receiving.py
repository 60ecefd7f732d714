"""Gets the items of a request: from the response, from disk, or by download."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from ..media.media_error import MediaError, TooManyPixels
from ..siliconflow.client import Client
from ..siliconflow.errors import (
    BadAnswer,
    BadResult,
    DownloadFailed,
    Failure,
    RequestError,
    ResultRefused,
)
from ..storage.ledger import URL_SECONDS, Ledger, LedgerEntry, ResponseMetadata
from ..strings.text import text
from .endpoint import ApiResult, FileContent, RemoteFile
from .job import Job, Plan
from .threads import CPU, run_all

PARALLEL_DOWNLOADS = 4


class DamagedFile(Exception):
    """A saved file cannot be decoded any more; the ledger knows by now."""


_ITEM_ERRORS = (RequestError, DamagedFile)
"""Errors of one item that are raised once every other item is saved."""


class Receiver:
    """Gets the items of one run's requests; each is on disk before it is handed on."""

    def __init__(self, client: Client, ledger: Ledger, plan: Plan, max_megapixels: float) -> None:
        """Fetch nothing yet."""
        self._client, self._ledger, self._endpoint = client, ledger, plan.endpoint
        self._model = plan.model.id
        self._max_pixels = int(max_megapixels * 1_000_000)

    def receive(self, job: Job, entry: LedgerEntry | None, result: ApiResult) -> list[Any]:
        """Record a result, then get its items; a file inside the response is saved before that.

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
        job.record(self._ledger.mark_answered, entry, metadata, urls)
        get = partial(self._get, job, entry, metadata, count)
        work = [partial(get, place, item) for place, item in enumerate(result.items)]
        return self._finish(job, entry, run_all(work, PARALLEL_DOWNLOADS, _ITEM_ERRORS))

    def load(self, job: Job, entry: LedgerEntry) -> list[Any]:
        """Get the items that the ledger knows: read what is saved, download the rest.

        Raises what `receive` raises, or `DamagedFile` for a saved file that cannot be decoded.
        """
        get = partial(self._get, job, entry, entry.metadata, len(entry.files))
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

    def _get(  # noqa: PLR0913, PLR0917 - what one item of a result is known by
        self,
        job: Job,
        entry: LedgerEntry | None,
        metadata: ResponseMetadata,
        count: int,
        place: int,
        item: Any,
    ) -> Any:
        """Return one item of a response, ready to be used; what was downloaded is saved."""
        if isinstance(item, FileContent):
            item = self._decoded(item.content, metadata, BadAnswer)
        elif isinstance(item, RemoteFile):
            try:
                content = self._client.download(item.url, self._model, metadata.trace_id)
                try:
                    item = self._decoded(content, metadata)
                except BadResult:  # damaged on the way, perhaps: once more from the start
                    content = self._client.download(item.url, self._model, metadata.trace_id)
                    item = self._decoded(content, metadata)
            except DownloadFailed as error:
                raise _until(error, entry if job.is_saved else None) from None
            job.record(self._ledger.store_file, entry, place, count, content)
        if job.show:
            job.show(item)
        return item

    def _load(self, job: Job, entry: LedgerEntry, place: int, file: Path) -> Any:
        """Decode a saved file. Only one that can be read and not decoded is damaged."""
        try:
            content = file.read_bytes()
        except OSError as error:
            message = text(
                "run.saved_file_unreadable", item=self._endpoint.item_name, reason=str(error)
            )
            raise self._endpoint.kind.bad_file(
                Failure(message, model=self._model, trace_id=entry.metadata.trace_id)
            ) from None
        try:
            item = self._decoded(content, entry.metadata)
        except BadResult as error:
            if isinstance(error.__cause__, TooManyPixels):
                raise
            job.record(self._ledger.mark_damaged, entry, place)
            raise DamagedFile from None
        if job.show:
            job.show(item)
        return item

    def _decoded(
        self,
        content: bytes,
        metadata: ResponseMetadata,
        error_class: type[RequestError] | None = None,
    ) -> Any:
        try:
            with CPU:
                return self._endpoint.kind.load(content, self._max_pixels)
        except MediaError as error:
            message = text("run.bad_item", item=self._endpoint.item_name, reason=error.text)
            advice = text("error.ResultRefused.too_large", setting="most_megapixels")
            raise (error_class or self._endpoint.kind.bad_file)(
                Failure(message, model=self._model, trace_id=metadata.trace_id),
                advice if type(error) is TooManyPixels else None,
            ) from error


def _until(error: DownloadFailed, entry: LedgerEntry | None) -> DownloadFailed:
    """Return the error of a download that says until when the file can be had for free, if at all.

    Without a record of its URL it cannot: `entry` is `None` then.
    """
    if isinstance(error, ResultRefused):
        return error
    if entry is None:
        return DownloadFailed(error.failure, text("error.DownloadFailed.unsaved"))
    ends = time.localtime((entry.answered_at or time.time()) + URL_SECONDS)
    advice = text("error.DownloadFailed.until", until=time.strftime("%H:%M", ends))
    return DownloadFailed(error.failure, advice)
