"""Forms with files (`multipart/form-data`), which some endpoints take in place of JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from urllib3.filepost import encode_multipart_formdata


@dataclass(frozen=True)
class File:
    """A file in a form. Its content is never shown in a repr."""

    name: str
    media_type: str
    content: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the content, which stands for the file in a fingerprint."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


def encode_form(fields: Mapping[str, str | File]) -> tuple[bytes, str]:
    """Return the body of a form, and its media type with the boundary."""
    return encode_multipart_formdata(
        {
            name: (value.name, value.content, value.media_type)
            if isinstance(value, File)
            else value
            for name, value in fields.items()
        }
    )


def with_digests(body: Mapping[str, object]) -> dict[str, object]:
    """Return a request body with a digest in place of each file, for a fingerprint."""
    return {
        name: value.digest if isinstance(value, File) else value for name, value in body.items()
    }
