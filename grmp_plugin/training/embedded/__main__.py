"""Train the embedded models from a recipe, photographs and ratings: the same command starts and resumes."""

import argparse
import json
import logging
import sys
from pathlib import Path

import torch

from grmp_plugin.config import read_yaml, to_dict
from grmp_plugin.errors import GRMPError, InputError
from grmp_plugin.files import atomic_write
from grmp_plugin.training.embedded.make import make_models
from grmp_plugin.training.embedded.settings import Recipe


def main() -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m grmp_plugin.training.embedded", description=__doc__)
    parser.add_argument("recipe", type=Path, help="YAML recipe, such as configs/tiny/embedded.yml")
    parser.add_argument(
        "--photographs",
        type=Path,
        required=True,
        help="folder of photographs, with a manifest.csv if there is one",
    )
    parser.add_argument(
        "--ratings", type=Path, required=True, help="CSV of photographs with people's mean opinion scores"
    )
    parser.add_argument(
        "--work",
        type=Path,
        required=True,
        help="folder for the corpus, the resumable state and the checkpoints",
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="torch threads, and processes that distort (2)"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(arguments.threads)
    try:
        recipe = read_yaml(Recipe, arguments.recipe)
        _claim(arguments.work, recipe)
        files = make_models(
            recipe, arguments.photographs, arguments.ratings, arguments.work, arguments.threads
        )
    except GRMPError as error:
        logging.error("%s", error)
        return 1
    for file in files:
        logging.info("wrote %s, %.1f MB", file, file.stat().st_size / 1e6)
    return 0


def _claim(work: Path, recipe: Recipe) -> None:
    """Note whose folder it is: what is there counts as done, and must be this recipe's."""
    note = work / "recipe.json"
    own = json.dumps(to_dict(recipe), indent=1)
    if note.exists() and note.read_text(encoding="utf-8") != own:
        raise InputError(
            f"{work} holds the work of another recipe ({note}): name another folder, or remove it"
        )
    work.mkdir(parents=True, exist_ok=True)
    with atomic_write(note) as temporary:
        temporary.write_text(own, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
