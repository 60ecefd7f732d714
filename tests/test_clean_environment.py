"""Nothing that a developer has set reaches a test: no key, no address, no proxy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from comfyui_siliconflow.engine.services import current_settings
from comfyui_siliconflow.siliconflow.http.addresses import proxy_of
from comfyui_siliconflow.storage.settings import MissingKey
from comfyui_siliconflow.tests.conftest import NO_SERVICE

OWN = {
    "SILICONFLOW_API_KEY": "sk-developer",
    "SILICONFLOW_BASE_URL": "https://gateway.example/v1",
    "SILICONFLOW_HOSTS": "comfy.example",
    "SILICONFLOW_RESULT_HOSTS": "results.example",
    "HTTPS_PROXY": "http://proxy.example:3128",
    "all_proxy": "http://proxy.example:3128",
}


def test_a_test_has_no_key_no_proxy_and_an_address_without_a_service() -> None:
    with pytest.raises(MissingKey):
        current_settings().require_key()
    assert current_settings().base_url == NO_SERVICE
    assert proxy_of("https://api.example") == ""
    ours = {name for name in os.environ if name.startswith("SILICONFLOW_")}
    assert ours == {"SILICONFLOW_BASE_URL", "SILICONFLOW_DATA_DIR"}


def test_what_a_developer_has_set_changes_nothing_of_that(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-developer")
    name = test_a_test_has_no_key_no_proxy_and_an_address_without_a_service.__name__
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"{__file__}::{name}",
    ]
    environment = {**os.environ, **OWN, "SILICONFLOW_API_KEY_FILE": str(key)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
