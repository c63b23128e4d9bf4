"""What lies in a run directory beside the snapshots: names, ``run.json`` and ``metrics.jsonl``."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from masktools.atomic import write_text
from masktools.errors import RunError
from masktools.snapshot.versions import version_problem

__all__ = [
    "METRICS",
    "RUN_FORMAT",
    "RUN_JSON",
    "RUN_VERSION",
    "STATE",
    "epochs_in",
    "is_run_file",
    "planned_epoch",
    "read_identity",
    "read_metrics",
    "snapshot_name",
    "write_identity",
    "write_metrics",
]

RUN_JSON = "run.json"
METRICS = "metrics.jsonl"
STATE = "state.pt"
RUN_FORMAT = "masktools-run"
RUN_VERSION = "1.1"
_SNAPSHOT = re.compile(r"epoch-([0-9]{4}|[1-9][0-9]{4,8})\.h5")


def snapshot_name(epoch: int) -> str:
    """Return the name of an epoch's snapshot: ``epoch-0012.h5``."""
    return f"epoch-{epoch:04d}.h5"


def epochs_in(directory: Path) -> list[int]:
    """Return the epochs of which a directory holds snapshots, ascending."""
    return sorted(int(match[1]) for path in directory.iterdir() if (match := _SNAPSHOT.fullmatch(path.name)))


def is_run_file(name: str) -> bool:
    """Say whether a file of this name in a run directory belongs to the run."""
    return bool(_SNAPSHOT.fullmatch(name)) or name in (RUN_JSON, METRICS, STATE)


def read_identity(path: Path) -> dict[str, Any]:
    """Read ``run.json``; empty where there is none.

    Raises
    ------
    RunError
        If the file cannot be read, is something else, or is too new.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: not readable: {error}") from error
    if not isinstance(value, dict) or value.get("format") != RUN_FORMAT:
        raise RunError(f"{path}: is not a JSON object with the format {RUN_FORMAT!r}")
    problem = version_problem(value.get("version"), RUN_VERSION)
    if problem:
        raise RunError(f"{path}: version {problem}")
    if not isinstance(value.get("config", {}), dict):
        raise RunError(f"{path}: config is not a JSON object")
    return value


def planned_epoch(info: Mapping[str, Any]) -> int | None:
    """Return which epoch ``run.json`` says will be the last one, by its ``last_epoch``; None where it does not say.

    Parameters
    ----------
    info
        Its content.
    """
    value = info.get("last_epoch")
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read ``metrics.jsonl``, one record a line; a last line that was cut off is left out.

    Raises
    ------
    RunError
        If the file cannot be read, or another line is not a JSON object.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"{path}: not readable: {error}") from error
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode())
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise RunError(f"{path}: line {number} is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise RunError(f"{path}: line {number} is not a JSON object")
        records.append(value)
    return records


def write_identity(path: Path, info: Mapping[str, Any]) -> None:
    """Write ``run.json``: format, version, and what is known about the run.

    Raises
    ------
    RunError
        If `info` is no JSON or the file cannot be written.
    """
    identity = {"format": RUN_FORMAT, "version": RUN_VERSION}
    _write(path, [{**identity, **info, **identity}], indent=2)


def write_metrics(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write ``metrics.jsonl``, one line a record; a number that is not finite becomes null.

    Raises
    ------
    RunError
        If a record is no JSON or the file cannot be written.
    """
    _write(path, records)


def _write(path: Path, records: Sequence[Mapping[str, Any]], indent: int | None = None) -> None:
    try:
        lines = [json.dumps(_finite(record), indent=indent, allow_nan=False) + "\n" for record in records]
        write_text(path, "".join(lines))
    except (OSError, TypeError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be written: {error}") from error


def _finite(value: Any) -> Any:
    """Return a JSON value without NaN and infinities, which JSON does not have: they become None."""
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
