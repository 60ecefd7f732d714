"""Forms with files, as some endpoints take them in place of JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from urllib3.filepost import encode_multipart_formdata


@dataclass(frozen=True)
class File:
    """A file that goes with a form. It is known by its content, which is never shown."""

    name: str
    media_type: str
    content: bytes = field(repr=False)

    @cached_property
    def digest(self) -> str:
        """What stands for the file in the name of a request."""
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


def encode(fields: Mapping[str, str | File]) -> tuple[bytes, str]:
    """Give the body of a form, and its media type with the boundary."""
    return encode_multipart_formdata(
        {
            name: (value.name, value.content, value.media_type)
            if isinstance(value, File)
            else value
            for name, value in fields.items()
        }
    )


def named(body: Mapping[str, object]) -> dict[str, object]:
    """Give a body as it stands in the name of a request: files by what is in them."""
    return {
        name: value.digest if isinstance(value, File) else value for name, value in body.items()
    }
