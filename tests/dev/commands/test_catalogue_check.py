"""What an account has, compared with the catalogue."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev import catalogue_check
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.siliconflow import catalogue

UNKNOWN = "someone/else"


def saved(folder: Path, *ids: str) -> Path:
    file = folder / "models.json"
    models = [{"id": model_id, "object": "model"} for model_id in ids]
    file.write_text(json.dumps({"object": "list", "data": models}))
    return file


def written(folder: Path, *ids: str, site: str = "cn") -> list[dict[str, Any]]:
    output = folder / "missing.json"
    file = saved(folder, *ids)
    assert catalogue_check.main([str(file), "--site", site, "--output", str(output)]) == 0
    content: list[dict[str, Any]] = json.loads(output.read_text(encoding="utf-8"))
    return content


def test_a_missing_model_gets_an_entry_of_the_family_that_its_id_resembles(tmp_path: Path) -> None:
    ids = ("Qwen/Qwen-Image-Edit-2611", "Kwai-Kolors/Kolors", "Qwen/Qwen3-300B", "Qwen/Qwen3-9B")
    edit, chat = written(tmp_path, *ids)
    assert edit["models"] == {"Qwen/Qwen-Image-Edit-2611": {}}
    assert edit["images"] == ["image", "image2", "image3"]
    assert list(edit["fields"])[-3:] == ["cfg", "guidance_scale", "seed"]
    assert chat["models"] == {"Qwen/Qwen3-300B": {}, "Qwen/Qwen3-9B": {}}
    assert chat["tasks"] == ["chat"]
    assert not {"id", "price", "published", "retired"} & {*edit, *chat}


def test_what_matches_no_pattern_is_printed_and_not_guessed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert written(tmp_path, UNKNOWN) == []
    said = capsys.readouterr().out
    assert f"{UNKNOWN}: no pattern matches" in said
    assert "Kwai-Kolors/Kolors: in the catalogue, not in the answer" in said


def test_a_retired_model_that_an_account_has_counts_as_missing(tmp_path: Path) -> None:
    [family] = written(tmp_path, "Qwen/Qwen3.5-397B-A17B")
    assert family["models"] == {"Qwen/Qwen3.5-397B-A17B": {}}


def test_an_entry_that_was_written_can_be_read_by_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    families = written(tmp_path, "black-forest-labs/FLUX.2-max", "Qwen/Qwen4-VL-8B", site="com")
    assert {family["site"] for family in families} == {"com"}
    data = json.loads(catalogue_check.CATALOGUE.read_text(encoding="utf-8"))
    file = tmp_path / "catalogue.json"
    file.write_text(json.dumps({**data, "families": [*data["families"], *families]}))
    monkeypatch.setattr(catalogue, "_FILE", file)
    found = catalogue.load.__wrapped__().find("black-forest-labs/FLUX.2-max", "com")
    assert found.fields["output_format"].choices == ("png", "jpeg")


@pytest.mark.parametrize(("pattern", "like"), catalogue.load().families)
def test_every_pattern_names_a_living_model(pattern: str, like: str) -> None:
    assert pattern
    models = [model for model in catalogue.load().models if model.id == like]
    assert any(not model.is_retired for model in models)


def test_the_china_site_and_the_catalogue_have_the_same_models_today(tmp_path: Path) -> None:
    with Simulator(as_of="today") as simulator:
        answer = requests.get(
            f"{simulator.base_url}/models",
            headers={"Authorization": f"Bearer {simulator.key}"},
            timeout=10,
        )
    file = tmp_path / "models.json"
    file.write_text(answer.text)
    ids = catalogue_check.read_ids(file)
    assert "Kwai-Kolors/Kolors" in ids
    assert catalogue_check.missing_ids(ids, "cn") == []
    assert catalogue_check.unanswered_ids(ids, "cn") == []
