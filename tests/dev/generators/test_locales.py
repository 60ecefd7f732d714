"""ComfyUI's locale files and the page's texts are generated from the strings."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.generators.locales import ROOT, node_definitions
from comfyui_siliconflow.dev.generators.page_locales import (
    COMMANDS,
    SCRIPT,
    files,
    read_texts,
    script,
)
from comfyui_siliconflow.strings.text import DEFAULT, LANGUAGES, Language

PACK = ROOT.parent


def generated(language: Language) -> dict[str, str]:
    return {"nodeDefs.json": node_definitions(language), **files(language)}


def messages(content: Any) -> Iterator[str]:
    """Yield every text in a locale file."""
    if isinstance(content, dict):
        for value in content.values():
            yield from messages(value)
    else:
        yield content


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_committed_files_are_up_to_date(language: Language) -> None:
    """If this fails: `python -m comfyui_siliconflow locales`."""
    for name, content in generated(language).items():
        assert (ROOT / language / name).read_text(encoding="utf-8") == content


def test_the_committed_page_texts_are_up_to_date() -> None:
    """If this fails: `python -m comfyui_siliconflow locales`."""
    assert SCRIPT.read_text(encoding="utf-8") == script()


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_message_holds_syntax_of_comfyui_s_translation_library(language: Language) -> None:
    """In vue-i18n `{` begins a placeholder, `@` a linked message, and `|` separates plurals."""
    for content in generated(language).values():
        answer = list(messages(json.loads(content)))
        assert answer
        assert [message for message in answer if re.search(r"[{}@|]", message)] == []


def test_every_command_and_setting_that_the_page_registers_is_translated() -> None:
    commands = (PACK / "web/js/commands.js").read_text(encoding="utf-8")
    assert set(re.findall(r"^  (\w+): \[\"command\.", commands, re.MULTILINE)) == set(COMMANDS)
    settings = (PACK / "web/js/settings.js").read_text(encoding="utf-8")
    rows = set(re.findall(r"^    ?\[\"(\w+)\", ", settings, re.MULTILINE))
    rows |= set(re.findall(r"\[\[\"(\w+)\", ", settings))
    keys = read_texts()[DEFAULT]
    assert {f"setting.{name}" for name in rows} == {
        key for key in keys if re.fullmatch(r"setting\.\w+", key)
    }


def test_a_third_language_is_one_more_file(tmp_path: Path) -> None:
    """With `strings/xx.json` alone, Python, the page and ComfyUI's locale files speak it."""
    pack = tmp_path / "comfyui_siliconflow"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "tests", "docs", "example_workflows")
    shutil.copytree(PACK, pack, ignore=ignored)
    english = json.loads((pack / "strings/en.json").read_text(encoding="utf-8"))
    marked = {key: _marked(entry) for key, entry in english.items()}
    (pack / "strings/xx.json").write_text(json.dumps(marked), encoding="utf-8")
    assert "xx:" in _run(tmp_path)
    for name in ("nodeDefs.json", "settings.json", "commands.json"):
        content = json.loads((pack / "locales/xx" / name).read_text(encoding="utf-8"))
        assert [text for text in messages(content) if "xx:" not in text] == []
    page = (pack / "web/js/texts.js").read_text(encoding="utf-8")
    assert set(json.loads(page.partition("TEXTS = ")[2].rstrip(";\n"))) == {*LANGUAGES, "xx"}


def _marked(entry: Any) -> Any:
    if isinstance(entry, dict):
        return {name: _marked(wording) for name, wording in entry.items()}
    return f"xx:{entry}"


def _run(folder: Path) -> str:
    """Generate, and print the usage, in one process: to load the pack takes longer than both."""
    program = "from comfyui_siliconflow.__main__ import main\n" + "".join(
        f"main({arguments})\n" for arguments in (["locales"], ["help"], ["--help"])
    )
    environment = {**os.environ, "PYTHONPATH": str(folder), "LANG": "xx_XX.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
