"""The rule that keeps prompts out of Markdown, as a test over the source of the pages.

What Streamlit reads as Markdown must be written in the source: a literal, a constant, a number from `formatting`, or a
parameter typed `LiteralString`, whose callers are then under the same rule.
"""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "dashboard" / "spanwell_dashboard"
PATHS = sorted(PACKAGE.rglob("*.py"))
Sinks = Mapping[str, tuple[str, ...]]  # function -> names of its parameters that are read as Markdown, by position

STREAMLIT = """
    badge button caption checkbox download_button error exception expander feedback header html info latex link_button
    logo markdown multiselect number_input page_link pills popover radio segmented_control selectbox slider spinner
    status subheader success tabs text_area text_input title toast toggle warning write write_stream
"""
STREAMLIT_SINKS: Sinks = {**dict.fromkeys(STREAMLIT.split(), ("label",)), "metric": ("label", "value", "delta")}
TEXT_KEYWORDS = {"label", "body", "value", "delta", "delta_description", "help", "placeholder", "icon"}
SAFE_TYPES = ("LiteralString", "Formatter", "Comparison")
FORMATTING = {"change", "points", "count", "duration", "money", "rate", "rates", "speed", "probability", "score"}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def literal_parameters(function: ast.FunctionDef) -> tuple[str, ...]:
    """Names by position, an empty name where the parameter may be anything."""
    arguments = [*function.args.args, *function.args.kwonlyargs]
    types = [ast.unparse(item.annotation) if item.annotation else "" for item in arguments]
    named = [any(safe in found for safe in SAFE_TYPES) for found in types]
    return tuple(item.arg if literal else "" for item, literal in zip(arguments, named, strict=True))


def own_sinks() -> Sinks:
    trees = [ast.parse(path.read_text()) for path in PATHS]
    found = {function.name: literal_parameters(function) for tree in trees for function in functions(tree)}
    found["card"] = ("label", "value", *found["card"][2:])
    return {name: names for name, names in found.items() if any(names)}


SINKS: Sinks = {**STREAMLIT_SINKS, **own_sinks()}


def is_safe(node: ast.expr, literals: set[str]) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.Name(id=name):
            return name.isupper() or name in literals or name in FORMATTING
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return name in FORMATTING or name in literals or (name == "str" and is_safe(arguments[0], literals))
        case ast.Attribute(value=ast.Name(id=name), attr=attribute):
            return attribute.isupper() or (name, attribute) == ("delta", "text")
        case ast.Subscript(value=inner) | ast.FormattedValue(value=inner):
            return is_safe(inner, literals)
        case ast.IfExp(body=left, orelse=right) | ast.BinOp(left=left, right=right):
            return is_safe(left, literals) and is_safe(right, literals)
        case ast.List(elts=items) | ast.JoinedStr(values=items):
            return all(is_safe(item, literals) for item in items)
    return False


def markdown_arguments(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call that Streamlit reads as Markdown; none where the call is no sink."""
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    if name not in SINKS or owner.startswith("sys."):
        return []
    sink = SINKS[name]
    by_name = {*sink, *(TEXT_KEYWORDS if name in STREAMLIT_SINKS else ())}
    positional = [argument for argument, wanted in zip(call.args, sink, strict=False) if wanted]
    return [*positional, *(item.value for item in call.keywords if item.arg in by_name and item.arg)]


def unsafe_lines(source: str) -> list[int]:
    tree = ast.parse(source)
    literals = {name for function in functions(tree) for name in literal_parameters(function) if name}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls for argument in markdown_arguments(call) if not is_safe(argument, literals)]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_only_literals_reach_a_string_that_reads_markdown(path: Path) -> None:
    assert unsafe_lines(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        'st.markdown(f"**{name}**")',
        "st.caption(text)",
        "column.metric(row.model, 1)",
        'column.metric("Model", row.model)',
        'st.badge("x", help=name)',
        'panels.card("Cost", money(total), note=text)',
        'panels.card("Model", row.model)',
        'panels.metric_card(course, "Cost", "cost_usd", shout, good="down")',
        'panels.metric_card(course, name, "cost_usd", money)',
        'panels.panel("Model " + name)',
        "page(name, body)",
        "st.error(str(error))",
        "st.tabs([name])",
    ],
)
def test_the_rule_finds_data_in_markdown(source: str) -> None:
    assert unsafe_lines(source) == [1]


@pytest.mark.parametrize(
    "source", ["st.text(name)", "st.code(prompt)", 'st.markdown("**Models**")', 'panels.card("Cost", money(total))']
)
def test_the_rule_lets_text_and_literals_pass(source: str) -> None:
    assert unsafe_lines(source) == []
