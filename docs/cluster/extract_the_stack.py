"""Extract a dataset in The Stack's schema with datatrove, on this machine or on a Slurm cluster; run again, it goes on.

python extract_the_stack.py hf://datasets/bigcode/the-stack-dedup/data/python ranks corpus --tasks 200 --workers 32
python extract_the_stack.py … --slurm cpu   (each task of the array is a job of one core; start again with --join)
"""

import argparse
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor, SlurmPipelineExecutor
from datatrove.pipeline.readers import ParquetReader
from open_codesage.tokenization.languages import LANGUAGES
from open_codesage.train.corpus.scale import ExtractRank, join

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="folder of Parquet files, here or on the Hub")
    parser.add_argument("ranks", help="folder for what the tasks write, on a file system that all of them see")
    parser.add_argument("corpus", type=Path, help="corpus folder to write when all tasks are done")
    parser.add_argument("--tasks", type=int, default=8, help="parts of the work (default: 8)")
    parser.add_argument("--workers", type=int, default=2, help="tasks at once (default: 2)")
    parser.add_argument("--languages", nargs="+", default=tuple(LANGUAGES), help="languages to take (default: all)")
    parser.add_argument("--slurm", metavar="PARTITION", help="send the tasks to this partition of a Slurm cluster")
    parser.add_argument("--time", default="20:00:00", help="time limit of a Slurm job (default: 20:00:00)")
    parser.add_argument("--join", action="store_true", help="only make the corpus folder out of finished tasks")
    options = parser.parse_args()

    if not options.join:
        steps = [
            ParquetReader(options.dataset, text_key="content"),
            ExtractRank(options.ranks, tuple(options.languages)),
        ]
        common = {"tasks": options.tasks, "workers": options.workers, "logging_dir": f"{options.ranks}/logs"}
        if options.slurm:
            SlurmPipelineExecutor(
                steps, **common, partition=options.slurm, time=options.time, cpus_per_task=2, job_name="extract"
            ).run()
        else:
            LocalPipelineExecutor(steps, **common).run()
    if options.join or not options.slurm:
        join(Path(options.ranks), options.corpus)
