"""What the collector is sent of prompts and answers: masked always, sealed where that is asked for."""

import json
from pathlib import Path

from spanwell import conventions as c
from spanwell.settings import Settings
from spanwell_proxy.sealing.keeping import unseal_all, users_path
from spanwell_proxy.sealing.project import find_key
from spanwell_proxy.sealing.users import UserKeys
from tests.proxy.backend import Backend
from tests.proxy.gateway import config, deployment, running_proxy
from tests.proxy.sink import Sink

ASK = {"model": "fox", "user": "u1", "messages": [{"role": "user", "content": "I am\nanna@example.com of Rome"}]}


async def test_what_names_a_person_is_not_stored_though_it_is_forwarded(
    backend: Backend, sink: Sink, tmp_path: Path
) -> None:
    async with running_proxy(tmp_path, config(deployment(backend.url)), sink.port) as proxy:
        await proxy.post(ASK)
        (span,) = await sink.wait(1)

    assert "anna@example.com" in json.dumps(backend.requests)
    assert json.loads(span.attributes[c.INPUT_MESSAGES])[0]["parts"][0]["content"] == "I am\n[EMAIL] of Rome"
    assert b"anna" not in b"".join(sink.bodies)


async def test_texts_of_a_user_go_with_the_users_key(backend: Backend, sink: Sink, tmp_path: Path) -> None:
    async with running_proxy(tmp_path, config(deployment(backend.url)), sink.port, seal_texts="user") as proxy:
        await proxy.post(ASK)
        (span,) = await sink.wait(1)
    settings = Settings(data=tmp_path)
    users = UserKeys(users_path(settings), find_key(settings))

    readable, _ = unseal_all(span.attributes[c.INPUT_MESSAGES], find_key(settings), users)
    users.erase("u1")
    _, lost = unseal_all(span.attributes[c.INPUT_MESSAGES], find_key(settings), users)

    assert b"Rome" not in b"".join(sink.bodies)
    assert b"Foxes" not in b"".join(sink.bodies)
    assert "Rome" in readable
    assert lost == 1
