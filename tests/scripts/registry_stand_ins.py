"""Clients of package registries that serve archives out of a folder, and archives made in memory."""

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

# Each notes its arguments in $REGISTRY/calls and serves what lies in $REGISTRY.
CLIENTS = {
    "npm": """
shift; for last; do :; done
while [ $# -gt 1 ]; do [ "$1" = --pack-destination ] && folder=$2; shift; done
name=$(printf %s "${last%@[0-9]*}" | tr / +); version=${last##*@}
set -- "$REGISTRY"/npm/"$name"@*.tgz
[ -e "$1" ] || { echo "npm error code E404" >&2; exit 1; }
file=$(basename "$1" .tgz); cp "$1" "$folder"
echo "[{\\"version\\": \\"${file##*@}\\"}]"
""",
    "apt-get": """
case $1 in update) exit 0;; esac
for last; do :; done
name=${last%%=*}; version=${last#*=}
if [ "$1" = download ]; then
  cp "$REGISTRY"/deb/"$name"_*.deb . 2>/dev/null || { echo "E: Unable to locate package $name" >&2; exit 100; }
else
  cp "$REGISTRY"/apt/"${name}_$version".orig.tar.gz . 2>/dev/null ||
    { echo "E: Failed to fetch mirror://somewhere/${name}.orig.tar.gz  404  Not Found" >&2; exit 100; }
fi
""",
    "apt-cache": """cat "$REGISTRY/apt/$2.versions" 2>/dev/null || { echo "E: No packages found" >&2; exit 100; }""",
    "apt-config": """
printf 'Dir "%s";\\nDir::Etc "etc/apt";\\nAPT::Update::Post-Invoke:: "touch hooked";\\n' "$REGISTRY"
""",
    "dpkg": """[ "$2" \\> "$4" ]""",
    "dpkg-deb": """cat "$2" """,
}


def install_clients(folder: Path, registry: Path, monkeypatch) -> None:
    """Put the clients first on the path, and let pip see nothing but the registry's wheels."""
    folder.mkdir()
    for name, script in CLIENTS.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> "$REGISTRY/calls"\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IEXEC)
    for name in ("apt", "deb", "npm", "pip", "etc/apt/sources.list.d"):
        (registry / name).mkdir(parents=True)
    (registry / "etc/apt/sources.list").write_text("deb mirror://somewhere stable main\n")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("REGISTRY", str(registry))
    for name, value in (("NO_INDEX", "1"), ("FIND_LINKS", str(registry / "pip")), ("CONFIG_FILE", os.devnull)):
        monkeypatch.setenv(f"PIP_{name}", value)


def wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    path = folder / f"{name}-{version}-py3-none-any.whl"
    information = f"{name}-{version}.dist-info"
    metadata = {
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in (files | metadata).items():
            archive.writestr(member, text)
    return path


def tar(path: Path, files: dict[str, str], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for member, text in files.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def calls(registry: Path) -> list[str]:
    path = registry / "calls"
    return path.read_text().splitlines() if path.exists() else []
