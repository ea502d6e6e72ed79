"""Stage II on several processes, and once more from a checkpoint in the middle of an epoch.

    torchrun --nproc-per-node 2 contrast_distributed.py RUNS.json

RUNS: {"first": fields of ContrastConfig, "again": the same with another output, "from": the checkpoint's step}
"""

import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import torch
from contrast_run import run

if __name__ == "__main__":
    runs = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(1)
    run({"config": runs["first"]})
    first, again = (Path(runs[name]["output"] + ".run") for name in ("first", "again"))
    if torch.distributed.get_rank() == 0:
        again.mkdir()
        shutil.copy(first / "settings.json", again)
        shutil.copytree(first / f"checkpoint-{runs['from']}", again / f"checkpoint-{runs['from']}")
    torch.distributed.barrier()
    run({"config": runs["again"]})
    torch.distributed.destroy_process_group()
