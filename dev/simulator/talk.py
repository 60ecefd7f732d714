"""A conversation as the one who answers it sees it: what is wanted, of what, in which language."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .glossary import is_chinese
from .inputs import Sent

TRANSLATE = re.compile(r"translat|翻译|译成|译为", re.IGNORECASE)
PROMPT = re.compile(r"\bprompts?\b|提示词|画面描述", re.IGNORECASE)
SCENES = re.compile(
    r"storyboard|\bscenes?\b|\bshots?\b|\bpanels?\b|分镜|场景|镜头|画面", re.IGNORECASE
)
JSON_WORD = re.compile(r"\bjson\b", re.IGNORECASE)
IN_ENGLISH = re.compile(r"\b(in|into|to) english\b|英文|英语|English only", re.IGNORECASE)
IN_CHINESE = re.compile(r"\b(in|into|to) (simplified )?chinese\b|中文|汉语", re.IGNORECASE)
COUNT = re.compile(
    r"\b(two|three|four|five|six|seven|eight|[2-9]|1[0-9])\b"
    r"|([两二三四五六七八2-9]|1[0-9])\s*(?:个|幕|段|张|幅|格)",
    re.IGNORECASE,
)
ABOUT = re.compile(r"(?:\babout\b|关于|讲述)\s*([^.。!！\n]+)", re.IGNORECASE)
KEYS = re.compile(r"[\"“”`'‘’]([A-Za-z_]\w{1,30})[\"“”`'‘’]")
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
NUMBERS |= {"两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8}
SCENES_BY_DEFAULT = 4


@dataclass(frozen=True)
class Talk:
    """A conversation, put in order."""

    system: str
    said: tuple[str, ...]
    pictures: tuple[Sent, ...]
    form: Mapping[str, Any]
    variation: str

    @property
    def last(self) -> str:
        """What the user said last."""
        return self.said[-1].strip()

    @property
    def orders(self) -> str:
        """Where to look for what is wanted."""
        return f"{self.last}\n{self.system}"

    @property
    def language(self) -> str:
        """The language to answer in: as told, else as the user wrote."""
        for text in (self.last, self.system):
            found = {"en": IN_ENGLISH.search(text), "zh": IN_CHINESE.search(text)}
            wanted = [name for name, match in found.items() if match]
            if len(wanted) == 1:
                return wanted[0]
        return "zh" if is_chinese(self.last) else "en"

    @property
    def subject(self) -> str:
        """What the words are about: a paragraph of its own, or what follows a colon or `about`."""
        if not any(wish.search(self.last) for wish in (TRANSLATE, PROMPT, SCENES, JSON_WORD)):
            return self.last
        _, _, rest = self.last.partition("\n\n")
        about = ABOUT.search(self.last)
        if not rest and about:
            rest = about[1]
        rest = rest or re.split(r"[:：]\s*|\n", self.last, maxsplit=1)[-1]
        return rest.strip().strip('“”"') or self.last

    @property
    def scene_count(self) -> int:
        """How many scenes are wanted."""
        found = COUNT.search(self.orders)
        word = (found[1] or found[2]).lower() if found else ""
        return NUMBERS.get(word) or (int(word) if word else SCENES_BY_DEFAULT)

    @property
    def keys(self) -> list[str]:
        """The names that the request puts in quotation marks: fields of the JSON it wants."""
        return list(dict.fromkeys(KEYS.findall(self.orders)))

    def pick(self, choices: Sequence[str], what: str) -> str:
        """Choose one, always the same for the same request."""
        key = f"{what}/{self.variation}/{self.last}".encode()
        return choices[hashlib.sha256(key).digest()[0] % len(choices)]
