"""A backend has to prove that it is the one that the file names: keys and prompts go nowhere else."""

from pathlib import Path

import pytest

from tests.proxy.bad_backend import make_certificate, running_bad_backend
from tests.proxy.gateway import config, deployment, running_proxy
from tests.proxy.sink import Sink


@pytest.mark.parametrize(
    ("name", "trusted", "status"),
    [("IP:127.0.0.1", True, 200), ("IP:127.0.0.1", False, 502), ("DNS:fox.example", True, 502)],
)
async def test_a_backend_is_asked_only_with_a_certificate_of_its_own(
    sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool, status: int
) -> None:
    certificate, context = make_certificate(tmp_path, name)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with running_bad_backend(context) as backend:
        document = config(deployment(backend.url("a")), router_settings={"num_retries": 0})
        async with running_proxy(tmp_path, document, sink.port) as proxy:
            reply = await proxy.post()

    assert reply.status_code == status
    assert len(backend.requests["a"]) == (status == 200)
    assert "certificate verify failed" in reply.text or status == 200
