"""Errors made to order, in every shape that a client must be able to read."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.dev.simulator.responses import BODIES

Generate = Callable[..., requests.Response]

OVERLOADED = {
    "code": 50505,
    "message": "Model service overloaded. Please try again later.",
    "data": None,
}


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, "Invalid token"), (403, "Forbidden"), (503, OVERLOADED)],
)
def test_a_status_comes_with_its_documented_body(
    simulator: Simulator, generate: Generate, status: int, body: Any
) -> None:
    simulator.fail(status)
    answer = generate(simulator)
    assert (answer.status_code, answer.json()) == (status, body)


@pytest.mark.parametrize(
    ("status", "text"),
    [(404, "404 page not found"), (500, "unknown error"), (504, "Gateway Timeout"), (502, "")],
)
def test_some_documented_bodies_are_plain_text(
    simulator: Simulator, generate: Generate, status: int, text: str
) -> None:
    simulator.fail(status)
    answer = generate(simulator)
    assert (answer.status_code, answer.text) == (status, text)
    assert answer.headers["Content-Type"] == "text/plain"


def test_a_429_without_more_names_a_token_limit(simulator: Simulator, generate: Generate) -> None:
    simulator.fail(429)
    error = generate(simulator).json()
    assert (set(error), error["message"][-18:]) == ({"message", "data"}, "TPM limit reached.")


@pytest.mark.parametrize("limit", ["RPM", "RPH", "RPD", "TPM", "TPD"])
def test_a_429_can_name_any_limit(simulator: Simulator, generate: Generate, limit: str) -> None:
    simulator.fail(429, limit=limit)
    answer = generate(simulator)
    assert answer.status_code == 429
    assert answer.json()["message"].endswith(f"Details:{limit} limit reached.")


@pytest.mark.parametrize("limit", ["IPM", "IPD"])
def test_an_image_limit_carries_its_code(
    simulator: Simulator, generate: Generate, limit: str
) -> None:
    simulator.fail(429, limit=limit)
    error = generate(simulator).json()
    assert (error["code"], error["message"][-18:]) == (50604, f"{limit} limit reached.")


@pytest.mark.parametrize(
    ("how", "content", "media_type"),
    [
        (
            {"body": {"code": 1, "message": "no"}},
            b'{"code": 1, "message": "no"}',
            "application/json",
        ),
        ({"body": "no"}, b'"no"', "application/json"),
        ({"body": "no", "kind": "text"}, b"no", "text/plain"),
        ({"body": "<h1>no</h1>", "kind": "html"}, b"<h1>no</h1>", "text/html"),
        ({"kind": "empty"}, b"", "text/plain"),
        ({"kind": "json"}, b"null", "application/json"),
        ({"body": b"\xff\x00"}, b"\xff\x00", "application/octet-stream"),
    ],
)
def test_a_body_can_be_given_in_any_shape(
    simulator: Simulator, generate: Generate, how: dict[str, Any], content: bytes, media_type: str
) -> None:
    simulator.fail(503, **how)
    answer = generate(simulator)
    assert (answer.status_code, answer.content) == (503, content)
    assert answer.headers["Content-Type"] == media_type


def test_headers_can_be_given(simulator: Simulator, generate: Generate) -> None:
    simulator.fail(429, headers={"Retry-After": "3"})
    assert generate(simulator).headers["Retry-After"] == "3"


def test_a_fault_lasts_for_as_many_requests_as_requested(
    simulator: Simulator, generate: Generate
) -> None:
    simulator.fail(503, times=2)
    assert [generate(simulator).status_code for _ in range(3)] == [503, 503, 200]


def test_faults_come_in_the_order_they_were_requested(
    simulator: Simulator, generate: Generate
) -> None:
    simulator.fail(503)
    simulator.fail(504)
    assert [generate(simulator).status_code for _ in range(3)] == [503, 504, 200]


def test_a_fault_can_be_kept_for_one_model(simulator: Simulator, generate: Generate) -> None:
    simulator.fail(503, model="Qwen/Qwen-Image")
    other = {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"}
    assert [generate(simulator).status_code, generate(simulator, other).status_code] == [200, 503]


def test_a_fault_waits_for_a_request_that_keeps_the_rules(
    simulator: Simulator, generate: Generate
) -> None:
    simulator.fail(503)
    assert [generate(simulator, seed=-1).status_code, generate(simulator).status_code] == [400, 503]


def test_faults_that_wait_can_be_forgotten(simulator: Simulator, generate: Generate) -> None:
    simulator.fail(503, times=9)
    simulator.clear_failures()
    assert generate(simulator).status_code == 200


def test_a_fault_costs_nothing(simulator: Simulator, generate: Generate) -> None:
    simulator.fail(504)
    generate(simulator)
    assert simulator.charges == []


def test_a_gateway_may_time_out_over_images_that_were_made(
    simulator: Simulator, generate: Generate
) -> None:
    simulator.fail(504, made=True)
    assert generate(simulator).status_code == 504
    record = simulator.requests[-1]
    assert (record.status, record.pictures, record.charged) == (504, 1, Decimal("0.10"))


@pytest.mark.parametrize("made", [False, True])
def test_a_connection_can_be_closed_without_an_answer(
    simulator: Simulator, generate: Generate, made: bool
) -> None:
    simulator.fail(0, made=made)
    with pytest.raises(requests.ConnectionError):
        generate(simulator)
    record = simulator.requests[-1]
    assert (record.status, record.delivered, record.pictures) == (0, False, int(made))


@pytest.mark.parametrize(("on", "path"), [("models", "/models"), ("info", "/user/info")])
def test_the_other_endpoints_can_fail_too(
    simulator: Simulator, generate: Generate, get: Generate, on: Any, path: str
) -> None:
    simulator.fail(503, on=on)
    assert generate(simulator).status_code == 200
    assert [get(simulator, path).status_code for _ in range(2)] == [503, 200]


def test_a_download_can_fail(simulator: Simulator, generate: Generate) -> None:
    simulator.fail(503, on="pictures")
    url = generate(simulator).json()["images"][0]["url"]
    assert [requests.get(url, timeout=20).status_code for _ in range(2)] == [503, 200]


def test_a_fault_for_no_request_at_all_is_an_error(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="times"):
        simulator.fail(503, times=0)


@pytest.mark.parametrize("name", BODIES)
def test_every_body_met_in_the_wild_can_be_requested_by_name(
    simulator: Simulator, generate: Generate, name: str
) -> None:
    simulator.fail(body=name)
    answer = generate(simulator)
    shown = BODIES[name]["body"]
    assert answer.status_code == BODIES[name]["status"] == int(name[-3:])
    assert (answer.text if "kind" in BODIES[name] else answer.json()) == shown


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("balance-402", 30001),
        ("tpm-429", 50602),
        ("busy-429", 50603),
        ("ipm-429", 50604),
        ("unknown-500", 50507),
        ("overloaded-503", 50505),
        ("busy-503", 50508),
        ("really-busy-503", 50603),
    ],
)
def test_a_named_body_bears_its_code(
    simulator: Simulator, generate: Generate, name: str, code: int
) -> None:
    simulator.fail(body=name)
    assert generate(simulator).json()["code"] == code


def test_a_named_body_can_come_with_another_status(
    simulator: Simulator, generate: Generate
) -> None:
    simulator.fail(418, body="balance-402")
    assert (generate(simulator).status_code, len(simulator.faults)) == (418, 0)


def test_a_named_body_can_be_requested_over_http(simulator: Simulator, generate: Generate) -> None:
    url = f"{simulator.origin}/_simulator/state"
    requests.post(url, json={"fail": {"body": "large-413"}}, timeout=20)
    answer = generate(simulator)
    assert (answer.status_code, answer.headers["Content-Type"]) == (413, "text/html")


def test_faults_can_be_cleared_over_http(simulator: Simulator, generate: Generate) -> None:
    simulator.fail(503, times=9)
    url = f"{simulator.origin}/_simulator/state"
    assert requests.post(url, json={"clear_failures": True}, timeout=20).status_code == 200
    assert generate(simulator).status_code == 200


@pytest.mark.parametrize(("limit", "code"), [("IPM", 50604), ("TPM", 50602), ("RPM", 50603)])
def test_every_rate_limit_has_a_code_today(generate: Generate, limit: str, code: int) -> None:
    with Simulator(as_of="today") as simulator:
        simulator.fail(429, limit=limit)
        answer = generate(simulator, {"model": "Tongyi-MAI/Z-Image-Turbo", "prompt": "x"})
    assert (answer.status_code, answer.json()["code"]) == (429, code)
    assert answer.json()["message"].endswith(f"Details: {limit} limit reached.")
