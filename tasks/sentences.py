"""Long texts in pieces that end where a speaker would breathe."""

from __future__ import annotations

import re

_CLOSING = "[" + re.escape("\"'”’」』）)】》〉]") + "]*"
_ABBREVIATED = ("Dr", "Mr", "Ms", "Mrs", "St", "Prof", "Jr", "Sr", "vs", "Fig", "cf", "ca")
"""What a dot shortens in the midst of a sentence; so does it any single letter, as in `e.g.`."""
_NOT_SHORT = "".join(rf"(?<!\b{word})" for word in ("[A-Za-z]", *_ABBREVIATED))
_ENDS = (
    re.compile(r"()\n\s*"),
    re.compile(
        rf"((?:[。！？…]+|(?:[!?]+|{_NOT_SHORT}\.+)[.!?]*(?={_CLOSING}(?:\s|$|[^\x00-\x7f])))"
        rf"{_CLOSING})\s*"
    ),
    re.compile(rf"((?:[；：]|[;:](?!\d|//)){_CLOSING})\s*"),
    re.compile(rf"((?:[，、]|,(?!\d)){_CLOSING})\s*"),
    re.compile(r"()\s+"),
)
"""Where a text may be cut, the best places first: behind the group, or the blanks after it."""
_LEAST = 0.5
"""A better place counts if it fills so much of a piece; else a worse one fills more."""
_BEYOND = 64
"""Characters behind a piece that are looked at: `3.` may go on with a digit, `。` with a quote."""


def pieces(text: str, most: int) -> list[str]:
    """Cut a text into pieces of at most `most` characters, which together are the whole text.

    They end with a paragraph, a sentence, a clause or a word, whichever comes late enough.
    """
    parts: list[str] = []
    while len(text) > most:
        at = _cut(text[: most + _BEYOND], most)
        parts.append(text[:at])
        text = text[at:]
    return [piece for piece in (*parts, text) if piece.strip()]


def _cut(text: str, most: int) -> int:
    """Return the place to cut at: within a word only where there is no other."""
    last = [_last(ends, text, most) for ends in _ENDS]
    late = (place for place in last if place >= most * _LEAST)
    return next(late, max(last) or most)


def _last(ends: re.Pattern[str], text: str, most: int) -> int:
    places = [min(match.end(), most) for match in ends.finditer(text) if match.end(1) <= most]
    return max(places, default=0)
