"""Gets the pictures of an answered request: from the answer, from disk, or by download."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..media.image_files import decode
from ..media.media_error import MediaError
from ..siliconflow.client import Client
from ..siliconflow.errors import BadAnswer, BadPicture, Failure, RequestError
from ..storage.ledger import Entry, ResponseMetadata, StoredFile
from ..strings.text import Text
from .endpoint import PICTURES, Endpoint
from .job import Job
from .recording import FallibleLedger
from .threads import CPU

PARALLEL_DOWNLOADS = 4


class DamagedFile(Exception):
    """A stored picture cannot be decoded any more; the ledger knows by now."""


@dataclass(frozen=True)
class Answered:
    """An answered request whose pictures are wanted: `count` of them were named."""

    job: Job
    entry: Entry | None
    facts: ResponseMetadata
    count: int


class Receiver:
    """Collects the pictures of one run's requests; each is on disk before it is handed on."""

    def __init__(
        self,
        client: Client,
        records: FallibleLedger,
        model: str,
        most_pixels: int,
        endpoint: Endpoint = PICTURES,
    ) -> None:
        """Fetch nothing yet."""
        self._client = client
        self._endpoint = endpoint
        self._records = records
        self._model = model
        self._most_pixels = most_pixels

    def answered(
        self, job: Job, entry: Entry | None, facts: ResponseMetadata, sources: Sequence[str | bytes]
    ) -> list[Any]:
        """Record an answer, then get its pictures; a file inside it is stored before that."""
        for place, source in enumerate(sources):
            if isinstance(source, bytes):
                self._records.store(job, entry, place, len(sources), source)
        urls = [source if isinstance(source, str) else None for source in sources]
        self._records.answered(job, entry, facts, urls)
        kept = [
            StoredFile(place, item, None) if isinstance(item, str) else item
            for place, item in enumerate(sources)
        ]
        return self.kept(job, entry, facts, kept)

    def kept(
        self,
        job: Job,
        entry: Entry | None,
        facts: ResponseMetadata,
        pictures: Sequence[StoredFile | bytes],
    ) -> list[Any]:
        """Decode every picture, fetching and storing those that are not here yet.

        One that fails does not keep the others from being stored; then its error is raised:
        `DownloadFailed`, `BadPicture`, `BadAnswer` for a file inside an answer that is no
        picture, or `DamagedFile` for a stored one.
        """
        answered = Answered(job, entry, facts, len(pictures))
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            found = list(pool.map(lambda item: self._tried(answered, item), pictures))
        errors = [item for item in found if isinstance(item, Exception)]
        if errors:
            raise errors[0]
        if entry and entry.state != "stored":
            self._records.finish(job, entry)
        return [item for item in found if not isinstance(item, Exception)]

    def _tried(self, answered: Answered, kept: StoredFile | bytes) -> Any:
        try:
            picture = self._picture(answered, kept)
        except (RequestError, DamagedFile) as error:
            return error
        answered.job.arrived(picture)
        return picture

    def _picture(self, answered: Answered, kept: StoredFile | bytes) -> Any:
        if isinstance(kept, bytes):
            return self._decoded(kept, answered.facts, BadAnswer)
        if kept.file:
            return self._stored(answered, kept.place, kept.file)
        content, picture = self._downloaded(str(kept.url), answered.facts)
        self._records.store(answered.job, answered.entry, kept.place, answered.count, content)
        return picture

    def _downloaded(self, url: str, facts: ResponseMetadata) -> tuple[bytes, Any]:
        """Fetch a picture and decode it whole; once more from the start if it is damaged."""
        content = self._client.download(url, self._model, facts.trace_id)
        try:
            return content, self._decoded(content, facts)
        except BadPicture:
            content = self._client.download(url, self._model, facts.trace_id)
            return content, self._decoded(content, facts)

    def _stored(self, answered: Answered, place: int, file: Path) -> Any:
        """Decode a stored picture. Only a file that can be read and not decoded is damaged."""
        facts = answered.facts
        try:
            content = file.read_bytes()
        except OSError as error:
            noun = self._endpoint.noun
            said = Text(
                f"{noun.en} was stored and cannot be read: {error}",
                f"无法读取已保存的{noun.zh}：{error}",
            )
            raise BadPicture(Failure(said, model=self._model, trace_id=facts.trace_id)) from None
        try:
            return self._decoded(content, facts)
        except BadPicture:
            if self._endpoint.makes_pictures and _is_large(content, self._most_pixels):
                raise
            self._records.damaged(answered.job, answered.entry, place)
            raise DamagedFile from None

    def _decoded(
        self, content: bytes, facts: ResponseMetadata, kind: type[RequestError] = BadPicture
    ) -> Any:
        try:
            with CPU:
                return self._endpoint.decode(content, self._most_pixels)
        except MediaError as error:
            noun = self._endpoint.noun
            said = Text(f"{noun.en} {error.text.en}", f"{noun.zh}{error.text.zh}")
            raise kind(Failure(said, model=self._model, trace_id=facts.trace_id)) from None


def _is_large(content: bytes, most_pixels: int) -> bool:
    """Tell whether a file is whole, and only beyond the limit of the settings."""
    try:
        decode(content)
    except MediaError:
        return False
    return most_pixels > 0
