"""The command line, as a user types it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.__main__ import main
from comfyui_siliconflow.dev.simulator import Simulator
from PIL import Image


def test_the_demo_saves_five_images_and_says_what_each_step_took(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SILICONFLOW_API_KEY", "SILICONFLOW_BASE_URL"):
        monkeypatch.setenv(name, "https://must-not-be-used.invalid")
    assert main(["demo", "--output", str(tmp_path / "out")]) == 0
    output = capsys.readouterr().out
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["1-1.png", "2-1.png", "3-1.png", "4-1.png", "4-2.png"]
    assert all(str(file) in output for file in files)
    assert output.count(" s\n") == 4
    for file in files:
        with Image.open(file) as image:
            assert min(image.size) >= 1024


def test_a_live_demo_without_a_key_sends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--live", "--output", str(tmp_path)]) == 1
    assert "No SiliconFlow API key" in capsys.readouterr().err


@pytest.mark.parametrize("site", ["cn", "com"])
def test_a_live_demo_uses_the_address_that_is_set(
    tmp_path: Path, site: Any, use: Any, write_settings: Any
) -> None:
    write_settings(site=site)
    with Simulator(site=site, as_of="today" if site == "cn" else "ever") as simulator:
        use(simulator)
        assert main(["demo", "--live", "--output", str(tmp_path)]) == 0
        assert sum(charge.pictures for charge in simulator.charges) == 5


def test_check_says_whose_key_it_is_and_what_is_left(
    simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator.balance = "12.50"
    assert main(["check"]) == 0
    output = capsys.readouterr().out
    assert simulator.base_url in output
    assert "Balance: 12.50" in output
    assert f"It can use {len(simulator.models.all)} models." in output
    assert simulator.key not in output


def test_check_tests_a_key_where_the_service_says_no_balance(
    today: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check"]) == 0
    output = capsys.readouterr().out
    assert f"The key works at {today.base_url}." in output
    assert "Account and balance are not shown: SiliconFlow has retired this call." in output
    assert "Balance:" not in output


@pytest.mark.usefixtures("simulator")
def test_check_says_what_is_wrong_with_a_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILICONFLOW_API_KEY", "sk-wrong")
    assert main(["check"]) == 1
    written = capsys.readouterr()
    assert "does not accept the API key" in written.out
    assert written.err == ""


def test_help_is_chinese_on_a_chinese_system(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "检查密钥是否可用" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["simulator", "--help"])
    assert "每个模型每分钟的图片数" in capsys.readouterr().out


def test_an_argument_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", "--moon"])
    assert "unrecognized arguments: --moon" in capsys.readouterr().err


def test_the_package_runs_as_a_module() -> None:
    command = [sys.executable, "-m", "comfyui_siliconflow", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "demo" in done.stdout


def test_without_the_development_packages_the_demo_says_how_to_get_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "comfyui_siliconflow.dev.simulator", None)
    assert main(["demo", "--output", str(tmp_path)]) == 1
    assert 'pip install -e ".[dev]"' in capsys.readouterr().err
