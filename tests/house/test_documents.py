"""The documents say what the code does: a setting or a link that is missing fails here."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from spanwell.settings import Settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


def test_every_setting_is_documented_with_its_help() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")

    missing = [
        f.name for f in fields(Settings) if f"`SPANWELL_{f.name.upper()}`" not in page or f.metadata["help"] not in page
    ]

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", document.read_text(encoding="utf-8"))

    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_decision_is_listed_in_the_index() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")

    assert [path.name for path in (ROOT / "docs/decisions").glob("0*.md") if path.name not in index] == []


def test_every_column_of_a_table_is_documented() -> None:
    page = (ROOT / "docs/reference/data-model.md").read_text(encoding="utf-8")
    migrations = ROOT / "collector/spanwell_collector/store/migrations"
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(migrations.glob("*.sql")))
    tables = re.findall(
        r"CREATE TABLE spanwell\.(\w+)\s*\(((?:(?!ENGINE).)*?)\n\)\s*ENGINE = (?!Null)", text, re.DOTALL
    )
    made, dropped = dict(tables), set(re.findall(r"DROP TABLE spanwell\.(\w+);", text)) - {"texts"}

    columns = [
        (table, name)
        for table, body in made.items()
        for name in re.findall(r"^ {4}(?!INDEX)(\w+)\s", body, re.MULTILINE)
        if table not in dropped
    ]
    assert len(columns) > 80
    assert [(table, name) for table, name in columns if f"`{name}`" not in _section(page, table)] == []


def _section(page: str, heading: str) -> str:
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
