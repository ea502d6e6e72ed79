"""Decisions that all processes of a training take together: one that stops alone leaves the others waiting."""

import torch
from transformers import TrainingArguments


def any_process(flag: bool, args: TrainingArguments) -> bool:
    """Say whether the flag is set in any process; every process has to ask at the same step."""
    if args.world_size == 1:
        return flag
    flags = torch.tensor([int(flag)], device=args.device)
    torch.distributed.all_reduce(flags, op=torch.distributed.ReduceOp.MAX)
    return bool(flags.item())
