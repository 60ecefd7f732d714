"""Data URLs, as tests find them in requests."""

import base64


def file_of(url: str) -> bytes:
    """Return the file in a base64 data URL."""
    return base64.b64decode(url.partition(",")[2], validate=True)
