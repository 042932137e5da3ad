"""One part of a run, for machines that share nothing but files.

In: ``"3/64"``. Out: which inputs, or which units of a single input, the third of 64 parts computes.
The parts become one run again in `runs.merging`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from matterscope.core.errors import ConfigError, MatterscopeError


class ShardDone(MatterscopeError):
    """Every unit of this part is computed; the others are computed elsewhere."""


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, counted from 1.

    Examples
    --------
    >>> [i for i in range(7) if Shard.parse("2/3").holds(i)]
    [1, 4]
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the part that ``"K/N"`` names.

        Raises
        ------
        ConfigError
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise ConfigError("no such shard", got=repr(text), expected="K/N with 1 ≤ K ≤ N")
        return cls(number, count)

    def __str__(self) -> str:
        """Return ``K/N``."""
        return f"{self.number}/{self.count}"

    def holds(self, index: int) -> bool:
        """Return whether the unit `index`, counted from 0, belongs to this part."""
        return index % self.count == self.number - 1


def array_script(command: str, shard: Shard, store: str) -> str:
    """Return a Slurm script that computes every part of a command.

    Examples
    --------
    >>> print(array_script("matterscope check a.xdi", Shard(1, 8), "/data/runs").splitlines()[1])
    #SBATCH --array=1-8
    """
    kept = f" --store {shlex.quote(store)}" if store else ""
    return (
        "#!/bin/bash\n"
        f"#SBATCH --array=1-{shard.count}\n"
        "#SBATCH --ntasks=1 --cpus-per-task=1\n"
        f"{command} --shard $SLURM_ARRAY_TASK_ID/{shard.count}{kept} --no-report\n"
        f"# when all are done: matterscope runs merge RUN{kept}, with the id of any of the parts\n"
    )
