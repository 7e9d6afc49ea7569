from pathlib import Path

import pytest

from spanwell.errors import ConfigError
from spanwell_collector.worker.rubric import INVALID, load_rubric

RUBRIC = """
name: helpfulness
question: Does the answer help?
labels:
  good: It does.
  bad: It does not.
  unsure: It cannot be told.
pass: good
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "rubric.yaml"
    path.write_text(text)
    return path


def test_labels_become_values(tmp_path: Path) -> None:
    rubric = load_rubric(written(tmp_path, RUBRIC))

    assert [rubric.value(label) for label in ("good", "bad", "unsure", INVALID)] == [1.0, 0.0, 0.5, 0.0]


def test_the_version_follows_the_words_and_not_the_layout(tmp_path: Path) -> None:
    version = load_rubric(written(tmp_path, RUBRIC)).version

    assert load_rubric(written(tmp_path, f"# a comment\n{RUBRIC}\n\n")).version == version
    assert load_rubric(written(tmp_path, RUBRIC.replace("does not", "does not!"))).version != version
    assert len(version) == 12


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (RUBRIC.replace("pass: good", "pass: perfect"), "'perfect' is not one of the labels"),
        (RUBRIC.replace("  bad:", "  invalid:"), "must not contain 'invalid'"),
        (RUBRIC.replace("  unsure:", "  so-so: Between.\n  unsure:"), "labels: Dictionary should have at most 3"),
        (RUBRIC + "examples: [{reason: short, label: nice}]", "'nice' is not one of the labels"),
        (RUBRIC + "fields: [context]", r"fields.0: Input should be 'input' or 'output'"),
        (RUBRIC + "colour: red", "colour: Extra inputs are not permitted"),
        ("[1, 2]", "Input should be a valid dictionary"),
        ("a: [", "not YAML"),
    ],
)
def test_a_wrong_rubric_is_explained(tmp_path: Path, text: str, complaint: str) -> None:
    path = written(tmp_path, text)

    with pytest.raises(ConfigError, match=complaint) as raised:
        load_rubric(path)

    assert str(path) in str(raised.value)


def test_a_missing_rubric_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file"):
        load_rubric(tmp_path / "nowhere.yaml")
