"""What a user reads: looked up by key in one file a language, and rendered in all of them.

`text("error.MissingKey", folder=folder)` fills `{folder}` in every language. Where a message
depends on a number, its entry holds one wording for `one` and one for `other`, and `{n}` chooses.
A language is a JSON file in this folder: nothing else names the languages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from functools import cache
from pathlib import Path

Language = str
"""The stem of a file in this folder, such as `en`."""
Entry = str | Mapping[str, str]

FOLDER = Path(__file__).parent
DEFAULT: Language = "en"
LANGUAGES: tuple[Language, ...] = (
    DEFAULT,
    *sorted(file.stem for file in FOLDER.glob("*.json") if file.stem != DEFAULT),
)

_in_use: ContextVar[Language] = ContextVar("siliconflow_language", default=DEFAULT)


class Text(tuple[str, ...]):
    """One message in every language, in the order of `LANGUAGES`; `str()` gives the one in use.

    Made of a single argument it is the same in every language: words of the service, names.
    """

    __slots__ = ()

    def __new__(cls, *wordings: str) -> Text:  # noqa: PYI034 - Self is younger than Python 3.10
        """Take one wording for every language, or a single one for all."""
        wordings = wordings * len(LANGUAGES) if len(wordings) == 1 else wordings
        return super().__new__(cls, map(well_formed, wordings))

    def __str__(self) -> str:
        """Return the wording in the language that `use_language` chose here."""
        return self.in_language(_in_use.get())

    def in_language(self, language: Language) -> str:
        """Return the wording in one language."""
        return self[LANGUAGES.index(language)]

    def as_json(self) -> dict[Language, str]:
        """Return the wordings by language, as the page reads them."""
        return dict(zip(LANGUAGES, self, strict=True))

    def format(self, **values: object) -> Text:
        """Return the message with its placeholders filled; a `Text` in its own language."""
        return Text(
            *(
                wording.format(
                    **{
                        name: value[place] if isinstance(value, Text) else value
                        for name, value in values.items()
                    }
                )
                for place, wording in enumerate(self)
            )
        )


class SiliconFlowError(Exception):
    """Anything that the pack raises on purpose. `str()` is in the language in use when it was."""

    def __init__(self, message: Text) -> None:
        """Keep every language, and the one in use: ComfyUI reads the message outside the run."""
        super().__init__(message.in_language(DEFAULT))
        self.text = message
        self.language = _in_use.get()
        self.remedies: Mapping[str, object] = {}

    def __str__(self) -> str:
        """Return the message as the user reads it."""
        return self.text.in_language(self.language)

    def __copy__(self) -> SiliconFlowError:
        """Return the same error for another run, with its language and lines of its own."""
        error = type(self).__new__(type(self), *self.args)
        error.__dict__.update({**self.__dict__, "language": _in_use.get()})
        return error

    def offer(self, **remedies: object) -> None:
        """Keep what the page can offer to do about it: `seed`, `setting`, `site`, `models`."""
        self.remedies = {**self.remedies, **remedies}

    def add(self, line: Text) -> None:
        """Append one more line to the message."""
        self.text = join("\n", (self.text, line))


def text(key: str, **values: object) -> Text:
    """Return the message of a key with its placeholders filled. Raises `KeyError` for no such key.

    A value may be a `Text` itself. `n` also chooses between the wordings for one and for several.
    """
    wordings = Text(*(_wording(entries_of(language)[key], values) for language in LANGUAGES))
    return wordings.format(**values) if values else wordings


def well_formed(words: str) -> str:
    """Return a text with U+FFFD for each half of a surrogate pair, which UTF-8 cannot hold.

    Such a half is what is left of an emoji that was cut in two.
    """
    try:
        words.encode()
    except UnicodeEncodeError:
        return words.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return words


def has_text(key: str) -> bool:
    """Return whether there is a message of this key."""
    return key in entries_of(DEFAULT)


def join(separator: str, parts: Iterable[Text | str]) -> Text:
    """Return messages one after the other as a single one."""
    whole = [part if isinstance(part, Text) else Text(part) for part in parts]
    return Text(*(separator.join(wordings) for wordings in zip(*whole, strict=True)))


@cache
def entries_of(language: Language) -> Mapping[str, Entry]:
    """Return every message of one language by key, as its file has it."""
    entries: dict[str, Entry] = json.loads((FOLDER / f"{language}.json").read_text("utf-8"))
    return entries


def use_language(language: Language) -> None:
    """Show every message in `language` from now on, in this run and its threads alone."""
    _in_use.set(language)


def language_of(locale: str | None) -> Language:
    """Return the language of a locale name such as `zh-CN`, `zh_TW.UTF-8` or `en`."""
    wanted = (locale or "").lower().replace("_", "-").partition("-")[0]
    return wanted if wanted in LANGUAGES else DEFAULT


def _wording(entry: Entry, values: Mapping[str, object]) -> str:
    if isinstance(entry, str):
        return entry
    return entry["one"] if values.get("n") == 1 and "one" in entry else entry["other"]
