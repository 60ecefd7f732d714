"""One list of models per account, which survives a restart and a damaged file."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_siliconflow.storage.model_lists import (
    MAX_ACCOUNTS,
    ModelList,
    claim_refresh,
    load_model_list,
    save_model_list,
)
from comfyui_siliconflow.storage.settings import InvalidSettings

MODELS = ModelList(1.0, {"chat": ("a", "b"), "speaking": ("c",)})


def test_each_account_has_its_own_list(tmp_path: Path) -> None:
    save_model_list(tmp_path, "cn-1", MODELS)
    save_model_list(tmp_path, "cn-2", ModelList(2.0, {}))
    assert load_model_list(tmp_path, "cn-1") == MODELS
    assert load_model_list(tmp_path, "com-1") is None
    assert "c" in MODELS
    assert "d" not in MODELS


def test_only_the_newest_accounts_are_kept(tmp_path: Path) -> None:
    for number in range(MAX_ACCOUNTS + 1):
        save_model_list(tmp_path, str(number), ModelList(float(number), {}))
    assert load_model_list(tmp_path, "0") is None
    assert load_model_list(tmp_path, "1")


@pytest.mark.parametrize("content", ["{", "[]", '{"accounts": {"cn-1": {}}}'])
def test_a_damaged_file_counts_as_missing_and_is_replaced(tmp_path: Path, content: str) -> None:
    (tmp_path / "models.json").write_text(content)
    assert load_model_list(tmp_path, "cn-1") is None
    save_model_list(tmp_path, "cn-1", MODELS)
    assert load_model_list(tmp_path, "cn-1") == MODELS


def test_a_list_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file is where the folder should be")
    with pytest.raises(InvalidSettings, match=r"models\.json cannot be written"):
        save_model_list(tmp_path / "data", "cn-1", MODELS)


def test_an_account_s_list_may_be_asked_for_once_in_a_while(tmp_path: Path) -> None:
    save_model_list(tmp_path, "cn-1", MODELS)
    claims = [claim_refresh(tmp_path, account, 60.0) for account in ("cn-1", "cn-1", "cn-2")]
    assert claims == [True, False, True]
    assert claim_refresh(tmp_path, "cn-1", 0.0), "whoever asks for it is answered"
    assert load_model_list(tmp_path, "cn-1") == MODELS


def test_a_file_of_before_has_no_time_of_the_last_question(tmp_path: Path) -> None:
    before = '{"accounts": {"cn-1": {"refreshed_at": 1.0, "kinds": {"chat": ["a"]}}}}'
    (tmp_path / "models.json").write_text(before)
    assert claim_refresh(tmp_path, "cn-1", 60.0)
    assert load_model_list(tmp_path, "cn-1") == ModelList(1.0, {"chat": ("a",)})


def test_a_kind_that_comes_back_empty_stays_as_it_was(tmp_path: Path) -> None:
    save_model_list(tmp_path, "cn-1", MODELS)
    stored = save_model_list(tmp_path, "cn-1", ModelList(2.0, {"chat": (), "speaking": ("d",)}))
    assert stored == ModelList(2.0, {"chat": ("a", "b"), "speaking": ("d",)})
    assert load_model_list(tmp_path, "cn-1") == stored
