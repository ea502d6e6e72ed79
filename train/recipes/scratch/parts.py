"""A folder in parts of a bounded size, for a way that takes small files only.

    python parts.py cut FOLDER OUTPUT    # weights become bfloat16: half the size
    python parts.py join PARTS OUTPUT

The parts are a tar archive cut in pieces, `NAME.tar.00` and so on, and `NAME.json` with their digests: `cat` and `tar`
join them, too.
"""

import argparse
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path

MOST_BYTES = 15 << 20
WEIGHTS = "model.safetensors"


def cut(folder: Path, output: Path, most_bytes: int = MOST_BYTES) -> list[Path]:
    """Write the parts of a model folder; what they are."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            content = _halved(path) if path.name == WEIGHTS else path.read_bytes()
            member = tarfile.TarInfo(str(path.relative_to(folder)))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    whole = data.getvalue()
    pieces = [whole[start : start + most_bytes] for start in range(0, len(whole), most_bytes)]
    output.mkdir(parents=True, exist_ok=True)
    paths = [output / f"{folder.name}.tar.{number:02d}" for number in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        path.write_bytes(piece)
    digests = {path.name: hashlib.sha256(piece).hexdigest() for path, piece in zip(paths, pieces, strict=True)}
    index = output / f"{folder.name}.json"
    index.write_text(json.dumps(digests, indent=1), "utf-8")
    return [index, *paths]


def join(parts: Path, output: Path) -> None:
    """Make the one folder again whose parts these are.

    Raises:
        ValueError: a part is missing or damaged, there are those of several folders, or the output is there already.
    """
    indexes = [path for path in parts.glob("*.json") if (parts / f"{path.stem}.tar.00").is_file()]
    if len(indexes) != 1:
        raise ValueError(f"{parts} holds the parts of {len(indexes)} folders: give one folder for each")
    if output.exists():
        raise ValueError(f"{output} is already there: remove it, or choose another folder")
    whole = b""
    for name, digest in json.loads(indexes[0].read_text("utf-8")).items():
        piece = (parts / name).read_bytes() if (parts / name).is_file() else b""
        if hashlib.sha256(piece).hexdigest() != digest:
            raise ValueError(f"{parts / name} is missing or damaged: copy it again")
        whole += piece
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        archive.extractall(output, filter="data")


def _halved(path: Path) -> bytes:
    """A file of weights with bfloat16 for float32."""
    import torch
    from safetensors.torch import load_file, save

    weights = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(path).items()}
    return save(weights, {"format": "pt"})


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("cut", "join"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    try:
        (cut if arguments.action == "cut" else join)(arguments.folder, arguments.output)
    except (ValueError, OSError, tarfile.TarError) as error:
        sys.exit(f"parts.py: {error}")


if __name__ == "__main__":
    main()
