"""The words that the pack has for its users, by key: a test about them never copies them."""

from __future__ import annotations

import json
from functools import cache

from comfyui_siliconflow.tests.host.comfy import ROOT

LONG_NAMES = {"en": "en-US", "zh": "zh-CN"}
"""A language as programs ask for it."""


def words(key: str, language: str, **values: object) -> str:
    """Return the sentence of strings/`language`.json that has this key, with `values` in it.

    Where there is one for one thing and another for several, `n` chooses.
    """
    entry = _strings(language)[key]
    if isinstance(entry, dict):
        entry = entry["one" if values["n"] == 1 else "other"]
    return entry.format(**values)


@cache
def _strings(language: str) -> dict[str, str | dict[str, str]]:
    content: dict[str, str | dict[str, str]] = json.loads(
        (ROOT / "strings" / f"{language}.json").read_text(encoding="utf-8")
    )
    return content
