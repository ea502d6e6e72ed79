"""Run a script where open_codesage cannot be imported: `python export_blocked.py SCRIPT [ARGUMENT ...]`."""

import importlib.abc
import runpy
import sys


class Blocked(importlib.abc.MetaPathFinder):
    """Comes before every other finder and denies the package, wherever it is installed."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] == "open_codesage":
            raise ModuleNotFoundError(f"{fullname} is not installed", name=fullname)


sys.meta_path.insert(0, Blocked())
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
