"""Writes the help pages of the nodes: prose from `help/`, facts from nodes and catalogue.

ComfyUI's page shows `web/docs/<node id>/<language>.md`, and `web/docs/<node id>.md` in a language
that we do not speak. It looks for pictures from `web/docs/` on, whatever
the folder of the pack is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...nodes import NODE_CLASS_MAPPINGS
from ...nodes.widgets import description
from ...strings.text import LANGUAGES, Language, text
from .help_tables import Page, inputs_table, models_list, outputs_table

ROOT = Path(__file__).parents[2] / "web" / "docs"
PROSE = Path(__file__).parent / "help"
HOLE = re.compile(r"^\{([\w-]+)\}$", re.MULTILINE)
"""A line of prose that stands for facts, or for prose that several pages share."""
_FACTS: dict[str, Callable[[Page], str]] = {
    "inputs": inputs_table,
    "outputs": outputs_table,
    "models": models_list,
}


def write() -> int:
    """Write the pages of every node."""
    for name, content in pages().items():
        file = ROOT / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        print(file)
    return 0


def pages() -> dict[str, str]:
    """Give every page by its path in `web/docs`."""
    found: dict[str, str] = {}
    for node_id, node in NODE_CLASS_MAPPINGS.items():
        for language in LANGUAGES:
            found[f"{node_id}/{language}.md"] = page(node_id, node, language)
        found[f"{node_id}.md"] = found[f"{node_id}/en.md"]
    return found


def page(node_id: str, node: Any, language: Language) -> str:
    """Give the page of one node in one language."""
    about = Page(node, language)
    title = text(f"node.{about.task}.name").in_language(language)
    picture = f"![{title}]({node_id}/{language}.png)"
    head = f"{description(about.task).in_language(language)}\n\n{picture}"
    return f"{head}\n\n{_filled(prose(about.task, language), about)}"


def prose(name: str, language: Language) -> str:
    """Give what is told in words of a task, or under a name that pages share."""
    return (PROSE / f"{name}.{language}.md").read_text(encoding="utf-8")


def _filled(text: str, about: Page) -> str:
    def content(hole: re.Match[str]) -> str:
        name = hole.group(1)
        if name in _FACTS:
            return _FACTS[name](about)
        return _filled(prose(f"shared/{name}", about.language), about).strip()

    return HOLE.sub(content, text)
