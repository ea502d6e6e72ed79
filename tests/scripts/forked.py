"""Runs in forked processes, each of which may be killed: for scripts that import slow libraries once for all runs."""

import os
import shutil
import sys
import traceback
from collections.abc import Callable


def in_child(run: Callable[[dict], None], settings: dict) -> int:
    """Run in a forked process, and return its exit status, negative for a signal."""
    if "copy" in settings:
        shutil.copytree(*settings["copy"])
    child = os.fork()
    if child == 0:
        status = 1
        try:
            log = os.open(settings["log"], os.O_WRONLY | os.O_CREAT)
            os.dup2(log, 1)
            os.dup2(log, 2)
            run(settings)
            status = 0
        finally:
            if status:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
