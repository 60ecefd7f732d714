"""One request, all the way: encode, look in the ledger, send, record, download, decode.

All of it runs in a thread. The ledger is told before each step that cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from ..siliconflow import images as api
from ..siliconflow.client import Client
from ..siliconflow.errors import RequestError, SiliconFlowError
from ..siliconflow.ledger import Entry, Facts, Ledger, State, account_of, fingerprint
from ..siliconflow.settings import Settings
from ..siliconflow.texts import Text
from .collect import Collector, DamagedFile
from .flight import Flights
from .job import STAGES, GaveUp, Job, Origin, Result
from .plan import Ask, Plan
from .records import Records
from .send import Sender, TooHeavy, gate_of
from .upload import DataUrls

_FLIGHTS: Flights[Result] = Flights()
_ORIGINS: dict[State, Origin] = {"stored": "reused", "answered": "downloaded"}
_FEWER = Text("{came} of {asked} pictures came.", "要了 {asked} 张，只收到 {came} 张。")


class Road:
    """What all requests of one run have in common."""

    def __init__(self, settings: Settings, client: Client, ledger: Ledger, plan: Plan) -> None:
        """Send nothing yet."""
        model, account = plan.model.id, account_of(settings.require_key(), settings.base_url)
        most_pixels = int(settings.most_megapixels * 1_000_000)
        self._account = account
        self._reuse = settings.reuse
        self._urls = DataUrls(plan)
        self._records = Records(ledger, account, model, reuse=settings.reuse)
        self._sender = Sender(client, gate_of(account, model), settings.longest_wait)
        self._collector = Collector(client, self._records, model, most_pixels)

    def take(self, job: Job) -> None:
        """Take a job to its end; what went wrong on purpose is left in `job.error`."""
        try:
            self._obtain(job, job.ask)
            job.stage = STAGES
        except SiliconFlowError as error:
            job.error = error
        except GaveUp:
            return

    def unpaid(self, jobs: Sequence[Job]) -> int:
        """Count the pictures that would be paid, were the jobs run now."""
        return sum(job.ask.count for job in jobs if not self._is_paid(job, job.ask))

    def _is_paid(self, job: Job, ask: Ask) -> bool:
        return self._records.is_paid(job, self._name(self._body(ask)))

    def _obtain(self, job: Job, ask: Ask) -> None:
        """Get the pictures of a request, in two parts where the rate limit asks for it."""
        result = None
        if not self._sender.is_too_heavy(ask.count) or self._is_paid(job, ask):
            with suppress(TooHeavy):
                result = self._shared(job, ask)
        if result:
            job.results.append(result)
            return
        for half in ask.halves():
            self._obtain(job, half)

    def _shared(self, job: Job, ask: Ask) -> Result:
        """Take a request, together with whoever asks for the same at the same time."""
        body = self._body(ask)
        job.stage = max(job.stage, 1)
        name = self._name(body)
        if not self._reuse:
            return self._found_or_sent(job, ask, name, body)
        while True:
            try:
                result, joined = _FLIGHTS.share(
                    name, partial(self._found_or_sent, job, ask, name, body)
                )
            except GaveUp:
                if job.ends.is_set():
                    raise
                continue  # the run that this one joined was cancelled before it sent anything
            return Result(result.pictures, result.facts, "joined") if joined else result

    def _found_or_sent(self, job: Job, ask: Ask, name: str, body: Mapping[str, Any]) -> Result:
        """Take what the ledger has, else send."""
        entry = self._records.claim(job, name)
        if entry is None or entry.state == "new":
            return self._paid(job, ask, body, entry)
        try:
            pictures = self._collector.kept(job, entry, entry.facts, entry.pictures)
        except DamagedFile:
            self._records.damaged(job, entry)
            return self._found_or_sent(job, ask, name, body)
        return Result(pictures, entry.facts, _ORIGINS[entry.state])

    def _paid(self, job: Job, ask: Ask, body: Mapping[str, Any], entry: Entry | None) -> Result:
        """Send the request, and tell the ledger what came of it."""
        try:
            found = self._sender.send(job, ask.count, body)
        except BaseException as error:
            self._records.failed(job, entry, paid=_may_be_paid(error))
            raise
        job.stage = max(job.stage, 2)
        facts = Facts(found.trace_id, found.seed, found.inference, found.seconds)
        pictures = self._collector.answered(job, entry, facts, found.sources)
        if len(pictures) != ask.count:
            job.note(_FEWER.format(came=len(pictures), asked=ask.count))
        return Result(pictures, facts, "paid")

    def _body(self, ask: Ask) -> dict[str, Any]:
        return {**ask.body, **self._urls.of_frame(ask.frame)}

    def _name(self, body: Mapping[str, Any]) -> str:
        return fingerprint(self._account, api.PATH, body)


def _may_be_paid(error: BaseException) -> bool:
    """Tell whether a request that ended so may have been charged; what is unforeseen may have."""
    if isinstance(error, GaveUp | TooHeavy):
        return False
    return not isinstance(error, RequestError) or error.charged is not False
