"""Start-up: CPU seconds of ``--help`` as a ratio to ``import numpy``, in one series (goals 3 and 4)."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

ROUNDS = 7
COMMANDS = {
    "import numpy": ["-c", "import numpy"],
    "matterscope --help": ["-m", "matterscope", "--help"],
    "matterscope spectra --help": ["-m", "matterscope", "spectra", "--help"],
    "matterscope spectra infer --help": ["-m", "matterscope", "spectra", "infer", "--help"],
    "matterscope emitters g2 --help": ["-m", "matterscope", "emitters", "g2", "--help"],
    "matterscope materials --help": ["-m", "matterscope", "materials", "--help"],
    "matterscope runs list": ["-m", "matterscope", "runs", "list"],
}


def cpu_seconds(words: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *words], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    measured: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for round_ in range(ROUNDS + 1):
        for name, words in COMMANDS.items():
            seconds = cpu_seconds(words)
            if round_:  # the first round warms the file cache
                measured[name].append(seconds)
    base = measured["import numpy"]
    print(f"{'command':36s} {'CPU s':>7s} {'ratio to import numpy':>22s}")
    for name, values in measured.items():
        ratio = statistics.median(v / b for v, b in zip(values, base, strict=True))
        print(f"{name:36s} {statistics.median(values):7.3f} {ratio:22.2f}")


if __name__ == "__main__":
    main()
