"""The mapping as SQL: what makes a span's map of attributes out of `names` and `values` in the pipeline's views.

It is analysed anew with every insert, so it is kept short: one hash lookup an attribute renames all of them, and only
what stands in JSON, in another unit or under a name that one dialect alone may use is spelled out.
"""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Final, NamedTuple

from spanwell import conventions as c
from spanwell_collector.dialects.mapping import Mappings, Source, list_sources

SQL: Final = """CAST(arrayMap(pair -> (pair.1, pair.2), arrayMap(
    mapped -> arrayFilter((pair, nth) -> nth = 1, mapped, arrayEnumerateUniq(arrayMap(pair -> pair.1, mapped))),
    [arraySort(pair -> pair.3, arrayFilter(pair -> pair.2 != '', arrayMap(
        pair -> (
            pair.1,
            if(pair.1 IN ({worded}),
               transform(concat(pair.1, ' ', lower(pair.2)), {said}, {words}, lower(pair.2)),
               pair.2),
            pair.3),
        arrayConcat(
            arrayMap((name, value) -> (
                transform(name, {sources}, {targets}, name),
                value,
                transform(name, {sources}, {ranks}, 0)), {names}, values),
            {extras}))))])[1]), 'Map(String, String)')"""
INSIDE: Final = """if(has(names, {document}), arrayMap((target, first, second, rank) -> (
                target,
                if(second = '',
                   JSONExtractString(values[indexOf(names, {document})], first),
                   JSONExtractString(values[indexOf(names, {document})], first, second)),
                rank), {targets}, {firsts}, {seconds}, {ranks}), [])"""
MARKED: Final = """{dialect} = {own},
    arrayMap(name -> if(name IN ({common}), concat({own}, ' ', name), name), names)"""
DIALECT: Final = f"values[indexOf(names, '{c.DIALECT}')]"


class Rule(NamedTuple):
    """One source with what it feeds."""

    target: str
    rank: int
    source: Source

    @property
    def key(self) -> str:
        """The name to look up: one that a single dialect may use is told apart by a blank, which no source has."""
        return f"{self.source.only} {self.source.name}" if self.source.only else self.source.name


def render_mapping(mapping: Mappings) -> str:
    """An expression over `names` and `values`, Array(String) both, of type Map(String, String).

    What is mapped is there under our name once, the first source winning; what is not mapped stays as it is.
    """
    rules = [Rule(target.name, rank, source) for target, rank, source in list_sources(mapping)]
    plain = [rule for rule in rules if not rule.source.path and not rule.source.unit]
    words = [(f"{target.name} {word}", said) for target in mapping.values() for word, said in target.words.items()]
    return SQL.format(
        sources=_array(rule.key for rule in plain),
        targets=_array(rule.target for rule in plain),
        ranks=_ranks(plain),
        names=_render_names(plain),
        extras=",\n            ".join(_render_extras(rules)),
        worded=", ".join(_quote(target.name) for target in mapping.values() if target.words),
        said=_array(key for key, _ in words),
        words=_array(said for _, said in words),
    )


def _render_names(rules: Iterable[Rule]) -> str:
    """The names, those that count in one dialect alone marked with it."""
    cases = [
        MARKED.format(dialect=DIALECT, own=_quote(own), common=_list(of))
        for own, of in _group((rule for rule in rules if rule.source.only), lambda rule: rule.source.only)
    ]
    return f"multiIf({', '.join(cases)}, names)" if cases else "names"


def _render_extras(rules: Iterable[Rule]) -> Iterable[str]:
    """What stands inside an attribute, or has to be computed from it, as more pairs; an absent one is empty."""
    inside = (rule for rule in rules if rule.source.path)
    for document, of in _group(inside, lambda rule: rule.source.name):
        yield INSIDE.format(
            document=_quote(document),
            targets=_array(rule.target for rule in of),
            firsts=_array(rule.source.path[0] for rule in of),
            seconds=_array("".join(rule.source.path[1:]) for rule in of),
            ranks=_ranks(of),
        )
    for rule in (rule for rule in rules if rule.source.unit):
        value = f"toFloat64OrNull(values[indexOf(names, {_quote(rule.source.name)})]) / 1000"
        yield f"[({_quote(rule.target)}, ifNull(toString({value}), ''), {rule.rank})]"


def _group(rules: Iterable[Rule], key: Callable[[Rule], str]) -> Iterable[tuple[str, list[Rule]]]:
    return [(name, list(of)) for name, of in groupby(sorted(rules, key=key), key=key)]


def _list(rules: Iterable[Rule]) -> str:
    return ", ".join(_quote(rule.source.name) for rule in rules)


def _ranks(rules: Iterable[Rule]) -> str:
    return f"[{', '.join(str(rule.rank) for rule in rules)}]"


def _array(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_quote, texts))}]"


def _quote(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
