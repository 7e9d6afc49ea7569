"""A rubric: one question about an answer, with two or three labels to choose from. A YAML file, known by its hash."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spanwell.errors import ConfigError

UNSURE = "unsure"
INVALID = "invalid"  # the label of a verdict that could not be read; no rubric may use it
HASH_CHARS = 12

Text = Annotated[str, Field(min_length=1)]
Label = Annotated[str, Field(min_length=1, max_length=100)]
SampleField = Literal["input", "output"]


class Example(BaseModel):
    """A judged sample that shows the model what is meant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str = ""
    output: str = ""
    reason: Text
    label: Text


class Rubric(BaseModel):
    """`labels` maps a label to its description; `pass` names the one that counts as 1.0."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    name: Text
    question: Text
    labels: dict[Label, Text] = Field(min_length=2, max_length=3)
    pass_label: Text = Field(alias="pass")
    fields: tuple[SampleField, ...] = Field(default=("input", "output"), min_length=1)
    examples: tuple[Example, ...] = ()

    @model_validator(mode="after")
    def _labels_agree(self) -> "Rubric":
        if INVALID in self.labels:
            raise ValueError(f"labels must not contain {INVALID!r}: it marks verdicts that cannot be read")
        for label in (self.pass_label, *(example.label for example in self.examples)):
            if label not in self.labels:
                raise ValueError(f"{label!r} is not one of the labels {list(self.labels)}")
        return self

    @property
    def version(self) -> str:
        """Hash of the content: comments and layout of the file do not change it, every word does."""
        content = json.dumps(self.model_dump(mode="json"), ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()[:HASH_CHARS]

    def value(self, label: str) -> float:
        """1.0 for the passing label, 0.5 for unsure, 0.0 otherwise: a judge that fails never looks like a pass."""
        if label == UNSURE:
            return 0.5
        return 1.0 if label == self.pass_label else 0.0


def load_rubric(path: Path) -> Rubric:
    """Read a rubric. Raises ConfigError naming file, key and what is allowed."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    try:
        return Rubric.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}: {key}: {first['msg'].removeprefix('Value error, ')}") from error
