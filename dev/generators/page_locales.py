"""Writes the locale files of settings, commands and menu from the page's own texts.

ComfyUI translates these three itself, from `locales/`; all else the page takes from the same texts.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ...strings.text import Language

ROOT = Path(__file__).parent.parent
TEXTS = ROOT / "web" / "js" / "texts.js"
PREFIX = "SiliconFlow"

COMMANDS = {
    "SetKey": "command.set_key",
    "ShowJobs": "command.show_jobs",
    "RefreshModels": "command.refresh_models",
    "OpenSettings": "command.open_settings",
}
"""Ids of commands, as web/js/commands.js registers them, and their texts."""

Texts = dict[str, Any]


def read_texts() -> dict[Language, Texts]:
    """Read texts.js, which is JSON but for its frame and the commas at line ends."""
    source = TEXTS.read_text(encoding="utf-8")
    content = source[source.index("export const TEXTS = ") + 21 :].rstrip().rstrip(";")
    read: dict[Language, Texts] = json.loads(re.sub(r",(\s*[}\]])", r"\1", content))
    return read


def files(language: Language) -> dict[str, str]:
    """Give the contents of each locale file by name."""
    texts = read_texts()
    contents = {
        "settings.json": _settings(texts[language]),
        "commands.json": _commands(texts[language]),
        "main.json": _main(texts["en"], texts[language]),
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
