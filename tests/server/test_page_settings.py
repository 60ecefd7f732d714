"""The settings and the key, as the page sees and changes them."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import balance
from comfyui_siliconflow.server import page_settings
from comfyui_siliconflow.server.page_settings import PAGE_SETTINGS
from comfyui_siliconflow.siliconflow.errors import GuardStopped
from comfyui_siliconflow.storage.settings import BOUNDS, Settings
from comfyui_siliconflow.tests.server.conftest import Event, Page

KEY = "sk-0123456789abcdefghij"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "settings.json"


@pytest.mark.usefixtures("address_of_the_site")
def test_the_page_gets_every_setting_that_it_may_change(page: Page) -> None:
    answer = page.get("/settings")
    assert set(answer["values"]) == set(PAGE_SETTINGS)
    assert answer["values"]["show_balance"] is True
    assert answer["choices"]["site"] == ["cn", "com"]
    assert answer["base_url"] == "https://api.siliconflow.cn/v1"
    assert (answer["fixed"], answer["read_only"]) == ({}, False)


def test_a_new_setting_is_the_page_s_unless_the_operator_alone_may_set_it() -> None:
    operator_only = {"api_key", "base_url", "connect_timeout", "read_timeout"}
    operator_only |= {"most_picture_mib", "most_megapixels"}
    assert {item.name for item in fields(Settings)} - set(PAGE_SETTINGS) == operator_only


@pytest.mark.usefixtures("address_of_the_site")
def test_settings_are_written_beside_those_that_are_there(
    page: Page, file: Path, write_settings: Any
) -> None:
    write_settings(api_key=KEY, read_timeout=60)
    answer = page.post("/settings", {"site": "com", "reuse": False, "ledger_days": 7})
    assert answer["values"]["site"] == "com"
    assert answer["base_url"] == "https://api.siliconflow.com/v1"
    assert json.loads(file.read_text()) == {
        "api_key": KEY,
        "read_timeout": 60,
        "site": "com",
        "reuse": False,
        "ledger_days": 7,
    }


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_the_file_is_its_owner_s_alone_from_its_first_byte(
    page: Page, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []

    def replace(self: Path, target: Path) -> None:
        if target == file:  # the list of models is written meanwhile
            modes.append(stat.S_IMODE(self.stat().st_mode))
        os.replace(self, target)  # noqa: PTH105 - the method itself is what is looked at

    old = os.umask(0)
    try:
        monkeypatch.setattr(Path, "replace", replace)
        page.post("/key", {"key": KEY})
    finally:
        os.umask(old)
    assert modes == [0o600]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"site": "us"}, "site"),
        ({"max_parallel": 0}, "max_parallel"),
        ({"max_parallel": "8"}, "max_parallel"),
        ({"longest_wait": -1}, "longest_wait"),
        ({"ledger_gib": 1e300}, "ledger_gib"),
        ({"max_parallel": 10**400}, "max_parallel"),
        ({"reuse": 1}, "reuse"),
        ({"language": "xx"}, "language"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_one_bad_value_and_nothing_is_written(
    page: Page, file: Path, write_settings: Any, change: dict[str, Any], named: str
) -> None:
    write_settings(api_key=KEY)
    before = file.read_bytes()
    status, error = page.refused("POST", "/settings", {"show_balance": False, **change})
    assert (status, error["kind"]) == (400, "InvalidSettings")
    assert error["en"].startswith(named)
    assert error["zh"].startswith(named)
    assert file.read_bytes() == before


NUMBERS = [name for name in PAGE_SETTINGS if name in BOUNDS]


@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("at", [0, 1], ids=["least", "most"])
@pytest.mark.parametrize("name", NUMBERS)
def test_no_number_that_the_page_may_set_breaks_a_run(
    page: Page, run_node: Any, make_image: Any, name: str, at: int
) -> None:
    bounds = page.get("/settings")["bounds"]
    page.post("/settings", {name: bounds[name][at]})
    edit = {"model": "Qwen/Qwen-Image-Edit", "prompt": "blue", "image": make_image()}
    with contextlib.suppress(GuardStopped):  # a limit that is kept breaks nothing
        assert run_node("SiliconFlowImageEdit", **edit)[0].ndim == 4
    assert len(page.get("/jobs")["jobs"]) == 1


@pytest.mark.parametrize("at", [0, 1], ids=["below", "above"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_out_of_bounds_is_refused(page: Page, name: str, at: int) -> None:
    bound = page.get("/settings")["bounds"][name][at]
    status, error = page.refused("POST", "/settings", {name: bound + (-1, 1)[at]})
    assert (status, error["kind"]) == (400, "InvalidSettings")
    assert str(bound) in error["en"]
    assert str(bound) in error["zh"]


@pytest.mark.parametrize("name", ["api_key", "base_url", "read_timeout", "most_megapixels"])
def test_what_is_the_operator_s_cannot_be_set_from_the_page(
    page: Page, file: Path, name: str
) -> None:
    status, error = page.refused("POST", "/settings", {name: "https://elsewhere.example/v1"})
    assert (status, error["kind"]) == (400, "InvalidSettings")
    assert name in error["message"]
    assert not file.exists()


def test_a_damaged_file_is_named_and_never_overwritten(page: Page, file: Path) -> None:
    file.parent.mkdir()
    file.write_text("{")
    for method, path, body in (
        ("GET", "/settings", None),
        ("POST", "/settings", {"site": "cn"}),
        ("POST", "/key", {"key": KEY}),
    ):
        status, error = page.refused(method, path, body)
        assert status == 400
        assert str(file) in error["en"]
    assert file.read_text() == "{"


def test_a_setting_that_is_removed_has_its_default_again(
    page: Page, file: Path, write_settings: Any
) -> None:
    write_settings(max_parallel=3)
    assert page.post("/settings", {"max_parallel": None})["values"]["max_parallel"] == 16
    assert json.loads(file.read_text()) == {}


def test_a_folder_that_cannot_be_written_is_named(page: Page, file: Path) -> None:
    file.parent.write_text("a file is where the folder should be")
    status, error = page.refused("POST", "/settings", {"site": "cn"})
    assert (status, error["kind"]) == (400, "InvalidSettings")
    assert str(file) in error["zh"]


def test_a_key_is_set_used_and_deleted_and_never_sent(
    page: Page, file: Path, sent: list[Event]
) -> None:
    answer = page.post("/key", {"key": f' "{KEY}"\n'})
    assert answer["key"] == {"is_set": True, "last4": "ghij", "source": "file", "variable": ""}
    assert json.loads(file.read_text())["api_key"] == KEY
    for text in (page.request("GET", "/settings").text, str(answer), str(sent)):
        assert KEY not in text
        assert KEY[:-4] not in text
    assert page.delete("/key")["key"] == {
        "is_set": False,
        "last4": "",
        "source": "",
        "variable": "",
    }
    assert "api_key" not in json.loads(file.read_text())


def test_a_key_and_its_site_are_saved_in_one_step(
    page: Page, file: Path, sent: list[Event]
) -> None:
    assert page.post("/key", {"key": KEY, "site": "com"})["values"]["site"] == "com"
    assert json.loads(file.read_text()) == {"api_key": KEY, "site": "com"}
    assert len(sent) == 1
    page.post("/key", {"key": "sk-another", "site": None})
    assert json.loads(file.read_text()) == {"api_key": "sk-another", "site": "com"}


def test_a_key_is_not_saved_when_its_site_cannot_be(
    page: Page, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert page.refused("POST", "/key", {"key": KEY, "site": "us"})[1]["kind"] == "InvalidSettings"
    monkeypatch.setenv("SILICONFLOW_BASE_URL", "https://api.siliconflow.com/v1")
    assert page.refused("POST", "/key", {"key": KEY, "site": "cn"})[0] == 409
    assert not file.exists()
    page.post("/key", {"key": KEY, "site": "com"})
    assert json.loads(file.read_text()) == {"api_key": KEY}


def test_open_pages_are_notified_of_a_change_and_of_nothing_else(
    page: Page, sent: list[Event]
) -> None:
    page.post("/key", {"key": KEY})
    page.post("/settings", {"site": "com"})
    page.delete("/key")
    page.refused("POST", "/settings", {"site": "us"})
    page.get("/settings")
    assert sent == [("siliconflow.settings", {}, None)] * 3


def test_open_pages_are_notified_when_saved_results_are_cleared(
    page: Page, sent: list[Event]
) -> None:
    """A list of jobs that somebody cleared for privacy must not stay on show anywhere."""
    page.delete("/stored")
    assert sent == [("siliconflow.stored", {}, None)]


def test_a_short_key_shows_none_of_itself(page: Page) -> None:
    assert page.post("/key", {"key": "sk-12345678"})["key"]["last4"] == ""
    assert page.post("/key", {"key": "sk-123456789"})["key"]["last4"] == "6789"


@pytest.mark.parametrize("key", ["", "  ", None, 7, "sk with spaces inside", "sk-schlüssel"])
def test_what_no_key_looks_like_is_refused_without_repeating_it(
    page: Page, file: Path, key: Any
) -> None:
    status, error = page.refused("POST", "/key", {"key": key})
    assert (status, error["kind"]) == (400, "InvalidSettings")
    assert not (isinstance(key, str) and key.strip() and key in str(error))
    assert not file.exists()


@pytest.mark.parametrize("variable", ["SILICONFLOW_API_KEY", "SILICONFLOW_API_KEY_FILE"])
def test_a_key_of_the_environment_stays(
    page: Page, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    key_file = tmp_path / "secret"
    key_file.write_text(f"{KEY}\n")
    monkeypatch.delenv("SILICONFLOW_API_KEY", raising=False)
    monkeypatch.setenv(variable, str(key_file) if variable.endswith("FILE") else KEY)
    key = page.get("/settings")["key"]
    assert (key["source"], key["variable"], key["last4"]) == ("environment", variable, KEY[-4:])
    for method, body in (("POST", {"key": "sk-another-key-entirely"}), ("DELETE", {})):
        status, error = page.refused(method, "/key", body)
        assert (status, error["kind"]) == (409, "FixedSetting")
        assert variable in error["zh"]
    assert not file.exists()


def test_a_site_that_the_environment_decides_stays(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILICONFLOW_BASE_URL", "https://api.siliconflow.com/v1")
    answer = page.get("/settings")
    assert answer["fixed"] == {"site": "SILICONFLOW_BASE_URL"}
    assert answer["values"]["site"] == "com"
    assert page.refused("POST", "/settings", {"site": "cn"})[0] == 409


def test_a_key_is_tested_before_it_is_saved(page: Page, simulator: Simulator, file: Path) -> None:
    assert page.post("/key/test") == {
        "name": "",
        "status": "",
        "balance": None,
        "currency": "CNY",
        "site": "cn",
        "models": len(simulator.models.all),
    }
    status, error = page.refused("POST", "/key/test", {"key": KEY, "site": "cn"})
    assert (status, error["kind"]) == (502, "InvalidKey")
    assert error["trace_id"] in {entry.trace_id for entry in simulator.requests if entry.refusal}
    assert KEY not in str(error)
    assert "api_key" not in json.loads(file.read_text())
    assert page.post("/key/test", {"key": simulator.key, "site": "com"})["currency"] == "USD"


def test_a_key_is_tested_by_today_s_service_too(page: Page, today: Simulator) -> None:
    assert page.post("/key/test")["models"] > 0
    assert page.post("/key/test", {"key": today.key})["models"] > 0
    assert page.refused("POST", "/key/test", {"key": KEY})[1]["kind"] == "InvalidKey"
    assert {record.path for record in today.requests} == {"/v1/models"}


def test_a_retired_balance_is_null_with_the_reason_and_requested_once(
    page: Page,
    today: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "siliconflow")
    monkeypatch.setattr(balance, "BALANCES", balance.Balances())
    monkeypatch.setattr(page_settings, "BALANCES", balance.BALANCES)
    monkeypatch.setattr(balance, "FRESH_SECONDS", 0.0)
    balances = [page.get("/balance") for _ in range(3)]
    assert [(answer["balance"], answer["reason"]) for answer in balances] == [
        (None, "RetiredCall")
    ] * 3
    assert page.get("/settings")["balance"]["balance"] is None
    assert len(today.requests) == 1
    assert [entry.message for entry in caplog.records if entry.levelname == "INFO"] == [
        "SiliconFlow no longer reports the balance: it is not shown"
    ]


def test_a_retired_balance_is_requested_again_for_another_key_and_after_a_day(
    page: Page, today: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SILICONFLOW_API_KEY")
    for _ in range(2):
        page.post("/key", {"key": today.key})
        page.get("/balance")
    assert balance_requests(today) == 2
    monkeypatch.setattr(balance, "FRESH_SECONDS", 0.0)
    page.get("/balance")
    assert balance_requests(today) == 2
    monkeypatch.setattr(balance, "RETIRED_SECONDS", 0.0)
    page.get("/balance")
    assert balance_requests(today) == 3


def balance_requests(simulator: Simulator) -> int:
    return sum(record.path == "/v1/user/info" for record in simulator.requests)


def test_the_last_known_balance_is_sent_without_a_request(page: Page, simulator: Simulator) -> None:
    assert page.get("/settings")["balance"] is None
    assert simulator.requests == [], "who only looks at the settings asks nobody"
    heard = page.get("/balance")
    assert page.get("/settings")["balance"] == heard
    assert len(simulator.requests) == 1


def test_the_last_known_balance_survives_a_failed_request_but_not_the_key(
    page: Page, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balance, "FRESH_SECONDS", 0.0)
    heard = page.get("/balance")
    simulator.fail(401, on="info")
    page.refused("GET", "/balance")
    assert page.get("/settings")["balance"] == heard
    monkeypatch.setenv("SILICONFLOW_API_KEY", KEY)
    assert page.get("/settings")["balance"] is None


def test_after_a_key_is_set_its_balance_is_fetched_again(
    page: Page, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SILICONFLOW_API_KEY")
    page.post("/key", {"key": simulator.key})
    page.get("/balance")
    page.delete("/key")
    simulator.balance -= 1
    assert page.post("/key", {"key": simulator.key})["balance"] is None
    assert page.get("/balance")["balance"] == "99.00"


def test_a_missing_key_is_what_the_test_says(page: Page) -> None:
    status, error = page.refused("POST", "/key/test")
    assert (status, error["kind"]) == (400, "MissingKey")


def test_a_tested_key_can_go_to_no_address_of_the_page_s(
    page: Page, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"key": KEY, "base_url": "https://elsewhere.example/v1", "site": "https://x.example"}
    assert page.refused("POST", "/key/test", body)[1]["kind"] == "InvalidSettings"
    monkeypatch.delenv("SILICONFLOW_BASE_URL")
    status, error = page.refused("POST", "/key/test", {**body, "site": "us"})
    assert (status, error["kind"]) == (400, "InvalidSettings")
    assert simulator.requests == []


def test_with_several_users_the_page_reads_and_changes_nothing(
    page: Page, file: Path, several_users: Callable[[], None], simulator: Simulator
) -> None:
    assert page.get("/settings")["data_directory"] == str(file.parent)
    several_users()
    answer = page.get("/settings")
    assert (answer["read_only"], answer["data_directory"]) == (True, "")
    for method, path in (("POST", "/settings"), ("POST", "/key"), ("DELETE", "/key")):
        status, error = page.refused(method, path, {"key": KEY} if path == "/key" else {})
        assert (status, error["kind"]) == (403, "SharedServer")
    assert json.loads(file.read_text()) == {"native_batch": True}
    assert page.post("/key/test")["models"] == len(simulator.models.all)
