"""One field of a request: what passes, and what is refused by name."""

from typing import Any

import pytest
from comfyui_siliconflow.siliconflow.catalogue import Field, parse_size
from comfyui_siliconflow.siliconflow.errors import InvalidInput


def field(kind: str, **rules: Any) -> Field:
    return Field(name="the_input", type=kind, wire="the_input", **rules)


STEPS = field("integer", minimum=1, maximum=30)
SIDE = field("integer", minimum=256, maximum=1440, step=32)
CFG = field("number", minimum=0.1, maximum=20)
SIZE = field("size", choices=("1024x1024", "960x1280"))
ANY_SIZE = field("size", choices=("1024x1024",), custom=True, max_pixels=2073600)
RATIO = field("choice", choices=("16:9", "1:1"))


@pytest.mark.parametrize(
    ("rule", "value", "sent"),
    [
        (STEPS, 1, 1),
        (STEPS, 30, 30),
        (STEPS, 20.0, 20),
        (SIDE, 1440, 1440),
        (CFG, 0.1, 0.1),
        (CFG, 20, 20),
        (SIZE, "960x1280", "960x1280"),
        (SIZE, " 960 X 1280 ", "960x1280"),
        (ANY_SIZE, "1920x1080", "1920x1080"),
        (RATIO, "16:9", "16:9"),
        (field("boolean"), True, True),
        (field("string"), "text", "text"),
    ],
)
def test_a_value_within_the_rule_is_sent(rule: Field, value: Any, sent: Any) -> None:
    assert rule.check(value) == sent
    assert type(rule.check(value)) is type(sent)


@pytest.mark.parametrize(
    ("rule", "value", "words"),
    [
        (STEPS, 0, "0 is outside 1-30"),
        (STEPS, 31, "31 is outside 1-30"),
        (STEPS, 1.5, "1.5 is not a whole number"),
        (STEPS, True, "True is not a number"),
        (STEPS, "20", "'20' is not a number"),
        (SIDE, 1000, "1000 is not a multiple of 32"),
        (CFG, 0.05, "0.05 is outside 0.1-20"),
        (CFG, float("nan"), "nan is not a number"),
        (SIZE, "1000x1000", "does not support 1000x1000. Choose one of: 1024x1024, 960x1280"),
        (SIZE, "big", "'big' is not a size such as 1024x1024"),
        (ANY_SIZE, "2048x1152", "2048x1152 has 2359296 pixels; this model's maximum is 2073600"),
        (ANY_SIZE, "0x512", "0x512 has no pixels"),
        (RATIO, "2:1", "Choose one of: 16:9, 1:1"),
        (field("boolean"), 1, "1 is neither true nor false"),
        (field("string"), 1, "1 is not text"),
    ],
)
def test_a_value_outside_the_rule_is_refused_by_the_name_of_its_input(
    rule: Field, value: Any, words: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        rule.check(value)
    assert caught.value.name == "the_input"
    assert str(caught.value).startswith("the_input: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["", "1024", "x1024", "-1x5", "1e3x1e3", "1024x1024x3"])
def test_what_is_no_size_is_not_read_as_one(text: str) -> None:
    assert parse_size(text) is None
