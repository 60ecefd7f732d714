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
SPEAKER = re.compile(r"\[S[12]\]")
"""The mark before what one of the two speakers of a dialogue says."""
_TURNS = re.compile(rf"(?={SPEAKER.pattern})")


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


def turns(text: str, most: int) -> list[str]:
    """Cut a dialogue, `[S1]Hello.[S2]Hi.`, into pieces of at most `most` characters.

    Each begins with the mark of its speaker, but for what stands before the first mark. A turn that
    is too long is cut as any text is, and its mark repeated.
    """
    packed = [""]
    for turn in _TURNS.split(text):
        speaker = SPEAKER.match(turn)
        mark = speaker[0] if speaker else ""
        said = pieces(turn[len(mark) :], most - len(mark)) or [""]
        for part in (mark + piece for piece in said):
            if len(packed[-1]) + len(part) > most:
                packed.append("")
            packed[-1] += part
    return [piece for piece in packed if SPEAKER.sub("", piece).strip()]


def _cut(text: str, most: int) -> int:
    """Return the place to cut at: within a word only where there is no other."""
    last = [_last(ends, text, most) for ends in _ENDS]
    late = (place for place in last if place >= most * _LEAST)
    return next(late, max(last) or most)


def _last(ends: re.Pattern[str], text: str, most: int) -> int:
    places = [min(match.end(), most) for match in ends.finditer(text) if match.end(1) <= most]
    return max(places, default=0)
