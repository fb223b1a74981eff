"""What the tests of experiments share."""

import pytest

from cnn.experiments import report


@pytest.fixture
def no_pictures(monkeypatch):
    """Results without pictures: those of a dozen members take longer to draw than the members to train."""
    finish = report.finish
    monkeypatch.setattr(report, 'finish', lambda *args, **options: finish(*args, **options | {'pictures': False}))
