"""Settings of the whole suite: offline, one thread per process, and no trace in the user's caches."""

import atexit
import os
import shutil
import tempfile

# Before any test module imports a library: they read their environment once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HOME"] = tempfile.mkdtemp(prefix="open-codesage-tests-")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
atexit.register(shutil.rmtree, os.environ["HF_HOME"], ignore_errors=True)
