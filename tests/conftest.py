"""Fixtures for several test files, and the list of slow tests; `tests/support` is on the import path."""

from pathlib import Path

import pytest
from broken_images import make_broken_folder
from slow_tests import SLOW_TESTS

_TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make test` leaves out."""
    for item in items:
        if not item.path.is_relative_to(_TESTS):
            continue
        names = SLOW_TESTS.get(item.path.relative_to(_TESTS).as_posix(), ())
        if getattr(item, "originalname", item.name) in names or not set(names).isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def broken_folder(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder of good and broken files, and the kind of each (see `make_broken_folder`)."""
    folder = tmp_path / "broken"
    return folder, make_broken_folder(folder)
