"""A file is complete or absent, whatever fails."""

from pathlib import Path

import pytest
from comfyui_siliconflow.storage import atomic_files as files


def test_a_file_is_complete_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "folder" / "file"
    files.write(file, b"first")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("died")))
    with pytest.raises(OSError, match="died"):
        files.write(file, b"second")
    assert file.read_bytes() == b"first"
    assert [item.name for item in file.parent.iterdir()] == ["file"]
