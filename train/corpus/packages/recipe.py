"""The recipe of a corpus: which software packages it is made of.

Contract: a recipe is a YAML file with the key `packages`, a list of mappings with the fields of `Package`.
`read_packages` gives its packages, `write_packages` writes such a file; a recipe that is read and written is the same
recipe. What is made from a recipe has a recipe beside it that names the versions that were got.

Invariant: a name or version that a client could take for an option, an address or a path is no package.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from ...common.config import ConfigError, american, make_config, read_recipe

Registry = Literal["pip", "npm", "apt", "deb"]

_NAMES: dict[str, re.Pattern[str]] = {
    "pip": re.compile(r"[A-Za-z0-9][\w.-]*"),
    "npm": re.compile(r"(?:@[a-z0-9][\w.~-]*/)?[A-Za-z0-9][\w.~-]*"),
    "apt": re.compile(r"[a-z0-9][a-z0-9+.-]+"),
    "deb": re.compile(r"[a-z0-9][a-z0-9+.-]+"),
}
_VERSION = re.compile(r"[0-9][\w.+~:!-]*")


@dataclasses.dataclass(frozen=True)
class Package:
    """One package of a recipe.

    Attributes:
        registry: pip (wheels), npm, apt (source packages of Debian) or deb (its binary packages, for those languages
            whose packages are their source).
        name: its name there.
        languages: the languages whose files are taken, by name in the language table.
        license: its license as an SPDX expression, of the files that are taken.
        version: the version; the newest that the client finds if none. npm takes the beginning of one, too (5 or 5.6).
        include: pattern that is searched in the path of a file in the package; all files if none.
        exclude: pattern of paths that are not taken; none if none.
        held_out: whether the package is for evaluation only.
        source_maps: whether files are taken out of the source maps that lie beside compiled files.
    """

    registry: Registry
    name: str
    languages: tuple[str, ...]
    license: str
    version: str | None = None
    include: str | None = None
    exclude: str | None = None
    held_out: bool = False
    source_maps: bool = False

    def __post_init__(self) -> None:
        if not _NAMES[self.registry].fullmatch(self.name):
            raise ConfigError(f"{self.name!r} is no name of a package of {self.registry}")
        if self.version is not None and not _VERSION.fullmatch(self.version):
            raise ConfigError(f"{self.unit}: {self.version!r} is no version")
        for pattern in (self.include, self.exclude):
            try:
                re.compile(pattern or "")
            except re.error as error:
                raise ConfigError(f"{self.unit}: {pattern!r} is no pattern: {error}") from error

    @property
    def unit(self) -> str:
        """What the package is called in a corpus: its registry and name, such as `npm/@angular/core`."""
        return f"{self.registry}/{self.name}"


def read_packages(path: Path) -> list[Package]:
    """Read a recipe.

    Raises:
        ConfigError: the file cannot be read, has no packages, an unknown field, a value that does not fit, or the same
            package twice.
    """
    recipe = read_recipe(path)
    entries = recipe.pop("packages", None)
    if recipe or not isinstance(entries, list) or not entries:
        raise ConfigError(f"{path}: a recipe of packages has one key, `packages`, with a list of them")
    packages: dict[str, Package] = {}
    for number, entry in enumerate(entries, start=1):
        package = _package(entry, f"{path}: package {number}")
        if package.unit in packages:
            raise ConfigError(f"{path}: {package.unit} is there twice: name all its languages in one place")
        packages[package.unit] = package
    return list(packages.values())


def _package(entry: Any, where: str) -> Package:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where} is {entry!r}: write {{registry: pip, name: django, …}}")
    entry = {american(str(key)): value for key, value in entry.items()}
    required = ("registry", "name", "languages", "license")
    if missing := [name for name in required if name not in entry]:
        raise ConfigError(f"{where} ({entry.get('name', 'without a name')}) has no {', '.join(missing)}")
    return make_config(Package, entry, where)


def write_packages(path: Path, packages: Iterable[Package], heading: str = "") -> None:
    """Write a recipe, one line a package, without the fields that have their default.

    Args:
        path: the file to write.
        packages: the packages, in order.
        heading: comment at the beginning, without its comment signs.
    """
    lines = [f"# {line}" for line in heading.splitlines()] + ["packages:"]
    for package in packages:
        entry = {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in dataclasses.fields(package)
            if (value := getattr(package, field.name)) != field.default
        }
        flow = yaml.safe_dump(entry, default_flow_style=True, width=2**20, sort_keys=False, allow_unicode=True).strip()
        lines.append(f"  - {flow}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
