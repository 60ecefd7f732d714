"""Gets the pictures of an answered request: from the answer, from disk, or by download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..media.images import MediaError, decode
from ..siliconflow.client import Client
from ..siliconflow.errors import BadAnswer, BadPicture, Failure, RequestError
from ..siliconflow.ledger import Entry, Facts, Kept
from .job import Job
from .records import Records


class DamagedFile(Exception):
    """A stored picture cannot be read any more."""


class Collector:
    """Collects the pictures of one run's requests; each is on disk before it is handed on."""

    def __init__(self, client: Client, records: Records, model: str, most_pixels: int) -> None:
        """Fetch nothing yet."""
        self._client = client
        self._records = records
        self._model = model
        self._most_pixels = most_pixels

    def answered(
        self, job: Job, entry: Entry | None, facts: Facts, sources: Sequence[str | bytes]
    ) -> list[torch.Tensor]:
        """Record an answer, then get its pictures; a file inside it is stored before that."""
        for place, source in enumerate(sources):
            if isinstance(source, bytes):
                self._records.store(job, entry, place, source)
        urls = [source if isinstance(source, str) else None for source in sources]
        self._records.answered(job, entry, facts, urls)
        kept = [Kept(item, None) if isinstance(item, str) else item for item in sources]
        return self.kept(job, entry, facts, kept)

    def kept(
        self, job: Job, entry: Entry | None, facts: Facts, pictures: Sequence[Kept | bytes]
    ) -> list[torch.Tensor]:
        """Decode every picture, fetching and storing those that are not here yet.

        Raises `DamagedFile` for a stored one that cannot be read, `DownloadFailed`, `BadPicture`,
        or `BadAnswer` for a file inside an answer that is no picture.
        """
        found = [self._picture(job, entry, facts, *item) for item in enumerate(pictures)]
        if entry and entry.state != "stored":
            self._records.finish(job, entry)
        return found

    def _picture(
        self, job: Job, entry: Entry | None, facts: Facts, place: int, kept: Kept | bytes
    ) -> torch.Tensor:
        if isinstance(kept, bytes):
            return self._decoded(kept, facts, BadAnswer)
        if kept.file:
            return self._stored(kept.file)
        content, picture = self._downloaded(str(kept.url), facts)
        self._records.store(job, entry, place, content)
        return picture

    def _downloaded(self, url: str, facts: Facts) -> tuple[bytes, torch.Tensor]:
        """Fetch a picture and decode it whole; once more from the start if it is damaged."""
        content = self._client.download(url, self._model, facts.trace_id)
        try:
            return content, self._decoded(content, facts)
        except BadPicture:
            content = self._client.download(url, self._model, facts.trace_id)
            return content, self._decoded(content, facts)

    def _stored(self, file: Path) -> torch.Tensor:
        try:
            return decode(file.read_bytes(), self._most_pixels)
        except (MediaError, OSError):
            raise DamagedFile from None

    def _decoded(
        self, content: bytes, facts: Facts, kind: type[RequestError] = BadPicture
    ) -> torch.Tensor:
        try:
            return decode(content, self._most_pixels)
        except MediaError as error:
            said = f"a picture {error.en}"
            raise kind(Failure(said, model=self._model, trace_id=facts.trace_id)) from None
