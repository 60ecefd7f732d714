"""`check --contract`: what of the service is not as the pack expects it, at no cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from comfyui_siliconflow.__main__ import main
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.siliconflow import catalogue, contract
from comfyui_siliconflow.siliconflow.catalogue import Site

Output = pytest.CaptureFixture[str]
CONTRACT = ["check", "--contract"]
NO_ANSWERS = ("ipm-429", "busy-503", "text-500", "forbidden-403")


@pytest.fixture
def serve(
    use: Callable[[Simulator], None], write_settings: Callable[..., object]
) -> Iterator[Callable[..., Simulator]]:
    """Serve a site on a day, and let the command talk to it."""
    running: list[Simulator] = []

    def start(as_of: str = "today", site: Site = "cn") -> Simulator:
        simulator = Simulator(site=site, as_of=as_of)
        simulator.start()
        running.append(simulator)
        use(simulator)
        write_settings(site=site)
        return simulator

    yield start
    for simulator in running:
        simulator.stop()


@pytest.mark.parametrize("site", ["cn", "com"])
def test_nothing_of_today_s_service_differs_and_nothing_is_charged(
    serve: Callable[..., Simulator], site: Site, capsys: Output
) -> None:
    simulator = serve(site=site)
    assert main(CONTRACT) == 0
    output = capsys.readouterr().out
    rows = list(contract.rows(site))
    assert f"{len(rows)} as expected, 0 different, 0 could not be asked." in output
    assert len(simulator.requests) == len(rows) > 20
    assert sum(charge.amount for charge in simulator.charges) == 0
    assert sum(charge.pictures for charge in simulator.charges) == 0
    assert simulator.key not in output


@pytest.fixture
def old_service(serve: Callable[..., Simulator], capsys: Output) -> tuple[int, str]:
    """Return the exit code and the output of the command on a day of the older documents."""
    serve("2024-12-01")
    return main(CONTRACT), capsys.readouterr().out


def test_what_differs_on_a_day_of_the_older_documents_is_named(
    old_service: tuple[int, str],
) -> None:
    code, output = old_service
    assert code == 1
    for line in (
        "DIFFERS      GET /user/info",
        "Expected HTTP 410, but the answer is HTTP 200",
        "In the catalogue, but not in the list: Qwen/Qwen-Image\n",
        "retired by 2025-03-06 according to the catalogue: stabilityai/stable-diffusion-2-1",
        "In the list, but retired by 2026-07-21 according to the catalogue: THUDM/chatglm3-6b",
        "model=Qwen/Qwen2.5-7B-Instruct max_tokens=1 messages[11]",
        "Expected HTTP 400 · 20015 · enable_thinking, but the answer is HTTP 200",
        "Expected HTTP 200, but the answer is HTTP 400 · 20012 · Model does not exist.",
    ):
        assert line in output, line


def test_a_difference_says_since_when_it_was_believed_by_what_source_and_who_depends_on_it(
    old_service: tuple[int, str],
) -> None:
    _, output = old_service
    after = output.partition("GET /user/info")[2].splitlines()[2]
    assert after.strip().startswith("Expected since 2026-08-14 (service-2026). Used by: engine/")


def test_what_an_account_tells_of_its_owner_is_not_printed(old_service: tuple[int, str]) -> None:
    assert "100.00" not in old_service[1]
    assert "simulator" not in old_service[1]


@pytest.mark.parametrize("failure", [{"status": 0}, *({"body": name} for name in NO_ANSWERS)])
def test_what_the_network_the_moment_or_the_account_kept_from_an_answer_is_no_difference(
    serve: Callable[..., Simulator], capsys: Output, failure: dict[str, Any]
) -> None:
    serve().fail(**failure, on="rerank", times=9)
    assert main(CONTRACT) == 2
    output = capsys.readouterr().out
    assert "NOT ASKED    POST /rerank model=BAAI/bge-reranker-v2-m3" in output
    assert "0 different, 1 could not be asked." in output
    assert "may have been charged" not in output


def test_without_money_free_models_say_nothing_of_the_contract(
    serve: Callable[..., Simulator], capsys: Output
) -> None:
    serve().balance = "0"
    assert main(CONTRACT) == 2
    assert "0 different, 6 could not be asked." in capsys.readouterr().out


def test_a_refused_key_ends_the_comparison_at_its_first_request(
    serve: Callable[..., Simulator], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    simulator = serve()
    monkeypatch.setenv("SILICONFLOW_API_KEY", "sk-wrong")
    assert main(CONTRACT) == 1
    assert "does not accept the API key" in capsys.readouterr().out
    assert len(simulator.requests) == 1


def test_a_field_that_an_answer_lacks_is_named(
    serve: Callable[..., Simulator], capsys: Output
) -> None:
    serve().voice_lists = ("results",)
    assert main(CONTRACT) == 1
    assert 'not have the expected form at $.result. Expected: {"result": []}' in (
        capsys.readouterr().out
    )


def test_a_model_that_is_new_or_for_another_task_is_named(
    serve: Callable[..., Simulator], capsys: Output
) -> None:
    simulator = serve()
    for model in ("Qwen/Qwen9-1B", "Qwen/Qwen-Image", "\x1b[2Jevil"):
        simulator.add_model(model, {"type": "object"}, ("chat",))
    assert main(CONTRACT) == 1
    output = capsys.readouterr().out
    assert "In the list, but not in the catalogue: Qwen/Qwen9-1B" in output
    assert "for other tasks in the catalogue (text-to-image): Qwen/Qwen-Image" in output
    assert "evil" not in output


def test_a_stream_that_breaks_off_with_an_error_differs(
    serve: Callable[..., Simulator], capsys: Output
) -> None:
    serve().fail(broken="error", on="chat", after=0)
    assert main(CONTRACT) == 1
    assert "expected form at $.first.choices" in capsys.readouterr().out


@pytest.mark.parametrize("site", ["cn", "com"])
def test_paid_adds_one_image_of_the_cheapest_model(
    serve: Callable[..., Simulator], site: Site, capsys: Output
) -> None:
    simulator = serve(site=site)
    assert main([*CONTRACT, "--paid"]) == 0
    painters = [model for model in catalogue.load().of_task("text-to-image") if model.price]
    prices = {model.id: model.price for model in painters if model.site == site}
    cheapest = min(prices, key=lambda model_id: (prices[model_id] or {})["image"])
    [charge] = [charge for charge in simulator.charges if charge.pictures]
    assert (charge.model, charge.pictures) == (cheapest, 1)
    assert simulator.requests[-1].model == cheapest
    price = prices[cheapest] or {}
    assert f"{price['as_of']}: {price['image']} {price['currency']}." in capsys.readouterr().out


@pytest.mark.parametrize(("options", "said"), [((), 1), (("--paid",), 0)])
def test_only_without_an_image_all_calls_are_said_to_be_free(
    serve: Callable[..., Simulator], capsys: Output, options: tuple[str, ...], said: int
) -> None:
    serve()
    main([*CONTRACT, *options])
    assert capsys.readouterr().out.count("The calls are free.") == said


def test_the_price_is_shown_before_the_image_is_requested(
    serve: Callable[..., Simulator], monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    serve()
    ask = contract.ask

    def interrupted(client: Any, row: contract.Row) -> contract.Answer:
        if row.cost == contract.PAID:
            raise KeyboardInterrupt
        return ask(client, row)

    monkeypatch.setattr(contract, "ask", interrupted)
    assert main([*CONTRACT, "--paid"]) == 130
    assert "Its price by the list of 2026-07-21: 0 CNY." in capsys.readouterr().out


def test_an_image_that_was_lost_may_have_been_charged(
    serve: Callable[..., Simulator], capsys: Output
) -> None:
    serve().fail(0, model="Kwai-Kolors/Kolors")
    assert main([*CONTRACT, "--paid"]) == 2
    assert "You may have been charged." in capsys.readouterr().out
