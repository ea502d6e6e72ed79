"""Packages out of registries, with the clients that everyone has: pip, npm and apt.

Contract: `download` brings the archives of packages into a cache folder, several at a time, and answers which came and
why the others did not. A package that is in the cache in the version asked for is not asked for again: a run that was
interrupted goes on, a whole cache needs no network. The clients take their settings (mirror, proxy, certificates) from
where they always do.

Invariants: nothing of a package is unpacked, built or executed here. A package in the cache is whole. The system's apt
is only read: its sources are copied into a private configuration that also names source packages.
"""

import dataclasses
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from ...common.output import new_folder
from .recipe import Package

MARKER = "package.json"
"""Tells what is in a package's folder of the cache."""
_SECONDS = 1800.0

_NOT_FOUND = re.compile(
    r"E404|404 +Not Found|ETARGET|No matching (?:distribution|version)|Unable to (?:locate|find a source)"
    r"|No packages found|Can't find|Version '[^']*' for '[^']*' was not found|not in this registry",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Downloaded:
    """A package in the cache.

    Attributes:
        package: the package, with the version that was got.
        archives: its archives.
    """

    package: Package
    archives: tuple[Path, ...]


class NotDownloaded(ValueError):
    """A package that did not come.

    Attributes:
        reason: `not_found`, `no_client`, `time_limit` or `failed`, for counting.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def download(packages: Sequence[Package], cache: Path, jobs: int) -> tuple[list[Downloaded], dict[str, NotDownloaded]]:
    """Bring packages into the cache.

    Args:
        packages: the packages, none of them twice.
        cache: the folder of the cache; made if missing.
        jobs: how many clients run at once.

    Returns:
        The packages that are in the cache, in the order given, and by unit why the others are not.
    """
    from tqdm import tqdm

    cache = cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    clients: dict[str, Callable[[Package, Path], str]] = {"pip": _pip, "npm": _npm}
    apt = _Apt(cache / "apt-configuration")
    clients |= {"apt": apt.source, "deb": apt.binary}
    came: dict[str, Downloaded] = {}
    missing: dict[str, NotDownloaded] = {}
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(packages), unit="package", desc="download") as bar:
        futures = {pool.submit(_get, package, cache, clients[package.registry]): package for package in packages}
        try:
            for future in as_completed(futures):
                unit = futures[future].unit
                try:
                    came[unit] = future.result()
                except NotDownloaded as error:
                    missing[unit] = error
                bar.update()
                bar.set_postfix(missing=len(missing), refresh=False)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    order = [package.unit for package in packages]
    return [came[unit] for unit in order if unit in came], {unit: missing[unit] for unit in order if unit in missing}


def _get(package: Package, cache: Path, client: Callable[[Package, Path], str]) -> Downloaded:
    """Find a package in the cache, or bring it there."""
    folder = cache / package.registry / package.name.replace("/", "+")
    if (held := _read(package, folder)) is not None:
        return held
    shutil.rmtree(folder, ignore_errors=True)  # of another version
    with new_folder(folder) as aside:
        version = client(package, aside)
        archives = sorted(path.name for path in aside.iterdir())
        if not archives:
            raise NotDownloaded("failed", f"the client of {package.registry} brought nothing")
        marker = {"version": version, "asked_for": package.version, "archives": archives}
        (aside / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    return Downloaded(dataclasses.replace(package, version=version), tuple(folder / name for name in archives))


def _read(package: Package, folder: Path) -> Downloaded | None:
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if package.version not in (None, marker["version"], marker["asked_for"]):
        return None
    return Downloaded(
        dataclasses.replace(package, version=marker["version"]), tuple(folder / name for name in marker["archives"])
    )


def _pip(package: Package, folder: Path) -> str:
    """Bring a wheel: it holds the sources as they are, and needs no building."""
    name = package.name if package.version is None else f"{package.name}=={package.version}"
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    _run([sys.executable, "-m", "pip", "download", *options, name], folder)
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        raise NotDownloaded("failed", "pip brought no wheel")
    return wheel.name.split("-")[1]


def _npm(package: Package, folder: Path) -> str:
    name = package.name if package.version is None else f"{package.name}@{package.version}"
    output = _run(["npm", "pack", "--ignore-scripts", "--json", "--pack-destination", str(folder), name], folder)
    try:
        answer = json.loads(output)
        packed = answer[0] if isinstance(answer, list) else next(iter(answer.values()))
        return str(packed["version"])
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
        raise NotDownloaded("failed", f"npm pack answered {output[:200]!r}") from error


class _Apt:
    """apt under a private configuration: the machine's own sources, with source packages, and lists of their own.

    Args:
        folder: where the configuration and the lists are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._ready = False

    def source(self, package: Package, folder: Path) -> str:
        """Bring the original of a source package, in the newest version that the mirror still holds.

        A mirror may name a version, such as a security update, whose sources it does not hold.
        """
        versions = [package.version] if package.version else self._versions(package.name, folder)
        for number, version in enumerate(versions, start=1):
            try:
                name = f"{package.name}={version}"
                self._call(["apt-get", "source", "--download-only", "--only-source", "--tar-only", "-q", name], folder)
            except NotDownloaded as error:
                if error.reason != "not_found" or number == len(versions):
                    raise
                for part in folder.iterdir():
                    part.unlink()
            else:
                return version
        raise NotDownloaded("not_found", f"apt knows no source package {package.name}")

    def _versions(self, name: str, folder: Path) -> list[str]:
        """The versions of a source package, newest first."""
        records = self._call(["apt-cache", "showsrc", name], folder).split("\n\n")
        fields = [dict(re.findall(r"^(Package|Version): *(\S+)", record, re.M)) for record in records]
        versions = {record["Version"] for record in fields if record.get("Package") == name and "Version" in record}

        def compare(left: str, right: str) -> int:
            newer = subprocess.run(["dpkg", "--compare-versions", left, "gt", right], check=False).returncode == 0
            return 1 if newer else -1

        return sorted(versions, key=functools.cmp_to_key(compare), reverse=True)

    def binary(self, package: Package, folder: Path) -> str:
        """Bring a binary package; its version is in its file name, with the colon of an epoch escaped."""
        name = package.name if package.version is None else f"{package.name}={package.version}"
        self._call(["apt-get", "download", "--quiet", name], folder)
        archive = next(folder.glob("*.deb"), None)
        if archive is None:
            raise NotDownloaded("failed", "apt-get brought no package")
        return archive.name.split("_")[1].replace("%3a", ":")

    def _call(self, command: list[str], folder: Path) -> str:
        with self._lock:
            if not self._ready:
                self._configure()
                self._ready = True
        return _run(command, folder, APT_CONFIG=str(self.folder / "apt.conf"))

    def _configure(self) -> None:
        """Write the configuration and bring the lists of packages.

        The system's configuration is taken over but for its hooks, which act on the system.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("state/lists/partial", "cache/archives/partial", "parts", "sources"):
            (self.folder / name).mkdir(parents=True)
        system = _run(["apt-config", "dump"], self.folder)
        lines = [line for line in system.splitlines() if re.match(r"(?:Acquire|APT::Architectures?)\b", line)]
        lines += [
            f'Dir::State "{self.folder}/state";',
            f'Dir::Cache "{self.folder}/cache";',
            f'Dir::Etc::parts "{self.folder}/parts";',
            'Dir::Etc::main "/dev/null";',
            'Dir::Etc::sourcelist "/dev/null";',
            f'Dir::Etc::sourceparts "{self.folder}/sources";',
            'Dir::State::status "/dev/null";',
            'APT::Sandbox::User "";',
        ]
        (self.folder / "apt.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._copy_sources(system)
        _run(["apt-get", "update", "--quiet"], self.folder, APT_CONFIG=str(self.folder / "apt.conf"))

    def _copy_sources(self, system: str) -> None:
        settings = dict(re.findall(r'^(Dir(?:::\w+)*) "(.*)";$', system, re.M))
        etc = Path(settings.get("Dir", "/"), settings.get("Dir::Etc", "etc/apt"))
        single = etc / settings.get("Dir::Etc::sourcelist", "sources.list")
        parts = etc / settings.get("Dir::Etc::sourceparts", "sources.list.d")
        for path in [single, *sorted(parts.glob("*"))]:
            if path.suffix not in (".list", ".sources") or not path.is_file():
                continue
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".list":
                text += "\n" + re.sub(r"^deb\s", "deb-src ", text, flags=re.M)
            else:
                text = re.sub(r"^Types:\s*deb\s*$", "Types: deb deb-src", text, flags=re.M)
            (self.folder / "sources" / path.name).write_text(text, encoding="utf-8")


def _run(command: list[str], folder: Path, **environment: str) -> str:
    """Run a client in a folder and return its standard output.

    Raises:
        NotDownloaded: the client is missing, failed, or took too long.
    """
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        raise NotDownloaded("no_client", f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise NotDownloaded("time_limit", f"{command[0]} took more than {_SECONDS:.0f} s") from error
    if result.returncode:
        said = (result.stderr + result.stdout).strip()
        reason = "not_found" if _NOT_FOUND.search(said) else "failed"
        errors = [line for line in said.splitlines() if re.match(r"(?:E:|ERROR|npm (?:error|ERR!))", line)]
        message = (errors or said.splitlines() or [f"{command[0]} failed"])[0]
        # Which mirror was asked is the machine's own affair.
        raise NotDownloaded(reason, re.sub(r"\w+://\S*/|\[IP:[^]]*\]", "", message)[:200].strip())
    return result.stdout
