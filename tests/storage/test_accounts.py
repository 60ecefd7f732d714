"""What makes two requests the same, and what a name does not reveal."""

from comfyui_siliconflow.storage.accounts import account_id
from comfyui_siliconflow.storage.ledger import fingerprint


def test_a_request_is_the_same_for_the_same_account_endpoint_and_body() -> None:
    body = {"model": "m", "prompt": "x", "seed": 1}
    same = fingerprint("account", "images/generations", dict(reversed(body.items())))
    assert fingerprint("account", "images/generations", body) == same
    others = [
        fingerprint("other", "images/generations", body),
        fingerprint("account", "audio/speech", body),
        fingerprint("account", "images/generations", {**body, "seed": 2}),
    ]
    assert len({same, *others}) == 4


def test_an_account_id_does_not_reveal_the_key() -> None:
    name = account_id("sk-secret", "https://api.siliconflow.cn/v1")
    assert "secret" not in name
    assert name != account_id("sk-secret", "https://api.siliconflow.com/v1")
    assert name != account_id("sk-other", "https://api.siliconflow.cn/v1")
