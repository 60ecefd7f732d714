"""A small dictionary between Chinese and English: the words that requests for pictures are made of.

A translation keeps what the dictionary lacks as it is, so that nothing of a request is lost.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?|\s+|.", re.DOTALL)
MARKS = {"，": ", ", "。": ". ", "！": "! ", "？": "? ", "、": ", ", "：": ": ", "；": "; "}
LONGEST = 6
LONGEST_PHRASE = 3

_TABLES = json.loads((Path(__file__).parent / "glossary.json").read_text(encoding="utf-8"))
TO_ENGLISH: dict[str, str] = _TABLES["words"]
TO_CHINESE = {english: chinese for chinese, english in reversed(TO_ENGLISH.items()) if english}
PATTERNS = [(re.compile(pattern), words) for pattern, words in _TABLES["patterns"]]


def is_chinese(text: str) -> bool:
    """Tell whether a text has Chinese characters."""
    return HAN.search(text) is not None


def to_english(text: str) -> str:
    """Put a Chinese text into English, word by word; any other text stays as it is."""
    if not is_chinese(text):
        return text
    for pattern, words in PATTERNS:
        text = pattern.sub(words, text)
    english = " ".join("".join(_words(text)).split())
    return re.sub(r"\s+([,.!?:;])", r"\1", english).strip().strip(",")


def _words(text: str) -> list[str]:
    """Translate from left to right, the longest word first."""
    found: list[str] = []
    at = 0
    while at < len(text):
        lengths = range(min(LONGEST, len(text) - at), 0, -1)
        length = next((each for each in lengths if text[at : at + each] in TO_ENGLISH), 0)
        if length:
            found.append(f" {TO_ENGLISH[text[at : at + length]]} ")
        else:
            found.append(MARKS.get(text[at], text[at]))
        at += max(1, length)
    return found


def to_chinese(text: str) -> str:
    """Put an English text into Chinese, word by word; what is Chinese stays as it is."""
    words = WORD.findall(text)
    found: list[str] = []
    at = 0
    while at < len(words):
        for length in range(min(2 * LONGEST_PHRASE - 1, len(words) - at), 0, -1):
            phrase = "".join(words[at : at + length]).lower()
            if phrase in TO_CHINESE:
                found.append(TO_CHINESE[phrase])
                break
        else:
            length = 1
            found.append(words[at])
        at += length
    return re.sub(r"(?<=[\u3400-\u9fff]) +(?=[\u3400-\u9fff])", "", "".join(found))
