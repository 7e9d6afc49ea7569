from spanwell_proxy.lane.environment import FIXED, scrub


def test_keys_of_providers_pass() -> None:
    environ = {
        "PATH": "/bin",
        "ANTHROPIC_API_KEY": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "GOOGLE_APPLICATION_CREDENTIALS": "/x.json",
        "HTTPS_PROXY": "http://proxy:3128",
        "https_proxy": "http://proxy:3128",
    }

    assert scrub(environ) == environ | FIXED


def test_nothing_else_does() -> None:
    environ = {
        "SPANWELL_API_KEY": "ours",
        "LITELLM_API_KEY": "x",
        "LITELLM_MASTER_KEY": "x",
        "DATABASE_URL": "postgres://u:p@db",
        "REDIS_URL": "redis://:p@cache",
        "LANGFUSE_SECRET_KEY": "x",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x",
        "PYTHONPATH": "/tmp",
        "PYTHONSTARTUP": "/tmp/x.py",
    }

    assert scrub(environ) == FIXED


def test_litellms_own_switches_cannot_be_turned() -> None:
    assert scrub({"LITELLM_MODE": "DEV", "LITELLM_LOCAL_MODEL_COST_MAP": "False"}) == FIXED
