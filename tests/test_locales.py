"""ComfyUI's locale files are those that the nodes and the catalogue make."""

from pathlib import Path

import pytest
from comfyui_siliconflow.dev.generators.locales import node_definitions
from comfyui_siliconflow.strings.text import Language

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_committed_file_is_up_to_date(language: Language) -> None:
    """If this fails: `python -m comfyui_siliconflow locales`."""
    committed = (ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8")
    assert committed == node_definitions(language)
