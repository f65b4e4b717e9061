"""Which commit the code is at, the same for runs and for benchmarks."""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

RESULTS = ("benchmarks/results", "docs/images", "docs/samples.md")
"""What benchmarks write; a checkout where nothing else has changed has the code of its commit."""


class Commit(NamedTuple):
    """A commit, and how the files in its checkout differ from it.

    Args:
        hash: 40 hexadecimal digits; null outside a checkout.
        dirty: Whether something but `RESULTS` differs from it, files that git does not know among them; null outside a
            checkout.
    """

    hash: str | None
    dirty: bool | None

    def __str__(self) -> str:
        """Return the hash, with `-dirty` behind it where that is so; `unknown` outside a checkout."""
        return f"{self.hash or 'unknown'}{'-dirty' if self.dirty else ''}"


def read_commit(folder: Path) -> Commit:
    """Ask git which commit a project is at."""
    excluded = [f":(exclude){path}" for path in RESULTS]
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        changes = _git(folder, "status", "--porcelain", "--", ".", *excluded).strip()
    except (OSError, subprocess.CalledProcessError):  # no git, or no checkout
        return Commit(None, None)
    return Commit(commit, bool(changes))


def _git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return result.stdout


def shorten_commit(commit: str) -> str:
    """Shorten the hash and keep what stands behind it, as in `0123456-dirty`."""
    return re.sub(r"\b([0-9a-f]{7})[0-9a-f]{33}\b", r"\1", commit)
