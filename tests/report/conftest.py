"""The browser that pages are looked at with; tests that want it are deselected where there is none."""

import pytest

from tests.report.browser import Browser


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    """Headless Chromium."""
    with Browser(tmp_path_factory.mktemp('profile')) as opened:
        yield opened
