"""The store: one directory per run, and an SQLite index that can be rebuilt from the directories.

In: a root folder. Out: run directories whose state survives a kill at any moment. A run counts as
finished only with its DONE file, which lists the sha256 of every other file.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from matterscope.core.errors import ConfigError, DataError
from matterscope.core.files import sha256_of, sync_folder, write_json

STATES = ("queued", "running", "done", "failed", "cancelled", "interrupted", "sharded")
_COLUMNS = "id, verb, state, created, finished, summary, digest, reason"
_TABLE = """
CREATE TABLE IF NOT EXISTS runs (
  id TEXT PRIMARY KEY, verb TEXT NOT NULL, state TEXT NOT NULL, created TEXT NOT NULL,
  finished TEXT, summary TEXT, digest TEXT, reason TEXT)
""".strip()
UNSTORED = {"DONE", "lock", "report.html"}
"""Files that DONE does not list: itself, the lock, and the report, which can be rendered again."""


def default_root() -> Path:
    """Return the store's folder: MATTERSCOPE_RUNS, else ``runs`` in the user's data folder."""
    given = os.environ.get("MATTERSCOPE_RUNS")
    if given:
        return Path(given)
    from platformdirs import user_data_path

    return user_data_path("matterscope") / "runs"


def now() -> str:
    """Return the time as ISO text in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """A folder of runs with its index.

    Parameters
    ----------
    root : path, optional
        Default: `default_root`. It is made when needed.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root) if root else default_root()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                "the run store cannot be made",
                where=str(self.root),
                got=error.strerror,
                hint="give another folder with --store",
            ) from None
        with self._index() as index:
            index.execute(_TABLE)
        self.sweep()

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(
                sqlite3.connect(self.root / "index.sqlite", timeout=30, isolation_level=None)
            ) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise DataError(
                "the index of the run store is damaged or not writable",
                where=str(self.root / "index.sqlite"),
                got=str(error),
                hint="delete index.sqlite, then: matterscope runs list --rebuild",
            ) from error

    def path(self, run: str) -> Path:
        """Return the directory of a run, by its id, a unique beginning of it, or a directory path."""
        direct = Path(run)
        if (direct / "run.json").is_file():
            return direct
        found = (
            [
                p
                for p in self.root.glob("*")
                if p.name.startswith(run) and (p / "run.json").is_file()
            ]
            if run and "/" not in run
            else []
        )
        if len(found) != 1:
            said = "no run" if not found else f"{len(found)} runs"
            raise ConfigError(
                f"{said} called '{run}'",
                where=str(self.root),
                hint="matterscope runs list shows them",
            )
        return found[0]

    def create(self, verb: str, record: dict[str, Any]) -> RunFolder:
        """Make the directory of a new run, marked running and locked by this process."""
        for _ in range(100):
            name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S-") + secrets.token_hex(3)
            folder = self.root / name
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            break
        created = now()
        write_json(folder / "run.json", {**record, "id": name, "verb": verb, "created": created})
        self._note(name, verb=verb, state="running", created=created)
        return RunFolder(self, folder)

    def reopen(self, run: str) -> RunFolder:
        """Take over an interrupted or failed run for resuming it."""
        folder = self.path(run)
        opened = RunFolder(self, folder)
        record = read_json(folder / "run.json")
        self._note(folder.name, verb=record["verb"], state="running", created=record["created"])
        return opened

    def _note(self, run: str, **fields: Any) -> None:
        names = ", ".join(fields)
        marks = ", ".join("?" * len(fields))
        updates = ", ".join(f"{n}=excluded.{n}" for n in fields)
        with self._index() as index:
            row = index.execute("SELECT 1 FROM runs WHERE id=?", (run,)).fetchone()
            if row:
                sets = ", ".join(f"{n}=?" for n in fields)
                index.execute(f"UPDATE runs SET {sets} WHERE id=?", (*fields.values(), run))
            else:
                index.execute(
                    f"INSERT INTO runs (id, {names}) VALUES (?, {marks}) ON CONFLICT(id) DO UPDATE SET {updates}",
                    (run, *fields.values()),
                )

    def rows(self) -> list[dict[str, Any]]:
        """Return the index, newest first."""
        with self._index() as index:
            found = index.execute(
                f"SELECT {_COLUMNS} FROM runs ORDER BY created DESC, id DESC"
            ).fetchall()
        return [dict(zip(_COLUMNS.split(", "), row, strict=True)) for row in found]

    def sweep(self) -> None:
        """Mark runs whose process is gone as interrupted, and remove left-over parts."""
        for row in [r for r in self.rows() if r["state"] == "running"]:
            folder = self.root / row["id"]
            if not folder.is_dir():
                with self._index() as index:
                    index.execute("DELETE FROM runs WHERE id=?", (row["id"],))
            elif _free(folder / "lock"):
                state, extra = _state_on_disk(folder)
                self._note(row["id"], state=state, **extra)
                for part in folder.rglob("*.part"):
                    shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)

    def rebuild(self) -> int:
        """Rebuild the index from the directories; return the number of runs found."""
        folders = sorted(p for p in self.root.glob("*") if (p / "run.json").is_file())
        with self._index() as index:
            index.execute("DELETE FROM runs")
        for folder in folders:
            record = read_json(folder / "run.json")
            state, extra = _state_on_disk(folder)
            if state == "interrupted" and not _free(folder / "lock"):
                state = "running"
            self._note(
                folder.name, verb=record["verb"], created=record["created"], state=state, **extra
            )
        return len(folders)

    def remove(self, run: str) -> None:
        """Delete a run that this store wrote: moved aside first, then deleted."""
        folder = self.path(run)
        if folder.parent.resolve() != self.root.resolve():
            raise ConfigError(
                "only runs of this store are deleted",
                where=str(folder),
                expected=f"a run in {self.root}",
            )
        if not _free(folder / "lock"):
            raise ConfigError("this run is still running", where=folder.name, hint="stop it first")
        aside = folder.with_name(folder.name + ".part")
        folder.rename(aside)
        with self._index() as index:
            index.execute("DELETE FROM runs WHERE id=?", (folder.name,))
        shutil.rmtree(aside)


class RunFolder:
    """One run's directory while it is written: locked, then finished or marked."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, folder
        self._lock = _take(folder / "lock")

    @property
    def id(self) -> str:
        """The run's id: the name of its directory."""
        return self.folder.name

    def log(self, **entry: Any) -> None:
        """Append one line to ``log.jsonl``."""
        with (self.folder / "log.jsonl").open("a") as handle:
            handle.write(json.dumps({"time": now(), **entry}) + "\n")

    def finish(self, digest: str, summary: str) -> None:
        """Write DONE with the sha256 of all files, last, and note it in the index."""
        files = {
            str(p.relative_to(self.folder)): sha256_of(p)
            for p in sorted(self.folder.rglob("*"))
            if p.is_file() and p.name not in UNSTORED and not p.name.endswith(".part")
        }
        write_json(
            self.folder / "DONE",
            {"digest": digest, "summary": summary, "finished": now(), "files": files},
        )
        sync_folder(self.folder)
        self.store._note(self.id, state="done", finished=now(), digest=digest, summary=summary)
        self.close()

    def mark(self, state: str, reason: str) -> None:
        """Mark the run failed, cancelled, interrupted or, for a part of a run, sharded."""
        try:
            write_json(
                self.folder / "state.json", {"state": state, "reason": reason, "time": now()}
            )
            self.store._note(self.id, state=state, reason=reason, finished=now())
        finally:
            self.close()

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()


def read_json(path: Path) -> Any:
    """Return the content of a JSON file of a record."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            "a record's file cannot be read",
            where=str(path),
            got=str(error),
            hint="the run was not finished: matterscope runs resume, or runs rm",
        ) from None


def verify(folder: Path) -> list[str]:
    """Return the files of a finished run that are missing or changed since."""
    listed = read_json(folder / "DONE")["files"]
    return [
        name
        for name, digest in listed.items()
        if not (folder / name).is_file() or sha256_of(folder / name) != digest
    ]


def _state_on_disk(folder: Path) -> tuple[str, dict[str, Any]]:
    if (folder / "DONE").is_file():
        done = read_json(folder / "DONE")
        return "done", {k: done[k] for k in ("digest", "summary", "finished")}
    if (folder / "state.json").is_file():
        state = read_json(folder / "state.json")
        return state["state"], {"reason": state["reason"], "finished": state["time"]}
    return "interrupted", {"reason": "its process ended without a word"}


def _take(path: Path) -> IO[str]:
    handle = path.open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        raise ConfigError(
            "this run is being written by another process", where=str(path.parent)
        ) from None
    return handle


def _free(path: Path) -> bool:
    if not path.exists():
        return True
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True
