"""Train the embedded model from a recipe: the same command starts and resumes."""

import argparse
import logging
import sys
from pathlib import Path

import torch

from grmp_plugin.config import read_yaml
from grmp_plugin.errors import GRMPError
from grmp_plugin.training.embedded.corpus import make_corpus
from grmp_plugin.training.embedded.prompts import learn_prompts
from grmp_plugin.training.embedded.settings import Recipe
from grmp_plugin.training.embedded.train import train


def main() -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m grmp_plugin.training.embedded", description=__doc__)
    parser.add_argument("recipe", type=Path, help="YAML recipe, such as configs/tiny/embedded.yml")
    parser.add_argument(
        "--work",
        type=Path,
        required=True,
        help="folder for the corpus, the resumable state and the three checkpoints",
    )
    parser.add_argument("--threads", type=int, default=1, help="torch threads, and processes that draw (1)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    torch.set_num_threads(arguments.threads)
    try:
        recipe = read_yaml(Recipe, arguments.recipe)
        corpus = make_corpus(recipe, arguments.work / "corpus", arguments.threads)
        files = train(recipe, corpus, arguments.work)
        files["meta"] = learn_prompts(recipe, files["backbone"], arguments.work)
    except GRMPError as error:
        logging.error("%s", error)
        return 1
    for file in files.values():
        logging.info("wrote %s, %.1f MB", file, file.stat().st_size / 1e6)
    return 0


if __name__ == "__main__":
    sys.exit(main())
