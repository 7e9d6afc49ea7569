"""The table of keys against the installed LiteLLM, whose source is read, not run."""

import ast
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from spanwell_proxy.config.litellm_keys import SECTIONS, explain


def litellm() -> Path:
    spec = find_spec("litellm")
    assert spec
    assert spec.origin
    return Path(spec.origin).parent


def class_fields(file: str, name: str) -> set[str]:
    (found,) = (
        node
        for node in ast.walk(ast.parse((litellm() / file).read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name == name
    )
    return {
        node.target.id for node in found.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def router_arguments() -> set[str]:
    tree = ast.parse((litellm() / "router.py").read_text(encoding="utf-8"))
    router = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Router")
    (init,) = (node for node in router.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    return {argument.arg for argument in init.args.args} - {"self"}


def module_settings() -> set[str]:
    """What `litellm_settings` may set: the package's public variables of plain kinds."""
    names = set()
    for node in ast.parse((litellm() / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def general_keys() -> set[str]:
    read = re.compile(r'general_settings(?:\.get\(\s*|\[)"(\w+)"')
    asked = {key for file in (litellm() / "proxy").glob("*.py") for key in read.findall(file.read_text("utf-8"))}
    return asked | class_fields("proxy/_types.py", "ConfigGeneralSettings")


KEYS: dict[str, Callable[[], set[str]]] = {
    "router_settings": lambda: router_arguments() | class_fields("types/router.py", "UpdateRouterConfig"),
    "litellm_settings": module_settings,
    "general_settings": general_keys,
    "litellm_params": lambda: (
        class_fields("types/router.py", "GenericLiteLLMParams")
        | class_fields("types/router.py", "CredentialLiteLLMParams")
        | class_fields("types/router.py", "LiteLLMParamsTypedDict")
        | class_fields("types/utils.py", "CustomPricingLiteLLMParams")
    ),
    "model_info": lambda: class_fields("types/router.py", "ModelInfo"),
}


@pytest.mark.parametrize("section", KEYS)
def test_every_key_of_litellm_counts_or_has_a_reason(section: str) -> None:
    keys = KEYS[section]()

    assert len(keys) > 20
    assert sorted(key for key in keys if explain(section, key) == "") == []


@pytest.mark.parametrize("section", [name for name in KEYS if name not in ("model_info", "litellm_params")])
def test_what_counts_is_a_key_of_litellm(section: str) -> None:
    others = {"cache_params", "request_timeout"}

    assert SECTIONS[section].honoured - KEYS[section]() <= others


def test_a_rate_counts_and_a_word_of_nobody_has_no_reason() -> None:
    assert explain("litellm_params", "input_cost_per_token_above_200k_tokens") is None
    assert explain("general_settings", "database_url") == (
        "there is no database of that kind here: state is in SQLite, or in Redis"
    )
    assert explain("router_settings", "nobodys") == ""
