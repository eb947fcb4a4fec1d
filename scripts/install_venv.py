"""Makes <checkout>/.venv from a lock file, whole or not at all. Called by the scripts beside it, not by hand.

The environment is built beside its final place and then renamed, under a lock that the system lets go of when its
holder dies. So an interrupted run leaves nothing that could be taken for whole, and of several first runs one
installs while the others wait. The checkout itself needs no installation: a path file points to it.

Standard library only, Python >= 3.11: this runs before anything is installed.
"""

from __future__ import annotations

import fcntl
import filecmp
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BUILD = ROOT / ".venv.build"
OLD = ROOT / ".venv.old"

RUNTIME = "requirements.lock"
DEV = "requirements-dev.lock"
BENCH = "requirements-bench.lock"
#: each contains what stands before it
KINDS = {"runtime": RUNTIME, "dev": DEV, "bench": BENCH}
WHAT = {RUNTIME: "tracker", DEV: "the development tools", BENCH: "the tools of the bench"}

#: Variables of the caller that would send pip, or the new Python, somewhere else.
MISLEADING = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIRE_VIRTUALENV",
)


def main(kind: str) -> None:
    """Install `kind` ("runtime", "dev" or "bench") unless it is there. Exits 1 with pip's words when it cannot."""
    # As an exception, so that the child is ended and what is half built removed.
    signal.signal(signal.SIGTERM, lambda signum, _frame: sys.exit(128 + signum))
    with installation_lock() as lock:
        # An environment with more than what is asked for keeps it, also when only the lock files changed.
        every = list(KINDS.values())
        wanted = max(
            every.index(KINDS[kind]),
            *(i for i, n in enumerate(every) if (VENV / "installed" / n).exists()),
            0,
        )
        locks = every[: wanted + 1]
        if is_current(locks):
            return  # another run has just done it
        say(f"Installing {WHAT[locks[-1]]} into {VENV}; this takes a minute, once ...")
        remove(BUILD)
        try:
            build(locks, lock)
            swap_in()
        finally:
            remove(BUILD)
            remove(OLD)


def is_current(locks: list[str]) -> bool:
    """Whether .venv was made from these lock files as they are now."""
    if not os.access(VENV / "bin" / "python", os.X_OK):
        return False
    installed = VENV / "installed"
    return all(
        (installed / n).is_file() and filecmp.cmp(ROOT / n, installed / n, shallow=False) for n in locks
    )


def build(locks: list[str], lock: int) -> None:
    """Make the environment in BUILD, ready to be renamed to VENV."""
    # The real interpreter, neither a shim nor the link /usr/bin/python3, which may be another version tomorrow.
    run([os.path.realpath(sys.executable), "-m", "venv", "--prompt", "tracker", str(BUILD)], lock)
    python = str(BUILD / "bin" / "python")
    # The last lock contains the others.
    run(
        [python, "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes", "-r", locks[-1]],
        lock,
    )

    site_packages = next(BUILD.glob("lib/python3*/site-packages"))
    # Relative to site-packages, so that it holds after the renaming, and when the checkout moves.
    (site_packages / "tracker.pth").write_text("../../../..\n", encoding="utf-8")
    (BUILD / "bin" / "tracker").symlink_to("../../scripts/tracker")
    rewrite_paths()
    (BUILD / "installed").mkdir()
    for name in locks:
        shutil.copyfile(ROOT / name, BUILD / "installed" / name)


def rewrite_paths() -> None:
    """Put VENV's path in place of BUILD's in the files that spell it out: the scripts in bin and pyvenv.cfg."""
    was, will_be = os.fsencode(BUILD), os.fsencode(VENV)
    for path in [BUILD / "pyvenv.cfg", *(BUILD / "bin").iterdir()]:
        if path.is_symlink() or not path.is_file():
            continue
        content = path.read_bytes()
        if was in content and b"\0" not in content:
            path.write_bytes(content.replace(was, will_be))


def swap_in() -> None:
    """Rename BUILD to VENV. Killed between the two renames, there is no .venv, and the next run makes one."""
    remove(OLD)
    if VENV.exists() or VENV.is_symlink():
        VENV.rename(OLD)
    BUILD.rename(VENV)


def remove(path: Path) -> None:
    """Remove a folder, if it is there."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def run(command: list[str], lock: int) -> None:
    """Run a step without its chatter, which is shown only when it fails.

    The step is a process group of its own, so that it can be ended with all its children. One that outlives us, for
    we were killed, keeps the lock: the next run waits until nobody writes to BUILD any more.
    """
    environment = {name: value for name, value in os.environ.items() if name not in MISLEADING}
    step = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[lock],
        process_group=0,
    )
    try:
        chatter, _ = step.communicate()
    except BaseException:
        os.killpg(step.pid, signal.SIGKILL)
        step.communicate()  # ends when the last of the group has ended
        raise
    if step.returncode != 0:
        sys.stderr.write(chatter.decode(errors="replace"))
        say(f"The installation failed at: {' '.join(command)}")
        sys.exit(1)


@contextmanager
def installation_lock() -> Iterator[int]:
    """Hold the lock of this checkout's installation; yields its file descriptor."""
    folder = ROOT / ".venv.lock"
    try:
        folder.mkdir(exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        say(f"Cannot write to {folder} ({error.strerror}): tracker installs itself into its checkout once.")
        sys.exit(1)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another installation into this checkout ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def say(line: str) -> None:
    """Progress goes to standard error: standard output belongs to the command that was asked for."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit(130)
