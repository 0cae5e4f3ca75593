"""Digests of decoded pixels, by which images are recognised that a metric learned from."""

from collections.abc import Iterable, Mapping

import numpy as np

from grmp_plugin.data.images import file_pixels_digest, pixels_digest
from grmp_plugin.evaluation.score_cache import ScoreCache, cache_key
from grmp_plugin.progress import Progress, ProgressCallback
from grmp_plugin.threads import decoding_pool
from grmp_plugin.versions import package_versions

_STAGE = "recognising images"


class PixelDigests:
    """Digests of pixels by the digest of their file; known ones come from the cache.

    Args:
        cache: Keeps digests from run to run.
    """

    def __init__(self, cache: ScoreCache) -> None:
        self._cache = cache
        self._known: dict[str, str] = {}
        # Whatever decides the pixels of a file.
        versions = package_versions()
        self._identity = {"pixels": {name: versions[name] for name in ("grmp-iqa", "numpy", "pillow")}}

    def find(self, files: Iterable[str]) -> None:
        """Take what the cache knows of files, given by their digests."""
        keys = {self._key(file): file for file in files}
        self._known |= {keys[key]: digest for key, digest in self._cache.find_digests(keys).items()}

    def add(self, file: str, pixels: np.ndarray) -> None:
        """Take an image that was decoded anyway; may be called from several threads.

        Args:
            file: Digest of the file.
            pixels: (H, W, 3) uint8 RGB.
        """
        if file not in self._known:
            self._known[file] = pixels_digest(pixels)

    def take(self, file: str, digest: str) -> None:
        """Take the digest of the pixels of a file, given by its digest."""
        self._known.setdefault(file, digest)

    def complete(self, files: Mapping[str, str], report: ProgressCallback) -> None:
        """Decode the images that are still unknown; those that cannot be read stay so.

        Args:
            files: Paths by the digests of the files.
            report: Called after each image.
        """
        missing = {file: path for file, path in files.items() if file not in self._known}
        try:
            with decoding_pool() as pool:
                for done, (file, digest) in enumerate(
                    zip(missing, pool.map(file_pixels_digest, missing.values()), strict=True), 1
                ):
                    if digest is not None:
                        self._known[file] = digest
                    report(Progress(_STAGE, done, len(missing)))
        finally:
            self.keep(files)

    def keep(self, files: Iterable[str]) -> None:
        """Write what is known of files to the cache."""
        self._cache.keep_digests(
            {self._key(file): self._known[file] for file in files if file in self._known}
        )

    def get(self, file: str) -> str | None:
        """Digest of the pixels of a file, if it is known.

        Args:
            file: Digest of the file.
        """
        return self._known.get(file)

    def _key(self, file: str) -> str:
        return cache_key(self._identity, file, None)
