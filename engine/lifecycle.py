"""One request, all the way: encode, look in the ledger, send, record, download, decode.

All of it runs in a thread. The ledger is told before each step that cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from ..siliconflow.client import Client
from ..siliconflow.errors import Failure, RequestError, Unforeseen
from ..siliconflow.http.multipart import with_digests
from ..storage.fingerprints import account_of, fingerprint
from ..storage.ledger import Entry, Ledger, ResponseMetadata, State
from ..storage.settings import Settings
from ..strings.text import SiliconFlowError, Text
from ..tasks.plan import Plan, PlannedRequest
from .endpoint import ApiRequest
from .job import STAGES, Growing, Job, Origin, Result, RunEnded
from .rate_limit import TooHeavy
from .receiving import DamagedFile, Receiver
from .recording import FallibleLedger
from .sending import Sender, gate_of
from .single_flight import SingleFlight
from .uploads import Uploads

_FLIGHTS: SingleFlight[Result, Growing] = SingleFlight()
_ORIGINS: dict[State, Origin] = {"stored": "reused", "answered": "downloaded"}
_FEWER = Text("{came} of {asked} pictures came.", "要了 {asked} 张，只收到 {came} 张。")


class RequestLifecycle:
    """What all requests of one run have in common."""

    def __init__(self, settings: Settings, client: Client, ledger: Ledger, plan: Plan) -> None:
        """Send nothing yet."""
        model, account = plan.model.id, account_of(settings.require_key(), settings.base_url)
        most_pixels = int(settings.most_megapixels * 1_000_000)
        self._account, self._client, self._endpoint = account, client, plan.endpoint
        self._reuse = settings.reuse
        self.uploads = Uploads(plan, settings)
        self._records = FallibleLedger(ledger, model, reuse=settings.reuse)
        gate = gate_of(account, model, plan.endpoint)
        self._sender = Sender(client, self._records, gate, settings.longest_wait, plan.endpoint)
        self._collector = Receiver(client, self._records, model, most_pixels, plan.endpoint)

    @property
    def makes_pictures(self) -> bool:
        """Whether the limits on pictures are for what this run makes."""
        return self._endpoint.makes_pictures

    def take(self, job: Job) -> None:
        """Take a job to its end; what went wrong is left in `job.error`."""
        try:
            self._obtain(job, job.ask)
            job.stage = STAGES
        except SiliconFlowError as error:
            job.error = error
        except RunEnded:
            return
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not hide what was paid
            job.error = _unforeseen(error, str(job.ask.body["model"]))
        finally:
            job.in_line.set()
            self.uploads.release(job.ask.frame)

    def unpaid(self, job: Job) -> int:
        """Count the pictures that would be paid, were the job run now."""
        try:
            return self._unpaid(job, job.ask)
        finally:
            self.uploads.drop(job.ask.frame)

    def discard(self, jobs: Sequence[Job]) -> None:
        """Let the ledger forget what jobs brought, which the node can make nothing of."""
        for job in jobs:
            for result in job.results:
                self._records.discard(job, result.request)

    def _unpaid(self, job: Job, ask: PlannedRequest) -> int:
        if self._is_paid(job, ask):
            return 0
        if not self._is_split(job, ask):
            return ask.count
        return sum(self._unpaid(job, half) for half in ask.halves())

    def _is_paid(self, job: Job, ask: PlannedRequest) -> bool:
        name = self._name(ask)
        return self._records.is_paid(job, name) or (self._reuse and _FLIGHTS.has(name))

    def _is_split(self, job: Job, ask: PlannedRequest) -> bool:
        """Tell whether parts of a request were paid one by one, because a limit asked for it."""
        return ask.count > 1 and any(
            self._is_paid(job, half) or self._is_split(job, half) for half in ask.halves()
        )

    def _obtain(self, job: Job, ask: PlannedRequest) -> None:
        """Get the pictures of a request, in two parts where the rate limit asks for it."""
        result = None
        if self._is_paid(job, ask) or not self._goes_in_parts(job, ask):
            with suppress(TooHeavy):
                result = self._shared(job, ask)
        if result:
            job.results.append(result)
            self._show_joined(job, result)
            return
        for half in ask.halves():
            self._obtain(job, half)

    def _show_joined(self, job: Job, result: Result) -> None:
        """Show what another node waited for: its own pictures were shown as they came."""
        for picture in result.pictures if result.origin == "joined" else ():
            job.arrived(picture)

    def _goes_in_parts(self, job: Job, ask: PlannedRequest) -> bool:
        return self._sender.is_too_heavy(ask.count) or self._is_split(job, ask)

    def _shared(self, job: Job, ask: PlannedRequest) -> Result:
        """Take a request, together with whoever asks for the same at the same time."""
        if job.ends.is_set():
            raise RunEnded
        name = self._name(ask)
        job.stage = max(job.stage, 1)
        for note in self.uploads.scaled(ask.frame):
            job.note(note)
        if not self._reuse:
            return self._found_or_sent(job, ask, name)
        while True:
            work = partial(self._found_or_sent, job, ask, name)
            try:
                result, joined = _FLIGHTS.share(name, work, job.growing, job.join)
            except RunEnded:
                if job.ends.is_set():
                    raise
                continue  # the run that this one joined was cancelled before it sent anything
            return replace(result, origin="joined") if joined else result

    def _found_or_sent(self, job: Job, ask: PlannedRequest, name: str) -> Result:
        """Take what the ledger has, else send; a damaged file is looked for once more."""
        for _ in range(1 + ask.count):
            entry = self._records.claim(job, name)
            if entry is None or entry.state == "new":
                return self._paid(job, ask, entry)
            with suppress(DamagedFile):
                pictures = self._collector.kept(job, entry, entry.facts, entry.pictures)
                if any(self._endpoint.is_gone(self._client, item) for item in pictures):
                    self._records.failed(job, entry, paid=False)
                    continue
                _note_missing(job, ask, len(pictures))
                return Result(pictures, entry.facts, _ORIGINS[entry.state], entry.id)
        return self._paid(job, ask, None)

    def _paid(self, job: Job, ask: PlannedRequest, entry: Entry | None) -> Result:
        """Send the request, and tell the ledger what came of it."""
        try:
            order = ApiRequest(ask.body, self.uploads.urls(ask.frame))
            found = self._sender.send(job, entry, ask.count, order)
        except BaseException as error:
            self._records.failed(job, entry, paid=_may_be_paid(error))
            raise
        job.stage = max(job.stage, 2)
        facts = ResponseMetadata(found.trace_id, found.seed, found.inference, found.seconds)
        pictures = self._collector.answered(job, entry, facts, found.sources)
        _note_missing(job, ask, len(pictures))
        return Result(pictures, facts, "paid", entry.id if entry else "")

    def _name(self, ask: PlannedRequest) -> str:
        body = {**with_digests(ask.body), **self.uploads.digests(ask.frame)}
        return fingerprint(self._account, self._endpoint.path, body)


def _note_missing(job: Job, ask: PlannedRequest, came: int) -> None:
    if came != ask.count:
        job.note(_FEWER.format(came=came, asked=ask.count))


def _unforeseen(error: Exception, model: str) -> Unforeseen:
    found = Unforeseen(Failure(f"{type(error).__name__}: {error}"[:300], model=model))
    found.__cause__ = error
    return found


def _may_be_paid(error: BaseException) -> bool:
    """Tell whether a request that ended so may have been charged; what is unforeseen may have."""
    if isinstance(error, RunEnded | TooHeavy):
        return False
    return not isinstance(error, RequestError) or error.charged is not False
