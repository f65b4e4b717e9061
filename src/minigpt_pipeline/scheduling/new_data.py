"""What lies in the folder of incoming data."""

import hashlib
from pathlib import Path


def describe_drop(folder: Path, quiet: float, now: float) -> str | None:
    """Return a digest of what lies in a folder, the same as long as nothing in it changes.

    Args:
        folder: Need not be there.
        quiet: Seconds for which nothing may have changed.
        now: Seconds of the Unix epoch.

    Returns:
        Null where nothing lies there, or something has just changed.
    """
    paths = sorted(path for path in folder.rglob("*") if not _is_hidden(path.relative_to(folder)))
    # A file keeps its own time when it is moved here: that of the inode tells when it came.
    try:
        stats = [(path, path.stat()) for path in paths]
    except FileNotFoundError:  # moved away meanwhile
        return None
    files = [(path, stat) for path, stat in stats if path.is_file()]
    if not files or any(max(stat.st_mtime, stat.st_ctime) > now - quiet for _, stat in stats):
        return None
    found = "\n".join(f"{path.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}" for path, stat in files)
    return hashlib.sha256(found.encode()).hexdigest()[:16]


def _is_hidden(path: Path) -> bool:
    """Return whether it is one of those that a copying program or a desktop makes on the way."""
    return any(part.startswith(".") for part in path.parts)
