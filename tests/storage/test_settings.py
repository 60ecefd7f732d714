"""Where key, address and limits come from, what is refused, and how changes are saved."""

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.storage.settings import (
    BOUNDS,
    InvalidSettings,
    MissingKey,
    Settings,
    load,
    save,
)
from comfyui_siliconflow.strings.text import LANGUAGES


def test_the_defaults_are_the_china_site_and_its_timeouts(tmp_path: Path) -> None:
    settings = load(tmp_path, {})
    assert (settings.base_url, settings.site) == ("https://api.siliconflow.cn/v1", "cn")
    assert (settings.connect_timeout, settings.read_timeout) == (10, 300)


def test_the_environment_takes_precedence_over_the_file(write_settings: Any) -> None:
    file = write_settings(api_key="from-file", site="com")
    environ = {"SILICONFLOW_API_KEY": " from-environment\n"}
    assert load(file.parent, {}).require_key() == "from-file"
    assert load(file.parent, environ).require_key() == "from-environment"
    assert load(file.parent, environ).base_url == "https://api.siliconflow.com/v1"


def test_a_key_file_is_read_at_each_use_and_beats_the_settings(
    write_settings: Any, tmp_path: Path
) -> None:
    folder, secret = write_settings(api_key="from-file").parent, tmp_path / "secret"
    environ = {"SILICONFLOW_API_KEY_FILE": str(secret)}
    for key in ("sk-first", "sk-second"):
        secret.write_text(f"{key}\n")
        assert load(folder, environ).require_key() == key
    environ["SILICONFLOW_API_KEY"] = "from-environment"
    secret.unlink()
    assert load(folder, environ).require_key() == "from-environment"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b" \n", "empty"), (b"\xff\xfe\x00", "cannot be read")],
)
def test_a_key_file_without_a_key_is_an_error_that_names_it(
    write_settings: Any, tmp_path: Path, content: bytes | None, words: str
) -> None:
    folder, secret = write_settings(api_key="from-file").parent, tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
    with pytest.raises(InvalidSettings, match=words) as caught:
        load(folder, {"SILICONFLOW_API_KEY_FILE": str(secret)})
    for wording in caught.value.text:
        assert str(secret) in wording
        assert "SILICONFLOW_API_KEY_FILE" in wording


def test_a_key_file_below_the_home_of_an_unknown_user_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"~no-such-user.key"):
        load(tmp_path, {"SILICONFLOW_API_KEY_FILE": "~no-such-user/key"})


def test_a_key_of_several_lines_in_a_key_file_is_refused_without_showing_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sk-one\nsk-two\n")
    with pytest.raises(InvalidSettings, match="SILICONFLOW_API_KEY_FILE") as caught:
        load(tmp_path, {"SILICONFLOW_API_KEY_FILE": str(secret)})
    assert "sk-one" not in str(caught.value)


def test_an_empty_variable_counts_as_absent(write_settings: Any) -> None:
    file = write_settings(api_key="from-file")
    assert load(file.parent, {"SILICONFLOW_API_KEY": " "}).require_key() == "from-file"


def test_the_address_of_a_known_site_chooses_that_site_s_models(tmp_path: Path) -> None:
    environ = {"SILICONFLOW_BASE_URL": "https://api.siliconflow.com/v1/"}
    assert load(tmp_path, environ).site == "com"


def test_a_missing_key_says_where_to_put_one(tmp_path: Path) -> None:
    with pytest.raises(MissingKey, match="SILICONFLOW_API_KEY"):
        load(tmp_path, {}).require_key()


def test_the_key_is_not_in_the_repr(tmp_path: Path) -> None:
    assert "sk-secret" not in repr(load(tmp_path, {"SILICONFLOW_API_KEY": "sk-secret"}))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8900/v1",
        "http://localhost/v1",
        "http://[::1]/v1",
        "http://[::ffff:127.0.0.1]",
    ],
)
def test_plain_http_is_allowed_for_this_computer(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, {"SILICONFLOW_BASE_URL": url}).base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://api.siliconflow.cn/v1",
        "http://localhost.example.com/v1",
        "ftp://127.0.0.1/v1",
        "api.siliconflow.cn/v1",
        "https://",
        "https://user:secret@api.siliconflow.cn/v1",
    ],
)
def test_any_other_address_must_be_https(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidSettings, match="SILICONFLOW_BASE_URL"):
        load(tmp_path, {"SILICONFLOW_BASE_URL": url})


@pytest.mark.parametrize("key", ["sk-with space", "sk-中文", "sk-line\nbreak"])
def test_a_key_that_a_header_cannot_carry_is_refused_without_showing_it(
    tmp_path: Path, key: str
) -> None:
    with pytest.raises(InvalidSettings) as caught:
        load(tmp_path, {"SILICONFLOW_API_KEY": key})
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"read_timeout": "long"}, "read_timeout must be of type float"),
        ({"read_timeout": 0}, "read_timeout must be between 0.1 and 86400"),
        ({"ledger_gib": 1e300}, "ledger_gib must be between 0.1 and 100000"),
        ({"ledger_days": float("nan")}, "ledger_days must be between 0.1 and 36500"),
        ({"longest_wait": float("inf")}, "longest_wait must be between 0.1 and 86400"),
        ({"max_parallel": 10**400}, "max_parallel must be between 1 and 128"),
        ({"max_parallel": 2.5}, "max_parallel must be of type int"),
        ({"max_parallel": True}, "max_parallel must be of type int"),
        ({"site": "moon"}, "site must be one of cn, com"),
        ({"language": "xx"}, f"language must be one of {', '.join(LANGUAGES)}"),
        ({"apikey": "x"}, "apikey is not a setting"),
        ({"prices": {"m": "1"}}, "the price of m must be a number"),
        ({"prices": {"m": -1}}, "the price of m must be a number"),
        ({"prices": {"m": True}}, "the price of m must be a number"),
        ({"prices": {"m": {"token": 1}}}, "names: image, input, input_images, kilobyte, output"),
        ({"prices": {"m": {}}}, "the price of m must be a number"),
        ({"prices": []}, "prices must be of type dict"),
    ],
)
def test_a_setting_without_a_usable_value_is_named(
    write_settings: Any, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidSettings, match=words):
        load(write_settings(**values).parent, {})


def test_every_number_has_bounds_that_include_its_default() -> None:
    defaults: dict[str, Any] = vars(Settings())
    numbers = {name for name, value in defaults.items() if type(value) in {int, float}}
    assert numbers == set(BOUNDS)
    for name, (least, most) in BOUNDS.items():
        assert least <= defaults[name] <= most


@pytest.mark.parametrize(
    ("values", "unknown_price"),
    [
        ({"picture_price": 0.2}, 0.2),
        ({"picture_price": 0.0}, Settings.unknown_price),
        ({"picture_price": 0.2, "unknown_price": 0.3}, 0.3),
    ],
)
def test_the_price_of_an_image_of_older_files_is_that_of_what_has_none(
    write_settings: Any, values: dict[str, float], unknown_price: float
) -> None:
    assert load(write_settings(**values).parent, {}).unknown_price == unknown_price


@pytest.mark.parametrize("text", ["{", "[]", "\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "settings.json").write_text(text, encoding="latin-1")
    with pytest.raises(InvalidSettings, match=r"settings\.json"):
        load(tmp_path, {})


@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX modes")
def test_the_file_is_made_private(write_settings: Any) -> None:
    file = write_settings(api_key="sk-secret")
    file.chmod(0o644)
    load(file.parent, {})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_many_changes_at_once_are_all_saved(tmp_path: Path) -> None:
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


def test_a_change_that_cannot_be_used_leaves_the_file_as_it_was(write_settings: Any) -> None:
    file = write_settings(site="com")
    before = file.read_bytes()
    with pytest.raises(InvalidSettings, match="max_parallel"):
        save(file.parent, {}, {"language": "zh", "max_parallel": 0})
    assert file.read_bytes() == before


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file is where the folder should be")
    with pytest.raises(InvalidSettings, match=r"settings\.json cannot be written"):
        save(tmp_path / "data", {}, {"site": "com"})


def test_a_missing_key_is_reported_in_every_language(tmp_path: Path) -> None:
    with pytest.raises(MissingKey) as caught:
        load(tmp_path, {}).require_key(tmp_path)
    for wording in caught.value.text:
        assert str(tmp_path / "settings.json") in wording
        assert '{"api_key": "..."}' in wording
