"""Look for the faults of each folder with little memory left: `hostile_memory.py SOUND FOLDER ...` prints them as JSON.

What is needed for a sound folder (libraries, most of all) is in memory before the limit is set; Linux only.
"""

import json
import resource
import sys
from pathlib import Path

from open_codesage.train.common.model_folder import faults

LEFT = 128 << 20

sound, *folders = map(Path, sys.argv[1:])
assert faults(sound) == []
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + LEFT, resource.getrlimit(resource.RLIMIT_AS)[1]))
try:
    bytearray(2 * LEFT)
except MemoryError:
    json.dump({folder.name: faults(folder) for folder in folders}, sys.stdout)
else:
    sys.exit("the limit limits nothing")
