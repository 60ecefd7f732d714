"""Generates the help pages of the nodes: prose from `help/`, facts from nodes and catalogue.

ComfyUI's page shows `web/docs/<node id>/<language>.md`, or `web/docs/<node id>.md` where the pack
has no page in the user's language. It resolves image links from `web/docs/` on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...nodes import NODE_CLASS_MAPPINGS
from ...nodes.widgets import description
from ...strings.text import DEFAULT, LANGUAGES, Language, text
from .help_tables import Page, inputs_table, models_list, outputs_table, prices_list

ROOT = Path(__file__).parents[2] / "web" / "docs"
PROSE = Path(__file__).parent / "help"
PLACEHOLDER = re.compile(r"^\{([\w-]+)\}$", re.MULTILINE)
"""A line of prose that is replaced by a table, a list, or prose that pages share."""
_HEAD = """\
<!-- Generated from strings/ and dev/generators/help/ by `python -m comfyui_siliconflow help`: \
do not edit. -->

"""
_FACTS: dict[str, Callable[[Page], str]] = {
    "inputs": inputs_table,
    "outputs": outputs_table,
    "models": models_list,
    "prices": prices_list,
}


def write() -> int:
    """Write the pages of every node."""
    for name, content in pages().items():
        file = ROOT / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
        print(file)
    return 0


def languages() -> list[Language]:
    """Return the languages that have prose. ComfyUI shows the default page in all others."""
    return [language for language in LANGUAGES if list(PROSE.glob(f"*.{language}.md"))]


def pages() -> dict[str, str]:
    """Return every page by its path in `web/docs`."""
    contents: dict[str, str] = {}
    for node_id, node in NODE_CLASS_MAPPINGS.items():
        for language in languages():
            contents[f"{node_id}/{language}.md"] = _page(node_id, node, language)
        contents[f"{node_id}.md"] = contents[f"{node_id}/{DEFAULT}.md"]
    return contents


def prose(name: str, language: Language) -> str:
    """Return the prose of a task, or of a name in `shared/`."""
    return (PROSE / f"{name}.{language}.md").read_text(encoding="utf-8")


def _page(node_id: str, node: Any, language: Language) -> str:
    page = Page(node, language)
    title = page.render(text(f"node.{page.task}.name"))
    has_image = (ROOT / node_id / f"{language}.png").is_file()
    image = f"![{title}]({node_id}/{language if has_image else DEFAULT}.png)"
    head = f"{_HEAD}{page.render(description(page.task))}\n\n{image}"
    return f"{head}\n\n{_fill(prose(page.task, language), page)}"


def _fill(prose_text: str, page: Page) -> str:
    def content(placeholder: re.Match[str]) -> str:
        name = placeholder.group(1)
        if name in _FACTS:
            return _FACTS[name](page)
        return _fill(prose(f"shared/{name}", page.language), page).strip()

    return PLACEHOLDER.sub(content, prose_text)
