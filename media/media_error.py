"""The error of an image or of audio that cannot be used."""

from __future__ import annotations

from ..strings.text import Text


class MediaError(ValueError):
    """An image or audio cannot be encoded or decoded.

    `text` is the reason without a subject, such as "is cut off": whoever shows it names the file
    or the input.
    """

    def __init__(self, text: Text) -> None:
        """Store the reason in every language."""
        super().__init__(text)
        self.text = text


class TooManyPixels(MediaError):
    """An image of more pixels than the caller allows; the file itself may well be whole."""


class PillowLimit(TooManyPixels):
    """An image of more pixels than Pillow is set to accept, which any pack may have lowered."""
