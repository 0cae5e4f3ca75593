"""Fixtures for several test files, and marks of slow tests; `tests/support` is on the import path."""

from pathlib import Path

import pytest
from broken_images import make_broken_folder
from slow_tests import LONG_TESTS, SLOW_TESTS

_TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make test` leaves out; see `slow_tests`."""
    for item in items:
        if not item.path.is_relative_to(_TESTS):
            continue
        file = item.path.relative_to(_TESTS).as_posix()
        known = {getattr(item, "originalname", item.name), *item.fixturenames}
        if not known.isdisjoint(LONG_TESTS.get(file, ())):
            item.add_marker(pytest.mark.long)
        elif not known.isdisjoint(SLOW_TESTS.get(file, ())):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def broken_folder(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder of good and broken files, and the kind of each (see `make_broken_folder`)."""
    folder = tmp_path / "broken"
    return folder, make_broken_folder(folder)
