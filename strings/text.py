"""What a user reads, in English and Chinese, and which of the two is shown."""

from __future__ import annotations

from typing import Literal, NamedTuple

Language = Literal["en", "zh"]

_shown: Language = "en"


class Text(NamedTuple):
    """One sentence in both languages; `str()` gives the one in use."""

    en: str
    zh: str

    def __str__(self) -> str:
        """Give the text in the language that `use` chose last."""
        return self.zh if _shown == "zh" else self.en

    def format(self, **values: object) -> Text:
        """Fill the placeholders of both languages."""
        return Text(self.en.format(**values), self.zh.format(**values))


def use(language: Language) -> None:
    """Show every text in `language` from now on, in the whole process."""
    global _shown  # noqa: PLW0603 - one language a process: the console and the page of one user
    _shown = language


def language_of(locale: str | None) -> Language:
    """Give the language of a locale name such as `zh-CN`, `zh_TW.UTF-8` or `en`."""
    return "zh" if (locale or "").lower().startswith("zh") else "en"
