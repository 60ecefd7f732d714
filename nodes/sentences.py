"""Long texts in pieces that end where a speaker would breathe."""

from __future__ import annotations

import re

_ENDS = (
    re.compile(r"\n\s*"),
    re.compile(r"[。！？…]+[”’」』）]*\s*|[.!?]+[\"'”’)\]]*(?:\s+|$)"),
    re.compile(r"[；：;:]\s*"),
    re.compile(r"[，、,]\s*"),
    re.compile(r"\s+"),
)
"""Where a text may be cut, the best places first."""
_LEAST = 0.5
"""A better place counts if it fills so much of a piece; else a worse one fills more."""


def pieces(text: str, most: int) -> list[str]:
    """Cut a text into pieces of at most `most` characters, which together are the whole text.

    They end with a paragraph, a sentence, a clause or a word, whichever comes late enough.
    """
    found: list[str] = []
    while len(text) > most:
        at = _cut(text[:most])
        found.append(text[:at])
        text = text[at:]
    return [piece for piece in (*found, text) if piece.strip()]


def _cut(text: str) -> int:
    """Give the place to cut at."""
    for ends in _ENDS:
        places = [match.end() for match in ends.finditer(text)]
        if places and places[-1] >= len(text) * _LEAST:
            return places[-1]
    return len(text)
