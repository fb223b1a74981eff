"""A member: one of the models that an experiment trains, alone or beside others (cnn/training/members.py)."""

import dataclasses
import pathlib
from typing import Any


@dataclasses.dataclass(frozen=True)
class Member:
    """What one model is trained on and scored on, and where its record goes.

    Attributes:
      config: its own settings.
      workdir: where `metrics.jsonl`, `result.json` and pictures go.
      train, test: its sources.
      whole: the source that `train` and `test` are parts of, if they are: then a batch's `index` refers to it.
      info: the data set's entry, with the statistics that it normalises by.
      name: tells it from the others in messages; '' where it is alone.
    """

    config: Any
    workdir: pathlib.Path
    train: Any
    test: Any
    info: Any
    name: str = ''
    whole: Any = None

    @property
    def train_images(self) -> Any:
        """What a training batch's `index` refers to."""
        return self.whole or self.train

    @property
    def test_images(self) -> Any:
        """What an evaluation batch's `index` refers to."""
        return self.whole or self.test

    def called(self, text: str) -> str:
        """`text` with the member's name before it."""
        return f'{self.name}: {text}' if self.name else text
