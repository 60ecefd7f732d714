"""Money and rate limits."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator, images
from comfyui_siliconflow.tests.conftest import Held
from comfyui_siliconflow.tests.waiting import until

Generate = Callable[..., requests.Response]


def test_each_image_lowers_the_balance_by_its_price(
    simulator: Simulator, generate: Generate
) -> None:
    generate(simulator, batch_size=3)
    assert simulator.balance == Decimal("99.70")


def test_a_charge_names_its_request(simulator: Simulator, generate: Generate) -> None:
    answer = generate(simulator, batch_size=2)
    trace_id = answer.headers["x-siliconcloud-trace-id"]
    assert simulator.charges == [(trace_id, "Kwai-Kolors/Kolors", 2, Decimal("0.20"))]


def test_the_record_of_a_request_says_what_it_made_and_cost(
    simulator: Simulator, generate: Generate
) -> None:
    generate(simulator, batch_size=2)
    record = simulator.requests[-1]
    assert (record.pictures, record.charged, record.delivered) == (2, Decimal("0.20"), True)


def test_a_refused_request_costs_nothing(simulator: Simulator, generate: Generate) -> None:
    generate(simulator, seed=-1)
    assert (simulator.charges, simulator.balance) == ([], Decimal("100.00"))


def test_images_are_charged_though_the_client_hung_up(simulator: Simulator, held: Held) -> None:
    url = f"{simulator.base_url}/images/generations"
    headers = {"Authorization": f"Bearer {simulator.key}"}
    body = {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"}
    with pytest.raises(requests.ReadTimeout):
        requests.post(url, json=body, headers=headers, timeout=0.3)
    held.wait_for(1)
    held.release()
    until(lambda: simulator.requests[0].status is not None)
    record = simulator.requests[0]
    assert (record.charged, record.delivered) == (Decimal("0.10"), False)
    assert simulator.balance == Decimal("99.90")


def test_a_request_under_way_is_listed_and_not_charged_yet(simulator: Simulator) -> None:
    simulator.latency = 30
    url = f"{simulator.base_url}/images/generations"
    headers = {"Authorization": f"Bearer {simulator.key}"}
    body = {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"}
    with pytest.raises(requests.ReadTimeout):
        requests.post(url, json=body, headers=headers, timeout=0.3)
    until(lambda: simulator.requests)
    assert [record.status for record in simulator.requests] == [None]
    assert simulator.charges == []


def test_too_little_money_is_forbidden_in_a_bare_string(
    simulator: Simulator, generate: Generate
) -> None:
    simulator.balance = "0.19"
    answer = generate(simulator, batch_size=2)
    assert (answer.status_code, answer.text) == (403, '"Forbidden"')


def test_the_last_money_can_be_spent(simulator: Simulator, generate: Generate) -> None:
    simulator.balance = "0.30"
    assert [generate(simulator, batch_size=count).status_code for count in (2, 1, 1)] == [
        200,
        200,
        403,
    ]
    assert simulator.balance == 0


def test_money_set_aside_for_one_request_is_not_lent_to_another(
    simulator: Simulator, generate: Generate, together: Any
) -> None:
    simulator.balance, simulator.latency = "0.10", 0.3
    answers = together(lambda: generate(simulator), 2)
    assert sorted(answer.status_code for answer in answers) == [200, 403]


def test_an_image_that_could_not_be_drawn_is_a_500_and_costs_nothing(
    simulator: Simulator, generate: Generate, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.balance = "0.10"
    with monkeypatch.context() as broken:
        broken.setattr(images, "draw", lambda *_: 1 / 0)
        answer = generate(simulator)
    assert (answer.status_code, "x-siliconcloud-trace-id" in answer.headers) == (500, True)
    assert generate(simulator).status_code == 200


def test_the_price_can_change(simulator: Simulator, generate: Generate) -> None:
    simulator.price = "0.0035"
    generate(simulator)
    assert simulator.balance == Decimal("99.9965")


def test_user_info_shows_the_balance_in_the_documented_shape(
    simulator: Simulator, generate: Generate, get: Generate
) -> None:
    generate(simulator)
    info = get(simulator, "/user/info").json()
    assert (info["code"], info["message"], info["status"]) == (20000, "OK", True)
    money = {name: info["data"][name] for name in ("balance", "chargeBalance", "totalBalance")}
    assert money == {"balance": "0.00", "chargeBalance": "99.90", "totalBalance": "99.90"}


def test_the_image_above_the_limit_is_refused_with_the_code_for_images(
    simulator: Simulator, generate: Generate
) -> None:
    simulator.ipm = 2
    answers = [generate(simulator) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    error = answers[2].json()
    assert (error["code"], error["message"][-18:]) == (50604, "IPM limit reached.")


def test_a_rate_limited_request_costs_nothing(simulator: Simulator, generate: Generate) -> None:
    simulator.ipm = 0
    generate(simulator)
    assert simulator.charges == []
    assert simulator.requests[-1].charged == 0


def test_a_batch_counts_every_image(simulator: Simulator, generate: Generate) -> None:
    simulator.ipm = 4
    assert [generate(simulator, batch_size=3).status_code for _ in range(2)] == [200, 429]
    assert generate(simulator, batch_size=1).status_code == 200


def test_the_window_slides(simulator: Simulator, clock: Any, generate: Generate) -> None:
    simulator.ipm = 2
    statuses = []
    for seconds in (0, 30, 29.9, 0.1, 29.9, 0.1):
        clock.now += seconds
        statuses.append(generate(simulator).status_code)
    assert statuses == [200, 200, 429, 200, 429, 200]


def test_a_limit_is_counted_for_each_model_alone(simulator: Simulator, generate: Generate) -> None:
    simulator.ipm = 1
    other = {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"}
    assert [generate(simulator).status_code, generate(simulator, other).status_code] == [200, 200]


def test_a_limit_can_be_set_for_one_model(simulator: Simulator, generate: Generate) -> None:
    simulator.ipm = {"Kwai-Kolors/Kolors": 0}
    other = {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"}
    assert [generate(simulator).status_code, generate(simulator, other).status_code] == [429, 200]


def test_a_star_stands_for_every_other_model(simulator: Simulator, generate: Generate) -> None:
    simulator.ipm = {"Kwai-Kolors/Kolors": 5, "*": 0}
    other = {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"}
    assert [generate(simulator).status_code, generate(simulator, other).status_code] == [200, 429]


def test_requests_sent_together_do_not_slip_past_the_limit(
    simulator: Simulator, generate: Generate, together: Any
) -> None:
    simulator.ipm, simulator.latency = 2, 0.2
    answers = together(lambda: generate(simulator), 6)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429, 429]


def test_waiting_requests_do_not_hold_each_other_up(simulator: Simulator, together: Any) -> None:
    simulator.latency = 30
    url = f"{simulator.base_url}/images/generations"
    headers = {"Authorization": f"Bearer {simulator.key}"}
    body = {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"}

    def give_up() -> None:
        with pytest.raises(requests.ReadTimeout):
            requests.post(url, json=body, headers=headers, timeout=0.5)

    together(give_up, 16)
    until(lambda: len(simulator.requests) == 16)
    assert [record.status for record in simulator.requests] == [None] * 16


def test_latency_can_be_set_for_one_model(simulator: Simulator, generate: Generate) -> None:
    simulator.latency = {"Kwai-Kolors/Kolors": 0.3}
    assert generate(simulator).json()["timings"]["inference"] >= 0.3


def test_a_call_for_no_image_has_a_price_of_its_own(simulator: Simulator, chat: Generate) -> None:
    chat(simulator, "x")
    assert simulator.charges[0][1:] == ("Qwen/Qwen2.5-7B-Instruct", 0, Decimal("0.001"))
    simulator.call_price = "0.5"
    chat(simulator, "x")
    assert simulator.balance == Decimal("99.499")


def test_the_record_of_a_call_says_its_tokens(simulator: Simulator, chat: Generate) -> None:
    answer = chat(simulator, "x").json()
    assert simulator.requests[-1].tokens == answer["usage"]["total_tokens"]


def test_a_call_without_money_is_forbidden(simulator: Simulator, chat: Generate) -> None:
    simulator.balance = "0"
    answer = chat(simulator, "x")
    assert (answer.status_code, answer.text) == (403, '"Forbidden"')


def test_requests_are_counted_by_the_minute(
    simulator: Simulator, clock: Any, chat: Generate
) -> None:
    simulator.rpm = 2
    answers = [chat(simulator, "x") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    error = answers[2].json()
    assert (set(error), error["message"][-18:]) == ({"message", "data"}, "RPM limit reached.")
    clock.now += 60
    assert chat(simulator, "x").status_code == 200


def test_tokens_are_counted_by_the_minute(simulator: Simulator, chat: Generate) -> None:
    used = chat(simulator, "x").json()["usage"]["total_tokens"]
    simulator.tpm = 2 * used
    answers = [chat(simulator, "x") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json()["message"].endswith("TPM limit reached.")


def test_a_request_refused_for_its_tokens_does_not_count(
    simulator: Simulator, chat: Generate
) -> None:
    simulator.rpm, simulator.tpm = 1, 0
    assert chat(simulator, "x").status_code == 429
    simulator.tpm = None
    assert chat(simulator, "x").status_code == 200


def test_a_limit_can_be_set_for_one_kind_of_model(simulator: Simulator, chat: Generate) -> None:
    simulator.rpm = {"embedding": 0, "chat": 1}
    assert [chat(simulator, "x").status_code for _ in range(2)] == [200, 429]
    body = {"model": "BAAI/bge-m3", "input": "x"}
    headers = {"Authorization": f"Bearer {simulator.key}"}
    url = f"{simulator.base_url}/embeddings"
    assert requests.post(url, json=body, headers=headers, timeout=20).status_code == 429


def test_images_and_other_requests_are_counted_apart(
    simulator: Simulator, generate: Generate, chat: Generate
) -> None:
    simulator.ipm, simulator.rpm = 1, 1
    assert [generate(simulator).status_code, chat(simulator, "x").status_code] == [200, 200]


def test_a_stream_is_charged_though_the_client_left(simulator: Simulator, post: Generate) -> None:
    simulator.latency = 5
    body = {"model": "Qwen/Qwen3-8B", "messages": [{"role": "user", "content": "x"}]}
    with post(simulator, "/chat/completions", {**body, "stream": True}, stream=True) as answer:
        next(answer.iter_content(10))
    assert len(simulator.charges) == 1
