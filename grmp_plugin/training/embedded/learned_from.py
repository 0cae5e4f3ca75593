"""Which images a model learned from, so that later evaluations can leave them out."""

import csv
import json
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from grmp_plugin.data.images import pixels_digest, read_image
from grmp_plugin.files import atomic_write


def digests_of(files: Mapping[str, str], kept: Path, processes: int) -> dict[str, str]:
    """Digest of the decoded pixels of each image, by name.

    Args:
        files: Path of each image by its name.
        kept: JSON file where they are kept; read where it is there.
        processes: Number of worker processes.
    """
    if not kept.exists():
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            digests = pool.map(_digest, files.values(), chunksize=16)
            result = dict(zip(files, digests, strict=True))
        with atomic_write(kept) as temporary:
            temporary.write_text(json.dumps(result), encoding="utf-8")
    loaded: dict[str, str] = json.loads(kept.read_text(encoding="utf-8"))
    return loaded


def original_digests(ratings_file: Path) -> dict[str, str]:
    """Digests that a ratings file gives in its column `pixels_sha256`, by `original` or image name.

    A data set that was encoded again has other pixels than the files which other people have.
    """
    with ratings_file.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or "pixels_sha256" not in rows[0]:
        return {}
    return {row.get("original") or row.get("image", ""): row["pixels_sha256"] for row in rows}


def _digest(path: str) -> str:
    return pixels_digest(read_image(path))
