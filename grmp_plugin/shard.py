"""A share of a work that several processes or machines do together."""

import re
from dataclasses import dataclass

from grmp_plugin.errors import InputError

MOST_SHARDS = 100_000


@dataclass(frozen=True)
class Shard:
    """One of several shares.

    Attributes:
        number: Which one, from 0, as Slurm, Kubernetes and torchrun count.
        count: How many there are.

    Raises:
        InputError: When there is no such share.
    """

    number: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Reject shares that there are not."""
        if not 0 <= self.number < self.count:
            raise InputError(
                f"{self.number}/{self.count}: give the number of the shard, from 0, and how many there are: "
                "0/4 to 3/4 for four shards",
                argument="shard",
            )
        if self.count > MOST_SHARDS:
            raise InputError(f"{self.count} shards: at most {MOST_SHARDS} are possible", argument="shard")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read `0/4`; InputError for anything else."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if found is None:
            raise InputError(f"'{text}' is not I/N, such as 0/4", argument="shard")
        return cls(int(found[1]), int(found[2]))
