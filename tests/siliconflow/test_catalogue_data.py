"""The file that the catalogue is read from: what an entry may hold, and that dates are in order."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.siliconflow.catalogue import Model
from jsonschema import Draft202012Validator

FILE = Path(str(catalogue.__file__)).with_name("catalogue.json")
DATA = json.loads(FILE.read_text(encoding="utf-8"))
TODAY = "2026-11-01"

DAY = {"type": "string", "pattern": r"^20\d\d-\d\d-\d\d$"}
TEXTS = {"type": "array", "items": {"type": "string"}}
AMOUNT = {"type": "number", "minimum": 0}
TIER = {
    "type": "object",
    "properties": {
        "above": {"type": "integer", "minimum": 1},
        "hours": {"type": "string", "pattern": r"^\d\d:\d\d-\d\d:\d\d \w+/\w+$"},
        "input": AMOUNT,
        "output": AMOUNT,
    },
    "required": ["input", "output"],
    "oneOf": [{"required": ["above"]}, {"required": ["hours"]}],
    "additionalProperties": False,
}
AMOUNTS = ("image", "video", "kilobyte", "input", "output", "input_images")
PRICE = {
    "type": "object",
    "properties": {
        "currency": {"enum": ["CNY", "USD"]},
        "as_of": {"type": "string", "pattern": r"^20\d\d-\d\d(-\d\d)?$"},
        **dict.fromkeys(AMOUNTS, AMOUNT),
        "tiers": {"type": "array", "minItems": 1, "items": TIER},
    },
    "additionalProperties": False,
}
LIFE = {
    "published": DAY,
    "retired": DAY,
    "retired_by": DAY,
    "price": PRICE,
    "context": {"type": "integer", "minimum": 512},
    "thinking": {"enum": ["off", "on", "always"]},
    "source": {"type": "string", "minLength": 4},
}
COMMON = {
    **LIFE,
    "site": {"enum": ["cn", "com"]},
    "tasks": {**TEXTS, "minItems": 1},
    "images": TEXTS,
    "upload": {"enum": ["png", "webp"]},
    "reference": {"type": "string"},
    "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
    "rates": {"type": "object", "additionalProperties": {"type": "array"}},
    "fields": {"type": "object", "additionalProperties": {"type": "object"}},
}
KEEPS = {
    "type": "object",
    "minProperties": 1,
    "properties": {
        "choices": {**TEXTS, "minItems": 1},
        **{name: {"type": "integer"} for name in ("max_pixels", "step", "minimum", "maximum")},
    },
    "additionalProperties": False,
}
NEEDED = ["source", "site", "tasks", "fields"]
SCHEMA = {
    "type": "object",
    "required": ["inputs", "models", "families", "traits", "unlisted"],
    "properties": {
        "traits": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "source": COMMON["source"],
                    "where": {
                        "type": "object",
                        "minProperties": 1,
                        "propertyNames": {"enum": ["id", "tasks", "images", "thinking"]},
                        "additionalProperties": {**TEXTS, "minItems": 1},
                    },
                    "fields": COMMON["fields"],
                    "limits": COMMON["limits"],
                    "keeps": KEEPS,
                    "as_of": DAY,
                },
                "required": ["source", "where"],
                "dependentRequired": {"keeps": ["as_of"]},
                "additionalProperties": False,
            },
        },
        "unlisted": {
            "type": "object",
            "properties": {"images": TEXTS, "limits": COMMON["limits"], "keeps": KEEPS},
            "additionalProperties": False,
        },
        "models": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {**COMMON, "id": {"type": "string"}, "name": {"type": "string"}},
                "required": ["id", "name", *NEEDED],
                "additionalProperties": False,
            },
        },
        "families": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    **COMMON,
                    "models": {
                        "type": "object",
                        "minProperties": 1,
                        "additionalProperties": {
                            "type": "object",
                            "properties": LIFE,
                            "additionalProperties": False,
                        },
                    },
                },
                "required": ["models", *NEEDED],
                "additionalProperties": False,
            },
        },
    },
}
MODELS = catalogue.load().models


def living(site: str) -> list[Model]:
    return [model for model in MODELS if model.site == site and not model.is_retired]


def test_every_entry_is_as_the_schema_has_it() -> None:
    errors = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(DATA)]
    assert errors == []


@pytest.mark.parametrize(
    "wrong", [{"published": "2026"}, {"price": {"image": -1}}, {"retired": None}, {"sight": True}]
)
def test_the_schema_refuses_an_entry_that_is_wrong(wrong: dict[str, Any]) -> None:
    first = {**DATA["models"][0], **wrong}
    assert not Draft202012Validator(SCHEMA).is_valid({**DATA, "models": [first]})


def test_every_date_is_one_and_no_model_is_retired_before_it_is_published() -> None:
    for model in MODELS:
        days = [day for day in (model.published, model.retired or model.retired_by) if day]
        assert [date.fromisoformat(day) for day in days] == sorted(map(date.fromisoformat, days))
        assert all(day <= TODAY for day in days), model.id
        assert not (model.retired and model.retired_by), model.id


def test_every_trait_gives_something_to_some_model() -> None:
    for trait in DATA["traits"]:
        given = {*trait.get("fields", {}), *trait.get("limits", {})}
        assert given or trait["keeps"], trait
        assert [model for model in MODELS if given <= {*model.fields, *model.limits}], trait


def test_a_trait_gives_nothing_to_a_model_of_another_kind() -> None:
    own = {"enable_thinking", "thinking_budget", "reasoning_effort", "min_p", "pixels_low"}
    for model in MODELS:
        if "chat" not in model.tasks:
            assert not own & {*model.fields, *model.limits}, model.id


def test_every_price_names_its_currency_its_day_and_at_least_one_amount() -> None:
    priced = [model for model in MODELS if model.price is not None]
    assert priced
    for model in priced:
        assert model.price is not None
        assert model.price["currency"] == {"cn": "CNY", "com": "USD"}[str(model.site)]
        assert model.price["as_of"]
        assert set(model.price) & set(AMOUNTS), model.id


def test_every_living_model_of_the_china_site_has_a_price() -> None:
    assert len(living("cn")) > 80
    assert [model.id for model in living("cn") if model.price is None] == []


def test_no_site_has_a_model_twice() -> None:
    ids = [(model.id, model.site) for model in MODELS]
    assert len(set(ids)) == len(ids)
