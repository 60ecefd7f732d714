"""Tokens: the pieces that text is counted in and streamed in."""

from __future__ import annotations

import re

# A Chinese, Japanese or Korean character is one token; other words are cut into pieces of six.
PIECE = re.compile(
    r"[\u3000-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]| ?\w{1,6}|\s+|.", re.DOTALL
)
PATCH = 28
LOW_DETAIL = 85


def split(text: str) -> list[str]:
    """Cut a text into tokens; put together they are the text again."""
    return PIECE.findall(text)


def count(text: str) -> int:
    """Count the tokens of a text."""
    return len(split(text))


def count_picture(size: tuple[int, int], detail: str) -> int:
    """Count the tokens of a picture: one for each square of 28 pixels, few at low detail."""
    if detail == "low":
        return LOW_DETAIL
    return -(-size[0] // PATCH) * -(-size[1] // PATCH)
