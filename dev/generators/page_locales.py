"""Generates the page's texts, and ComfyUI's locale files of settings, commands and menus.

ComfyUI translates settings, commands and menus from `locales/`; the pack's own scripts take all
other texts from `texts.js`. Both are generated from the `page.*` strings.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ...strings.text import DEFAULT, LANGUAGES, Language, entries_of

ROOT = Path(__file__).parents[2]
PREFIX = "SiliconFlow"

COMMANDS = {
    "SetKey": "command.set_key",
    "ShowJobs": "command.show_jobs",
    "RefreshModels": "command.refresh_models",
    "OpenSettings": "command.open_settings",
}
"""The commands' ids, as web/js/commands.js registers them, and the keys of their texts."""

SCRIPT = ROOT / "web" / "js" / "texts.js"
_PAGE = "page."
_HEAD = """\
/**
 * Generated from strings/*.json by `python -m comfyui_siliconflow locales`: do not edit.
 * `{name}` is a placeholder; `{n}` chooses between "one" and "other". Does nothing on import.
 */
export const TEXTS = """

Texts = dict[str, Any]


def read_texts() -> dict[Language, Texts]:
    """Return the page's texts by language and key, without the prefix `page.`."""
    return {
        language: {
            key.removeprefix(_PAGE): entry
            for key, entry in entries_of(language).items()
            if key.startswith(_PAGE)
        }
        for language in LANGUAGES
    }


def script() -> str:
    """Return the contents of `web/js/texts.js`."""
    return f"{_HEAD}{json.dumps(read_texts(), ensure_ascii=False, indent=2)};\n"


def files(language: Language) -> dict[str, str]:
    """Return the contents of each locale file by name."""
    texts = read_texts()
    contents = {
        "settings.json": _settings(texts[language]),
        "commands.json": _commands(texts[language]),
        "main.json": _main(texts[DEFAULT], texts[language]),
    }
    return {name: _as_json(content) for name, content in contents.items()}


def _settings(texts: Texts) -> Texts:
    names = [key.split(".")[1] for key in texts if re.fullmatch(r"setting\.\w+", key)]
    return {
        f"{PREFIX}_{name}": {
            "name": texts[f"setting.{name}"],
            "tooltip": texts[f"setting.{name}.tip"],
        }
        for name in names
    }


def _commands(texts: Texts) -> Texts:
    return {
        f"{PREFIX}_{name}": {"label": f"{PREFIX}: {texts[key]}"} for name, key in COMMANDS.items()
    }


def _main(english: Texts, texts: Texts) -> Texts:
    def translated(beginning: str) -> Texts:
        keys = (key for key in english if key.startswith(beginning))
        return {PREFIX: PREFIX, **{english[key]: texts[key] for key in keys}}

    return {"settingsCategories": translated("group."), "menuLabels": translated("command.")}


def _as_json(content: Texts) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
