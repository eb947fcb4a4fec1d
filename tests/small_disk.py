"""A file system of some megabytes, in a mount namespace of its own: what is run `within` sees it, and nobody else."""

from __future__ import annotations

import contextlib
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: a server that is to be ready wants 16 MiB of room
_SIZE = "40m"
_HOLD = f'mount -t tmpfs -o size={_SIZE} tmpfs "$1" && echo mounted && exec cat'
#: as root, or as root of a namespace of our own
_WAYS = (("unshare", "--mount"), ("unshare", "--user", "--map-root-user", "--mount"))


class SmallDisk:
    """`folder` is its address for whoever is run by the command `within`, `seen_from_here` the same for the test."""

    is_real = True

    def __init__(self, folder: Path, holder: subprocess.Popen[bytes], *, user: bool) -> None:
        self.folder = folder
        self.seen_from_here = Path(f"/proc/{holder.pid}/root{folder}")
        into = ("--user", "--preserve-credentials") if user else ()
        self.within: tuple[str, ...] = ("nsenter", f"--target={holder.pid}", *into, "--mount", "--")

    def fill(self, _pid: int) -> None:
        """Take all the room that is left."""
        with contextlib.suppress(OSError), (self.seen_from_here / "filler").open("wb", buffering=0) as filler:
            while filler.write(b"x" * 65536):
                pass

    def free(self, _pid: int) -> None:
        """Give it back."""
        (self.seen_from_here / "filler").unlink()


class Quota(SmallDisk):
    """Where nothing can be mounted: a process whose files may not grow any more."""

    is_real = False

    def __init__(self, folder: Path) -> None:
        self.folder = self.seen_from_here = folder
        self.within = ()

    def fill(self, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free(self, pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def small_disk(folder: Path) -> Iterator[SmallDisk]:
    """Mounted at `folder`, which is made; a quota where this machine lets nobody mount anything."""
    folder.mkdir()
    for way in _WAYS:
        with subprocess.Popen(
            [*way, "sh", "-c", _HOLD, "hold", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as holder:  # fmt: skip
            assert holder.stdin is not None
            assert holder.stdout is not None
            if holder.stdout.readline():
                try:
                    yield SmallDisk(folder, holder, user="--user" in way)
                finally:
                    holder.stdin.close()
                return
    yield Quota(folder)
