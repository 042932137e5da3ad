"""Settings of the verbs that belong to no domain."""

from __future__ import annotations

from matterscope.core.settings import Settings, option


class CheckSettings(Settings):
    """Settings of `check`."""

    kind: str = option(
        "", "Kind of measurement expected, e.g. spectrum; empty takes what the file is."
    )
    energy: str = option("", "Axis of a file without one, START:STEP.", units="eV")
