"""The web server around the pages: Streamlit's options, and headers that let a page talk to nobody but us."""

from pathlib import Path
from typing import Any, Final

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spanwell.settings import Settings
from spanwell_dashboard.theme import streamlit_options

SCRIPT: Final = Path(__file__).with_name("app.py")

# `blob:` is how Streamlit loads the script of a component; `unsafe-inline` is what its own index.html needs.
CONTENT_SECURITY_POLICY: Final = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "frame-src 'none'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
HEADERS: Final = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class SecureHeaders:
    """ASGI middleware that puts `HEADERS` on every answer.

    Prompts and outputs are hostile: should one ever reach a place that renders Markdown, the browser still fetches
    nothing from outside.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def serve(settings: Settings) -> None:
    """Serve the pages until a signal ends the process."""
    build_app().run(config=options(settings))


def build_app() -> st.App:
    return st.App(SCRIPT, middleware=[Middleware(SecureHeaders)])


def options(settings: Settings) -> dict[str, Any]:
    """Everything Streamlit is told; nothing is left to a config.toml that happens to lie around."""
    return {
        "server.address": settings.host,
        "server.port": settings.dashboard_port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": False,
        "server.enableXsrfProtection": True,
        "server.maxMessageSize": 50,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": settings.host,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "runner.magicEnabled": False,
        **streamlit_options(),
    }
