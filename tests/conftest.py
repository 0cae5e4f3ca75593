"""Fixtures for several test files; `tests/support` is on the import path (see pyproject.toml)."""

from pathlib import Path

import pytest
from broken_images import make_broken_folder


@pytest.fixture
def broken_folder(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A folder of good and broken files, and the kind of each (see `make_broken_folder`)."""
    folder = tmp_path / "broken"
    return folder, make_broken_folder(folder)
