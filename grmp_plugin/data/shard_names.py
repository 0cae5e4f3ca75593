"""Names of the images of a shard, each used once."""

NO_IMAGES = "no images in it"
"""Why a shard that can be read gives nothing."""


class ShardNames:
    """Gives every image of a shard a name of its own, the same whenever the shard is read."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def __len__(self) -> int:
        """How many names were given."""
        return len(self._taken)

    def unique(self, *wanted: str) -> str:
        """The first of the wanted names that is free, or the last one with a number."""
        name = next((one for one in wanted if one not in self._taken), "")
        number = 2
        while not name or name in self._taken:
            name = f"{wanted[-1]}#{number}"
            number += 1
        self._taken.add(name)
        return name
