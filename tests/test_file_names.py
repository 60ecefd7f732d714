"""No name of ours is too long for any drive, and no path of ours for Windows.

Seen from the outside: every file that a full run opens for writing, those that are renamed at once
included, and every file that is there at its end, SQLite's own included.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_siliconflow.engine.services import current_settings, ledger_for
from comfyui_siliconflow.storage import settings as settings_module
from comfyui_siliconflow.storage.model_lists import ModelList, save_model_list
from comfyui_siliconflow.storage.notices import LONGEST_BELOW

LONGEST_NAME = 64
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_ILLEGAL = re.compile(r'[<>:"/\\|?*\x00-\x1f]|[. ]$')
_opened: list[Path] = []
_is_listening = False


def _listen(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what is opened or renamed: an audit hook, which can never be taken off again."""
    if _is_listening and event in {"open", "os.rename", "os.mkdir"}:
        names = arguments[:2] if event == "os.rename" else arguments[:1]
        _opened.extend(Path(name) for name in names if isinstance(name, str | Path))


@pytest.fixture
def opened() -> Iterator[list[Path]]:
    """Return what is opened from now on."""
    global _is_listening  # noqa: PLW0603 - see above
    if not _opened:
        sys.addaudithook(_listen)
    _opened.clear()
    _is_listening = True
    yield _opened
    _is_listening = False


def is_portable(name: str) -> bool:
    """Return whether every system takes a file of this name, Windows included."""
    return not _RESERVED.fullmatch(name) and not _ILLEGAL.search(name)


@pytest.mark.parametrize("name", ["con", "NUL.txt", "com1.png", "a.", "a ", "a:b", "a?b", "a\tb"])
def test_windows_does_not_take_every_name(name: str) -> None:
    assert not is_portable(name)
    assert is_portable("console.png")


@pytest.mark.usefixtures("simulator")
def test_every_file_of_a_full_run_has_a_short_and_portable_name(
    tmp_path: Path,
    opened: list[Path],
    outputs_of: Callable[..., dict[str, Any]],
    make_image: Callable[..., torch.Tensor],
) -> None:
    folder = tmp_path / "data"
    kolors = {"model": "Kwai-Kolors/Kolors", "prompt": "x"}
    outputs_of("SiliconFlowTextToImage", **kolors, batch_size=4)
    outputs_of("SiliconFlowImageToImage", **kolors, image=make_image())
    outputs_of("SiliconFlowChat", model="Qwen/Qwen3-8B", prompt="x")
    speech = outputs_of("SiliconFlowTextToSpeech", model="FunAudioLLM/CosyVoice2-0.5B", input="x")
    model = "FunAudioLLM/SenseVoiceSmall"
    outputs_of("SiliconFlowSpeechToText", model=model, audio=speech["audio"])
    outputs_of("SiliconFlowEmbeddings", model="BAAI/bge-m3", texts="x")
    outputs_of("SiliconFlowRerank", model="BAAI/bge-reranker-v2-m3", query="x", texts="x\ny")
    settings_module.save(folder, {}, {"site": "cn"})
    save_model_list(folder, "a" * 32, ModelList(1.0, {"chat": ("x",)}))
    ledger = ledger_for(current_settings())
    ledger.close()
    (ledger.database.folder / "ledger.sqlite3").write_bytes(b"no database" * 100)
    assert ledger.totals().files >= 10
    paths = {path for path in opened if path.is_relative_to(folder)} | {*folder.rglob("*")}
    below = sorted(str(path.relative_to(folder)) for path in paths)
    for what in (".part", ".png", ".json", "damaged-", "running", "history.sqlite3"):
        assert any(what in path for path in below), what
    assert [path for path in below if len(path) > LONGEST_BELOW] == []
    names = {part for path in below for part in Path(path).parts}
    assert [name for name in names if len(name) > LONGEST_NAME] == []
    assert [name for name in names if not is_portable(name)] == []
