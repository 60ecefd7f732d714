"""What the page says exists in both languages, and nothing that it uses is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.generators.page_locales import COMMANDS, files, read_texts
from comfyui_siliconflow.strings.text import Language

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "web" / "js").rglob("*.js"))
TEXTS = read_texts()

QUOTED = re.compile(r'"([a-z_]+\.[A-Za-z_.]+)"')
MADE = re.compile(r"`([a-z_]+\.)\$\{")
HOLE = re.compile(r"\{(\w+)\}")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
SAME_IN_BOTH = {
    "app.name",
    "key.placeholder",
    "failure.trace",
    "failure.times",
    "jobs.tab",
}
SAME_IN_BOTH |= {"jobs.workflow_name", "jobs.announce", "unit.gib", "format.png"}


def code(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def sentences(text: Any) -> list[str]:
    return list(text.values()) if isinstance(text, dict) else [text]


def used_keys() -> set[str]:
    """Give the keys that stand in the scripts, in whatever way they are used."""
    beginnings = {key.split(".")[0] for key in TEXTS["en"]}
    others = [code(file) for file in SCRIPTS if file.name != "texts.js"]
    found = {key for text in others for key in QUOTED.findall(text)}
    return {key for key in found if key.split(".")[0] in beginnings and not key.endswith(".js")}


def used_beginnings() -> set[str]:
    return {start for file in SCRIPTS for start in MADE.findall(code(file))}


def test_both_languages_have_the_same_keys() -> None:
    assert set(TEXTS["en"]) == set(TEXTS["zh"])


@pytest.mark.parametrize("key", TEXTS["en"])
def test_both_languages_have_the_same_holes(key: str) -> None:
    holes = [
        {hole for sentence in sentences(TEXTS[language][key]) for hole in HOLE.findall(sentence)}
        for language in ("en", "zh")
    ]
    assert holes[0] == holes[1]


@pytest.mark.parametrize("key", sorted(set(TEXTS["zh"]) - SAME_IN_BOTH))
def test_chinese_is_chinese_and_english_is_not(key: str) -> None:
    assert all(CHINESE.search(sentence) for sentence in sentences(TEXTS["zh"][key]))
    assert not any(CHINESE.search(sentence) for sentence in sentences(TEXTS["en"][key]))


def test_every_key_that_a_script_uses_exists() -> None:
    keys = used_keys()
    assert "jobs.title" in keys
    assert keys - set(TEXTS["en"]) == set()


def test_every_text_is_used() -> None:
    made = tuple(used_beginnings())
    assert "state." in made
    unused = [key for key in TEXTS["en"] if key not in used_keys() and not key.startswith(made)]
    assert unused == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_locale_files_are_up_to_date(language: Language) -> None:
    """If this fails: `python -m comfyui_siliconflow locales`."""
    for name, content in files(language).items():
        assert (ROOT / "locales" / language / name).read_text(encoding="utf-8") == content


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_locale_files_hold_no_sign_that_the_page_would_interpret(language: Language) -> None:
    """The page's translations give `{`, `@` and `|` a meaning."""
    for content in files(language).values():
        said = re.findall(r': "(.*)"', content)
        assert said
        assert not [text for text in said if re.search(r"[{}@|]", text)]


def test_every_command_and_setting_that_is_registered_is_translated() -> None:
    commands = set(
        re.findall(r"^  (\w+): \[\"command\.", code(ROOT / "web/js/commands.js"), re.MULTILINE)
    )
    assert commands == set(COMMANDS)
    rows = set(re.findall(r"^    ?\[\"(\w+)\", ", code(ROOT / "web/js/settings.js"), re.MULTILINE))
    rows |= set(re.findall(r"\[\[\"(\w+)\", ", code(ROOT / "web/js/settings.js")))
    assert {f"setting.{name}" for name in rows} == {
        key for key in TEXTS["en"] if re.fullmatch(r"setting\.\w+", key)
    }


def test_the_user_is_spoken_to_in_one_way() -> None:
    """As 你: the politer 您 in some places only would read as if two had written it."""
    spoken = [*SCRIPTS, *(ROOT / "locales").rglob("*.json"), ROOT / "README.zh-CN.md"]
    for package in ("nodes", "siliconflow", "media"):
        spoken += [*(ROOT / package).rglob("*.py"), *(ROOT / package).rglob("*.json")]
    assert [file.name for file in spoken if "您" in code(file)] == []
