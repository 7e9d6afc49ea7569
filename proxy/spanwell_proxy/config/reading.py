"""Reads `model_list` and the settings of LiteLLM's format. Routes come from here and from nowhere else."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from spanwell.config import Config
from spanwell.errors import ConfigError
from spanwell.overrides import read_overrides
from spanwell.pricing import PriceTable
from spanwell_proxy.config.deployments import Context, Entry, check_name, read_deployment
from spanwell_proxy.config.fields import read_flag, read_mapping, read_number, read_text, read_words
from spanwell_proxy.config.litellm_keys import explain, explain_section
from spanwell_proxy.config.providers import find_provider, split_model
from spanwell_proxy.config.resilience import check_fallbacks, read_cooling, read_fallbacks, read_retries
from spanwell_proxy.config.routes import Deployment, Ignored, Routes, Wildcard
from spanwell_proxy.config.strategies import read_strategies

# `litellm_settings` that hold for the router where `router_settings` are silent, and their names there.
FOR_ROUTER: Final = {"request_timeout": "timeout", "model_alias_map": "model_group_alias"} | {
    key: key
    for key in (
        *("num_retries", "fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks"),
        *("max_fallbacks", "allowed_fails"),
    )
}
FOR_LANE: Final = ("drop_params", "modify_params")
BESIDE: Final = "what is said of a deployment stands under litellm_params or model_info"
ENTRY_KEYS: Final = ("model_name", "litellm_params", "model_info", "backend")


def read_routes(
    config: Config, prices: PriceTable, found: Sequence[Mapping[str, Any]] = (), workers: int = 1
) -> Routes:
    """`found` are further entries of `model_list`, that backends told of. Raises ConfigError naming the key."""
    _check_unset(config)
    context = read_context(config, prices, workers)
    entries, invalid = _read_entries(config, context, found)
    aliases, hidden = _read_aliases(context.settings, context.where)
    fallbacks = read_fallbacks(context.settings, context.where, aliases)
    groups = _group(entry for entry in entries if "*" not in entry.name)
    wild = _group(entry for entry in entries if "*" in entry.name)
    deployments = {name: tuple(read_deployment(entry, name) for entry in group) for name, group in groups.items()}
    _check_ids(deployments, config.source)
    wildcards = {name: _read_wildcard(name, wild[name]) for name in sorted(wild, key=len, reverse=True)}
    if not config.backends:  # else a model may be known later
        known, starts = {*groups, *wild, *aliases}, tuple(name.partition("*")[0] for name in wild)
        check_fallbacks(fallbacks, known, starts, context.where)
        _check_aliases(aliases, known, starts, context.where)
    routes = Routes(
        deployments=deployments,
        wildcards=wildcards,
        fallback_models=fallbacks,
        retries=read_retries(context.settings, context.where, _own_retries(groups)),
        cooling=read_cooling(context.settings, context.where),
        master_key=_read_master_key(config),
        ignored=(*invalid, *_ignored_keys(config)),
        aliases=aliases,
        hidden=hidden,
        access_groups=_read_access_groups(entries),
        strategies=read_strategies(context.settings, context.where),
        retry_after_s=read_number(context.settings, "retry_after", 0.0, context.where),
        checks_context=read_flag(context.settings, "enable_pre_call_checks", context.where),
        filters_tags=read_flag(context.settings, "enable_tag_filtering", context.where),
        any_tag=read_flag(context.settings, "tag_filtering_match_any", context.where, default=True),
    )
    return replace(routes, deployments=dict(deployments) | _aliased(routes))


def read_context(config: Config, prices: PriceTable, workers: int) -> Context:
    """What entries of `model_list` are read with."""
    given = config.litellm_settings
    return Context(
        settings={FOR_ROUTER[key]: value for key, value in given.items() if key in FOR_ROUTER} | config.router_settings,
        where=f"{config.source}: router_settings",
        environ=config.environ,
        prices=prices,
        overrides=tuple(sorted(read_overrides(config), key=lambda one: one.valid_from)),
        credentials=_read_credentials(config),
        workers=max(1, workers),
        for_litellm={key: given[key] for key in FOR_LANE if given.get(key) is not None},
    )


def _read_entries(
    config: Config, context: Context, found: Sequence[Mapping[str, Any]]
) -> tuple[list[Entry], list[Ignored]]:
    lenient = read_flag(context.settings, "ignore_invalid_deployments", context.where)
    entries, invalid, numbers = [], [], Counter[str]()
    listed = [(item, f"{config.source}: model_list[{index}]") for index, item in enumerate(config.model_list)]
    for item, where in (*listed, *((item, f"backend {item['backend']}") for item in found)):
        try:
            name = check_name(item, where)
            entry = Entry(item, where, numbers[name], context)
            read_deployment(entry, name, "x")  # what is wrong with a wildcard's must show now
        except ConfigError as error:
            if not lenient:
                raise
            invalid.append(Ignored(where.rpartition(" ")[2], str(error)))
            continue
        numbers[name] += 1
        entries.append(entry)
    return entries, invalid


def _group(entries: Iterator[Entry]) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.name, []).append(entry)
    return groups


def _read_wildcard(name: str, entries: Sequence[Entry]) -> Wildcard:
    def make(asked: str, caught: str) -> tuple[Deployment, ...]:
        try:
            return tuple(read_deployment(entry, asked, caught) for entry in entries)
        except ConfigError:  # where all of `provider/model` is caught, some providers need an address
            return ()

    return Wildcard(name, make)


def _check_ids(deployments: Mapping[str, Sequence[Deployment]], source: str) -> None:
    counted = Counter(one.id for group in deployments.values() for one in group)
    twice = next((name for name, count in counted.items() if count > 1), None)
    if twice is not None:
        raise ConfigError(f"{source}: model_list: two deployments have the id {twice!r}; ids must differ")


def _read_aliases(settings: Mapping[str, Any], where: str) -> tuple[dict[str, str], frozenset[str]]:
    aliases, hidden = {}, set()
    for alias, target in read_mapping(settings, "model_group_alias", where).items():
        item = target if isinstance(target, dict) else {"model": target}
        aliases[alias] = read_text(item, "model", f"{where}.model_group_alias.{alias}")
        if read_flag(item, "hidden", f"{where}.model_group_alias.{alias}"):
            hidden.add(alias)
    return aliases, frozenset(hidden)


def _check_aliases(aliases: Mapping[str, str], known: set[str], starts: tuple[str, ...], where: str) -> None:
    unknown = next((model for model in aliases.values() if model not in known and not model.startswith(starts)), None)
    if unknown is not None:
        raise ConfigError(f"{where}.model_group_alias: {unknown!r} is no model_name of model_list")


def _aliased(routes: Routes) -> dict[str, tuple[Deployment, ...]]:
    """A model name of its own is never covered by an alias."""
    named = {
        alias: routes.deployments.get(model) or routes.expand(model)
        for alias, model in routes.aliases.items()
        if alias not in routes.deployments
    }
    return {alias: group for alias, group in named.items() if group}


def _own_retries(groups: Mapping[str, Sequence[Entry]]) -> dict[str, int]:
    """The most that a deployment says of its model."""
    said = {
        name: [
            int(read_number(entry.params, key, 0, f"{entry.where}.litellm_params"))
            for entry in group
            for key in ("num_retries", "max_retries")
            if entry.params.get(key) is not None
        ]
        for name, group in groups.items()
    }
    return {name: max(counts) for name, counts in said.items() if counts}


def _check_unset(config: Config) -> None:
    """What counts here must have its variable; LiteLLM's own may be without."""
    for key in config.unset:
        if explain(*key.split(".", 1)) is None:
            raise ConfigError(f"{config.source}: {key}: the environment variable that it names is not set")


def _read_master_key(config: Config) -> str:
    own = read_text(config.general_settings, "master_key", f"{config.source}: general_settings")
    return own or config.environ.get("LITELLM_MASTER_KEY", "")


def _read_credentials(config: Config) -> dict[str, Mapping[str, Any]]:
    named = {}
    for index, item in enumerate(config.credential_list):
        where = f"{config.source}: credential_list[{index}]"
        name = read_text(item, "credential_name", where)
        if not name:
            raise ConfigError(f"{where}.credential_name: write the name that litellm_credential_name refers to")
        named[name] = read_mapping(item, "credential_values", where)
    return named


def _read_access_groups(entries: Sequence[Entry]) -> dict[str, frozenset[str]]:
    named = [
        (group, entry.name)
        for entry in entries
        for group in read_words(entry.info, "access_groups", f"{entry.where}.model_info")
    ]
    return {group: frozenset(name for other, name in named if other == group) for group, _ in named}


def _ignored_keys(config: Config) -> Iterator[Ignored]:
    yield from (Ignored(section, explain_section(section)) for section in config.unused)
    for index, entry in enumerate(config.model_list):
        at = f"model_list[{index}]"
        params = entry.get("litellm_params") or {}
        provider = find_provider(split_model(str(params.get("model")))[0], params)
        # What the translating lane is given goes to LiteLLM itself, which knows what to do with all of it.
        kept = params if provider and "chat" in provider.speaks else {}
        yield from _explain("litellm_params", [key for key in kept if explain("litellm_params", key)], at)
        yield from _explain("model_info", entry.get("model_info") or (), at)
        yield from (Ignored(f"{at}.{key}", BESIDE) for key in entry if key not in ENTRY_KEYS)
    yield from _explain("router_settings", config.router_settings)
    yield from _explain("litellm_settings", config.litellm_settings)
    yield from _explain("general_settings", config.general_settings)


def _explain(section: str, keys: Iterator[str] | Sequence[str] | Mapping[str, Any], at: str = "") -> Iterator[Ignored]:
    for key in keys:
        reason = explain(section, key)
        if reason is not None:
            yield Ignored(f"{at}.{section}.{key}" if at else f"{section}.{key}", reason)
