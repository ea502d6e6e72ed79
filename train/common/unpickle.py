"""Turn pickled weights into a safetensors file: run as a script of its own, in a process that may die of it.

Contract: `python unpickle.py OUTPUT INPUT...` reads files of `torch.save` and writes all their tensors into one file.
Whatever else happens ends the process with a status other than 0 and the reason on standard error.

Invariants: `weights_only` lets torch build tensors and plain containers, and call nothing else. Imports nothing of this
package.
"""

import sys

import torch
from safetensors.torch import save_file


def main(output: str, *inputs: str) -> None:
    """Read the tensors of all inputs and write them to the output."""
    tensors: dict[str, torch.Tensor] = {}
    for file in inputs:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=False)
        if not isinstance(content, dict):
            raise SystemExit(f"{file} holds a {type(content).__name__}, not weights by name")
        # A checkpoint of another trainer keeps them under a key of its own, beside what is no weight.
        strangers = [str(name) for name, value in content.items() if not isinstance(value, torch.Tensor)]
        if strangers:
            raise SystemExit(f"{file} holds {', '.join(strangers[:4])} beside weights: save its state dict alone")
        tensors |= {str(name): value for name, value in content.items()}
    if not tensors:
        raise SystemExit("there are no weights")
    # Tied weights share memory, which safetensors cannot say.
    save_file({name: value.detach().clone().contiguous() for name, value in tensors.items()}, output, {"format": "pt"})


if __name__ == "__main__":
    main(*sys.argv[1:])
