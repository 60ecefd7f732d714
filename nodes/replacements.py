"""Nodes of other packs, and ours that take their place where those packs are not installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..comfyui import host

FILE = Path(__file__).with_name("replaced_nodes.json")


def register() -> None:
    """Tell ComfyUI of every node that `replaced_nodes.json` has; ComfyUI 0.33 and later ask."""
    host.register_replacements(replacements())


def replacements() -> list[dict[str, Any]]:
    """Return the arguments of ComfyUI's `NodeReplace` for each."""
    nodes = json.loads(FILE.read_text(encoding="utf-8"))["nodes"]
    return [
        {
            "old_node_id": old,
            "new_node_id": row["node"],
            "old_widget_ids": row["widgets"],
            "input_mapping": [
                *({"new_id": new, "old_id": name} for new, name in row["inputs"].items()),
                *(
                    {"new_id": new, "set_value": value}
                    for new, value in row.get("values", {}).items()
                ),
            ],
            "output_mapping": [
                {"old_idx": int(before), "new_idx": after}
                for before, after in row["outputs"].items()
            ],
        }
        for old, row in nodes.items()
    ]
