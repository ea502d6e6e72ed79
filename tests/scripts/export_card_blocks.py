"""Run the Python blocks of a model card as they are printed, each on its own: `export_card_blocks.py README.md`."""

import re
import runpy
import sys
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    blocks = re.findall(r"^```python\n(.*?)^```$", Path(sys.argv[1]).read_text(encoding="utf-8"), flags=re.M | re.S)
    for number, block in enumerate(blocks):
        script = Path(folder) / f"block{number}.py"
        script.write_text(block, encoding="utf-8")
        print(f"block {number}")
        runpy.run_path(str(script), run_name="__main__")
