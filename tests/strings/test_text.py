"""Every word that a user reads is there in every language, and is used."""

from __future__ import annotations

import re
from contextvars import copy_context
from copy import copy

import pytest
from comfyui_siliconflow.strings.text import (
    DEFAULT,
    LANGUAGES,
    Entry,
    SiliconFlowError,
    Text,
    entries_of,
    join,
    language_of,
    text,
    use_language,
)

PLACEHOLDER = re.compile(r"\{(\w+)\}")


def wordings(entry: Entry) -> list[str]:
    return [entry] if isinstance(entry, str) else list(entry.values())


def placeholders(entry: Entry) -> set[str]:
    return {name for wording in wordings(entry) for name in PLACEHOLDER.findall(wording)}


def test_english_and_chinese_are_there() -> None:
    assert {"en", "zh"} <= set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_has_every_key_in_the_same_order(language: str) -> None:
    assert entries_of(language)
    assert list(entries_of(language)) == list(entries_of(DEFAULT))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_fills_the_same_placeholders(language: str) -> None:
    assert any(map(placeholders, entries_of(language).values()))
    for key, entry in entries_of(language).items():
        assert placeholders(entry) == placeholders(entries_of(DEFAULT)[key]), key


def test_a_message_is_filled_in_every_language() -> None:
    said = Text(*(f"{language} {{name}}" for language in LANGUAGES)).format(name="x")
    assert [said.in_language(language) for language in LANGUAGES] == [f"{x} x" for x in LANGUAGES]


def test_a_message_within_a_message_keeps_to_its_language() -> None:
    inner = Text(*LANGUAGES)
    assert Text("<{inner}>").format(inner=inner) == Text(*(f"<{x}>" for x in LANGUAGES))


def test_a_single_wording_stands_in_every_language() -> None:
    assert set(Text("Qwen")) == {"Qwen"}


def test_messages_are_joined_language_by_language() -> None:
    assert join("+", [Text(*LANGUAGES), "x"]) == Text(*(f"{x}+x" for x in LANGUAGES))


def test_a_message_is_shown_in_the_language_in_use() -> None:
    said = Text(*LANGUAGES)
    use_language("zh")
    assert str(said) == "zh"
    use_language("en")
    assert str(said) == "en"


def test_a_language_is_in_use_where_it_was_chosen_and_nowhere_else() -> None:
    said = Text(*LANGUAGES)
    copy_context().run(use_language, "zh")
    assert str(said) == "en"
    chinese = copy_context()
    chinese.run(use_language, "zh")
    assert chinese.run(str, said) == "zh"


def test_an_error_keeps_the_language_of_the_run_that_it_is_of() -> None:
    chinese = copy_context()
    chinese.run(use_language, "zh")
    error = chinese.run(SiliconFlowError, Text(*LANGUAGES))
    assert str(error) == "zh"
    assert str(copy(error)) == "en"


@pytest.mark.parametrize(
    ("words", "whole"),
    [
        ("a", "a"),
        ("🙂", "🙂"),
        ("\ud83d", "\ufffd"),
        ("\ude42x", "\ufffdx"),
        ("\ud83d\ude42", "🙂"),
    ],
)
def test_half_a_character_is_replaced_in_every_message(words: str, whole: str) -> None:
    assert set(Text(words)) == {whole}
    assert set(Text("<{name}>").format(name=words)) == {f"<{whole}>"}


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(KeyError):
        text("no.such.key")


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("zh-CN", "zh"),
        ("zh_TW.UTF-8", "zh"),
        ("en", "en"),
        ("xx_XX", "en"),
        ("", "en"),
        (None, "en"),
    ],
)
def test_a_locale_names_a_language(locale: str | None, language: str) -> None:
    assert language_of(locale) == language
