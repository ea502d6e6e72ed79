"""Settings of the whole suite: offline, one thread per process, nothing in the user's caches, no program left over.

Examples that hypothesis makes are limited in number, never in time.

Tests start programs by `subprocess` and set no limit of their own: each ends after `PROGRAM_SECONDS`, and with it all
that it has started, in whatever session (torch.distributed gives its workers one each).
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path

from hypothesis import HealthCheck, settings

# Before any test module imports a library: they read their environment once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="open-codesage-tests-")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

PROGRAM_SECONDS = 1800
"""Far more than any program takes, on a machine that is busy with other work."""


class Program(subprocess.Popen):
    """A program of a test: when it is killed, at its limit or else, everything that it has started goes with it."""

    def __init__(self, *args, **options):
        self.mark = f"OPEN_CODESAGE_TESTS_{uuid.uuid4().hex}"
        environment = os.environ if options.get("env") is None else options["env"]
        options["env"] = {**environment, self.mark: "1"}  # What it starts inherits it.
        super().__init__(*args, **options)

    def communicate(self, input=None, timeout=None):
        """Wait for the program, and no longer than the limit."""
        return super().communicate(input, PROGRAM_SECONDS if timeout is None else timeout)

    def wait(self, timeout=None):
        """Wait for the program, and no longer than the limit."""
        return super().wait(PROGRAM_SECONDS if timeout is None else timeout)

    def kill(self):
        """End the program and everything that it has started."""
        super().kill()
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # gone meanwhile, or another user's
                if self.mark.encode() in environment.read_bytes():
                    os.kill(int(environment.parent.name), signal.SIGKILL)


subprocess.Popen = Program
