"""Takes a file of SQL apart."""

import re


def split_statements(text: str) -> list[str]:
    """The statements of `text`, without its comment lines. A statement ends where a line ends with a semicolon."""
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [part.strip() for part in re.split(r";\s*$", "\n".join(lines), flags=re.MULTILINE) if part.strip()]
