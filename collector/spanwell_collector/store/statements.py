"""Takes a file of SQL apart."""

import re


def split_statements(text: str) -> list[str]:
    """The statements of `text`, without its comment lines. A statement ends where a line ends with a semicolon."""
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [part.strip() for part in re.split(r";\s*$", "\n".join(lines), flags=re.MULTILINE) if part.strip()]


def quote_text(text: str) -> str:
    """`text` as a literal of SQL, for the places that take no parameter."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
