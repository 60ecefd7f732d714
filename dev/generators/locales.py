"""Generates ComfyUI's locale files of the nodes from the strings and the catalogue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...nodes import NODE_CLASS_MAPPINGS
from ...nodes.base import Node
from ...nodes.widgets import description, input_tooltip, label, tooltip
from ...strings.text import LANGUAGES, Language, text
from . import page_locales

ROOT = Path(__file__).parents[2] / "locales"


def write() -> int:
    """Write the locale files of every language, and the page's texts."""
    page_locales.SCRIPT.write_text(page_locales.script(), encoding="utf-8")
    print(page_locales.SCRIPT)
    for language in LANGUAGES:
        files = {"nodeDefs.json": node_definitions(language), **page_locales.files(language)}
        for name, content in files.items():
            file = ROOT / language / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
            print(file)
    return 0


def node_definitions(language: Language) -> str:
    """Return the contents of `nodeDefs.json`: names and tooltips of every node."""
    nodes = {name: _node(node, language) for name, node in NODE_CLASS_MAPPINGS.items()}
    return json.dumps(nodes, ensure_ascii=False, indent=2) + "\n"


def _node(node: type[Node], language: Language) -> dict[str, Any]:
    names = (*node.required, *node.optional)
    return {
        "display_name": text(f"node.{node.task}.name").in_language(language),
        "description": description(node.task).in_language(language),
        "inputs": {name: _input(node.task, name, language) for name in names},
        "outputs": {
            str(at): _output(node.task, name, language) for at, name in enumerate(node.outputs)
        },
    }


def _input(task: str, name: str, language: Language) -> dict[str, str]:
    return {
        "name": label(name).in_language(language),
        "tooltip": input_tooltip(task, name).in_language(language),
    }


def _output(task: str, name: str, language: Language) -> dict[str, str]:
    return {
        "name": text(f"output.{name}.name").in_language(language),
        "tooltip": tooltip("output", task, name).in_language(language),
    }
