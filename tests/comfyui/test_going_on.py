"""A prompt that ComfyUI refuses when it is queued again: the reason names what is wrong."""

from __future__ import annotations

from comfyui_siliconflow.comfyui.background import MOST_SAID, refusal

FAILED = {"message": "Prompt outputs failed validation", "details": ""}


def test_the_reason_of_a_refusal_names_the_node_and_its_file() -> None:
    missing = {"message": "Custom validation failed", "details": "image - Invalid file: a.png"}
    said = refusal(FAILED, {"7": {"class_type": "LoadImage", "errors": [missing]}})
    assert said == "LoadImage (7): Custom validation failed. image - Invalid file: a.png"


def test_a_refusal_that_names_no_node_says_what_comfyui_says_and_never_too_much() -> None:
    assert refusal(FAILED, {"7": {"class_type": "LoadImage", "errors": []}}) == FAILED["message"]
    assert len(refusal({"message": "x" * 999, "details": ""}, {})) == MOST_SAID
