"""Settings are changed wholly or not at all, whoever else is at it."""

import json
import threading
from pathlib import Path

from comfyui_siliconflow.storage.settings import load
from comfyui_siliconflow.storage.settings_saving import save


def test_many_changes_at_once_are_all_kept(tmp_path: Path) -> None:
    names = ("max_parallel", "most_pictures", "longest_wait", "ledger_days", "ledger_gib")
    threads = [
        threading.Thread(target=save, args=(tmp_path, {}, {name: at + 1}))
        for at, name in enumerate(names)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = json.loads((tmp_path / "settings.json").read_text())
    assert written == {name: at + 1 for at, name in enumerate(names)}
    assert [path.name for path in tmp_path.iterdir()] == ["settings.json"]


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    changes = {"site": "com", "show_balance": False, "language": "zh", "balance_floor": 1.5}
    assert save(tmp_path, {}, changes) == load(tmp_path, {})
    assert load(tmp_path, {}).balance_floor == 1.5
