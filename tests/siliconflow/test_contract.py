"""The rows of `contract.json`: complete, dated, and free for the reason that each gives."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.siliconflow import catalogue, contract
from comfyui_siliconflow.siliconflow.contract import Answer, Row
from comfyui_siliconflow.siliconflow.resources import chat, images

ROOT = Path(contract.__file__).parents[1]
DATA = json.loads((ROOT / "siliconflow" / "contract.json").read_text(encoding="utf-8"))
ROWS = [Row(**row) for row in DATA["rows"]]
IDS = [f"{row.cost} {row.request}" for row in ROWS]
LONGEST_FREE = 200


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_row_has_a_day_a_source_and_files_of_the_pack_that_depend_on_it(row: Row) -> None:
    assert date(2024, 1, 1) < date.fromisoformat(row.since) <= datetime.now(timezone.utc).date()
    assert row.source
    assert row.used_by
    assert [name for name in row.used_by if not (ROOT / name).is_file()] == []


def test_every_kind_of_cost_is_explained_and_used() -> None:
    assert {row.cost for row in ROWS} == set(DATA["cost"])


def of_cost(*costs: str) -> list[Any]:
    rows = zip(IDS, ROWS, strict=True)
    return [pytest.param(row, id=name) for name, row in rows if row.cost in costs]


@pytest.mark.parametrize("row", of_cost("lookup", "wrong_key"))
def test_what_only_reads_or_has_no_account_sends_no_body(row: Row) -> None:
    assert (row.method, row.body, row.silence) == ("GET", {}, 0)


@pytest.mark.parametrize("row", of_cost("no_such_model"))
def test_a_model_that_should_not_exist_is_in_neither_catalogue(row: Row) -> None:
    known = {model.id for model in catalogue.load().models}
    for site in ("cn", "com"):
        known |= set(Simulator(site=site).models.all)
    assert row.model
    assert row.model not in known


@pytest.mark.parametrize("row", of_cost("no_model"))
def test_a_request_without_a_model_has_none(row: Row) -> None:
    assert "model" not in row.body


def is_free(model: str, site: catalogue.Site) -> bool:
    return catalogue.load().find(model, site).is_free(site)


@pytest.mark.parametrize("row", of_cost("free_model"))
def test_a_free_model_is_free_at_each_site_and_makes_next_to_nothing(row: Row) -> None:
    assert all(is_free(row.model, site) for site in row.sites)
    assert row.path != images.PATH
    assert row.path != chat.PATH or row.body["max_tokens"] == 1
    texts = json.dumps([row.body.get(name) for name in ("input", "query", "documents")])
    assert len(texts) < LONGEST_FREE
    assert row.silence <= 1


@pytest.mark.parametrize(
    ("model", "site", "free"),
    [
        ("BAAI/bge-m3", "cn", True),
        ("FunAudioLLM/SenseVoiceSmall", "cn", True),
        ("Pro/BAAI/bge-m3", "cn", False),
        ("Qwen/Qwen-Image", "cn", False),
        ("Qwen/Qwen-Image", "com", False),
        ("BAAI/bge-m3", "com", False),
        ("nobody/knows", "cn", False),
    ],
)
def test_a_model_is_free_where_each_amount_of_its_price_is_known_and_zero(
    model: str, site: catalogue.Site, free: bool
) -> None:
    assert is_free(model, site) is free


def test_a_model_that_is_no_longer_free_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(contract.rows("cn"))
    monkeypatch.setattr(catalogue.Model, "is_free", lambda *_: False)
    left = list(contract.rows("cn"))
    assert {row.cost for row in before} - {row.cost for row in left} == {"free_model"}


@pytest.mark.parametrize("site", ["cn", "com"])
def test_a_site_has_one_paid_row_which_comes_last_and_only_if_asked_for(
    site: catalogue.Site,
) -> None:
    free, paid = list(contract.rows(site)), list(contract.rows(site, paid=True))
    assert paid[:-1] == free
    assert paid[-1].cost == contract.PAID
    assert contract.PAID not in {row.cost for row in free}


def row(**expect: Any) -> Row:
    return Row("GET", "x", {"status": 200, **expect}, "2026-01-01", "x", ("x",), "lookup")


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"data": [{"id": "a", "n": 1, "more": []}], "any": []}, ""),
        ({"data": [{"id": "a", "n": 1}, {"n": 1}], "any": []}, "$.data[1].id"),
        ({"data": [{"id": "a", "n": "1"}], "any": []}, "$.data[0].n"),
        ({"data": [], "any": []}, "$.data"),
        ({"data": [{"id": "a", "n": 1}]}, "$.any"),
        ([], "$"),
        (None, "$"),
    ],
)
def test_the_first_place_that_is_not_of_the_shape_is_named(data: Any, place: str) -> None:
    shape = {"data": [{"id": "text", "n": "number"}], "any": []}
    differences = contract.differences(row(shape=shape), Answer(200, data=data), "cn")
    assert [str(text).partition(" at ")[2].partition(". ")[0] for text in differences] == (
        [place] if place else []
    )


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        (Answer(400, 20015, "Input: FIELD required"), True),
        (Answer(400, 20015, "something else"), False),
        (Answer(400, 20012, "Field required"), False),
        (Answer(422, 20015, "Field required"), False),
        (Answer(200, data={}), False),
    ],
)
def test_status_code_and_words_of_a_refusal_are_compared(answer: Answer, same: bool) -> None:
    refusal = row(status=400, code=20015, words=["field required", "missing"])
    assert (contract.differences(refusal, answer, "cn") == []) is same


@pytest.mark.parametrize(("trace_id", "differing"), [("ti_1", 0), ("", 1)])
def test_an_answer_without_a_trace_id_differs(trace_id: str, differing: int) -> None:
    differences = contract.differences(row(trace_id=True), Answer(200, trace_id=trace_id), "cn")
    assert len(differences) == differing
