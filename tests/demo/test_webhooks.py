import base64
import hashlib
import hmac
from pathlib import Path

import httpx
import pytest

from spanwell.demo.webhooks import SignatureError, WebhookReceiver, verify_signature

NOW_S = 1_795_000_000
KEY = b"a secret of 24 bytes ...."
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = b'{"status":"firing"}'


def signed(body: bytes, *, message_id: str = "msg_1", at_s: int = NOW_S, key: bytes = KEY) -> dict[str, str]:
    content = f"{message_id}.{at_s}.".encode() + body
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{signature}"}


def receiver(file: Path) -> httpx.AsyncClient:
    app = WebhookReceiver(SECRET, file, clock=lambda: float(NOW_S))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://oncall")


def test_a_right_signature_passes_among_others() -> None:
    headers = signed(BODY)
    headers["webhook-signature"] = "v1,bm90IHRoaXMgb25l " + headers["webhook-signature"]

    verify_signature(SECRET, headers, BODY, NOW_S)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({}, BODY),
        (signed(BODY, key=b"another secret .........."), BODY),
        (signed(BODY), b'{"status":"resolved"}'),
        (signed(BODY, at_s=NOW_S - 301), BODY),
        (signed(BODY, at_s=NOW_S + 301), BODY),
        ({**signed(BODY), "webhook-id": "msg_2"}, BODY),
        ({**signed(BODY), "webhook-timestamp": "soon"}, BODY),
    ],
)
def test_what_was_not_signed_with_the_secret_now_is_refused(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(SignatureError):
        verify_signature(SECRET, headers, body, NOW_S)


async def test_a_bad_signature_is_401_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.jsonl"

    answer = await receiver(file).post("/webhooks", content=BODY, headers=signed(BODY, key=b"x" * 24))

    assert answer.status_code == 401
    assert not file.exists()


async def test_a_delivery_that_comes_twice_is_kept_once(tmp_path: Path) -> None:
    oncall = receiver(tmp_path / "webhooks.jsonl")
    for _ in range(2):
        assert (await oncall.post("/webhooks", content=BODY, headers=signed(BODY))).status_code == 200

    deliveries = (await oncall.get("/webhooks")).json()["deliveries"]

    assert [(delivery["id"], delivery["body"]) for delivery in deliveries] == [("msg_1", {"status": "firing"})]


async def test_deliveries_survive_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "webhooks.jsonl"
    await receiver(file).post("/webhooks", content=BODY, headers=signed(BODY))

    deliveries = (await receiver(file).get("/webhooks")).json()["deliveries"]

    assert [delivery["id"] for delivery in deliveries] == ["msg_1"]
