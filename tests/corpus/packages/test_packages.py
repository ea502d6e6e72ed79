"""Recipes of packages, their download with stand-ins of the clients, and the files that come out of archives."""

import dataclasses
import io
import json
import runpy
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from open_codesage.train.common.config import ConfigError
from open_codesage.train.corpus.licences import PERMISSIVE, is_selected
from open_codesage.train.corpus.packages import archives
from open_codesage.train.corpus.packages.archives import DamagedArchive, read_package
from open_codesage.train.corpus.packages.download import Downloaded, download
from open_codesage.train.corpus.packages.recipe import Package, read_packages, write_packages

stand_ins = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "registry_stand_ins.py"))
calls, install_clients, tar, wheel = (stand_ins[name] for name in ("calls", "install_clients", "tar", "wheel"))

RECIPES = Path(__file__).parents[3] / "train" / "recipes"
CODE = "def count(items):\n    return sum(1 for item in items if item.is_ready and item.is_wanted)\n"


def package(registry, name, **settings):
    return Package(registry, name, settings.pop("languages", ("python",)), settings.pop("license", "MIT"), **settings)


@pytest.fixture
def registry(tmp_path, monkeypatch):
    folder = tmp_path / "registry"
    install_clients(tmp_path / "clients", folder, monkeypatch)
    wheel(folder / "pip", "spam", "1.0", {"spam/a.py": CODE})
    wheel(folder / "pip", "spam", "2.0", {"spam/a.py": CODE})
    tar(folder / "npm" / "@scope+eggs@3.1.tgz", {"package/a.js": "x"})
    tar(folder / "apt" / "ham_1-1.orig.tar.gz", {"ham-1/a.c": "x"})
    (folder / "apt" / "ham.versions").write_text(
        "Package: ham\nVersion: 1-1\n\nPackage: ham\nVersion: 2-1\n\nPackage: ham-data\nVersion: 3-1\n"
    )
    tar(folder / "deb" / "ruby-ham_1%3a4_all.deb", {"./usr/a.rb": "x"}, "w")
    return folder


EVERY = [
    package("pip", "spam"),
    package("npm", "@scope/eggs"),
    package("apt", "ham"),
    package("deb", "ruby-ham"),
]


def test_a_recipe_is_read_as_it_was_written(tmp_path):
    packages = [
        package("npm", "@a/b", languages=("typescript", "javascript"), version="5", include="^src/", source_maps=True),
        package("apt", "c++", license="MIT OR GPL-2.0-only", held_out=True, exclude=r"(^|/)old\b"),
    ]
    write_packages(tmp_path / "recipe.yaml", packages, "A heading\nof two lines.")
    assert read_packages(tmp_path / "recipe.yaml") == packages


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{registry: pip, name: spam, languages: [python]}", "no license"),
        ("{registry: cargo, name: spam, languages: [python], license: MIT}", "cargo"),
        ("{registry: pip, name: --editable, languages: [python], license: MIT}", "no name"),
        ("{registry: npm, name: 'git+ssh://host/x', languages: [python], license: MIT}", "no name"),
        ("{registry: npm, name: ../../here, languages: [python], license: MIT}", "no name"),
        ("{registry: pip, name: spam, languages: [python], license: MIT, version: 1; rm}", "no version"),
        ("{registry: pip, name: spam, languages: [python], license: MIT, include: '('}", "no pattern"),
        ("{registry: pip, name: spam, languages: [python], licence: MIT, heldout: true}", "held_out"),
        ("spam", "spam"),
    ],
)
def test_what_is_no_package_is_refused(tmp_path, entry, message):
    path = tmp_path / "recipe.yaml"
    path.write_text(f"packages:\n  - {entry}\n")
    with pytest.raises(ConfigError, match=message):
        read_packages(path)


def test_our_recipe_holds_permissive_packages_of_every_language_in_both_splits():
    packages = read_packages(RECIPES / "corpus.yaml")
    assert [one.unit for one in packages if not is_selected(one.license, ["permissive"])] == []
    languages = Counter(language for one in packages for language in one.languages)
    held_out = Counter(language for one in packages if one.held_out for language in one.languages)
    assert len(languages) >= 9
    assert languages.keys() == held_out.keys()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("mit", True),
        ("GPL-2.0-only", False),
        ("GPL-2.0-only OR MIT AND Zlib", True),
        ("MIT AND GPL-2.0-only", False),
        ("(MIT OR GPL-3.0-only) AND Apache-2.0", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("MIT (parts GPL-2.0-only)", False),
        ("MIT AND", False),
        ("( MIT", False),
        ("", False),
    ],
)
def test_licence_expressions(expression, expected):
    assert is_selected(expression, ["permissive"]) is expected
    assert is_selected(expression, ["all"])
    assert is_selected("GPL-2.0-only", ["permissive", "GPL-2.0-only"])
    assert not [name for name in PERMISSIVE if "GPL" in name or "MPL" in name]


def test_packages_come_from_every_registry_once(registry, tmp_path):
    came, missing = download(EVERY, tmp_path / "cache", jobs=2)
    assert missing == {}
    assert [one.package.version for one in came] == ["2.0", "3.1", "1-1", "1:4"]  # ham 2-1 is named but not there
    before = calls(registry)
    assert [call for call in before if call.startswith("npm")] and "--ignore-scripts" in " ".join(before)
    for tool in (tmp_path / "clients").iterdir():
        tool.unlink()
    again, missing = download(EVERY, tmp_path / "cache", jobs=2)
    assert (again, missing) == (came, {})
    assert calls(registry) == before


def test_another_version_is_brought_and_replaces_the_first(registry, tmp_path):
    first, _ = download([package("pip", "spam")], tmp_path / "cache", jobs=1)
    old, _ = download([package("pip", "spam", version="1.0")], tmp_path / "cache", jobs=1)
    assert [first[0].package.version, old[0].package.version] == ["2.0", "1.0"]
    assert [path.name for path in old[0].archives] == ["spam-1.0-py3-none-any.whl"]
    assert download([package("pip", "spam")], tmp_path / "cache", jobs=1)[0] == old  # what is there is enough


def test_packages_that_do_not_come_are_told_with_a_reason_and_without_the_mirror(registry, tmp_path):
    gone = [package("pip", "nothing"), package("npm", "nothing"), package("apt", "nothing"), package("deb", "nothing")]
    (registry / "apt" / "lost.versions").write_text("Package: lost\nVersion: 1-1\n")
    lost = package("apt", "lost")
    came, missing = download([*gone, lost, package("pip", "spam")], tmp_path / "cache", jobs=2)
    assert [one.package.unit for one in came] == ["pip/spam"]
    assert {unit: error.reason for unit, error in missing.items()} == dict.fromkeys(
        [one.unit for one in [*gone, lost]], "not_found"
    )
    assert "mirror" not in str(missing["apt/lost"])
    assert sorted(path.name for path in (tmp_path / "cache" / "pip").iterdir()) == ["spam"]  # nothing half
    tar(registry / "apt" / "lost_1-1.orig.tar.gz", {"lost/a.c": "x"})
    assert [one.package.unit for one in download([lost], tmp_path / "cache", jobs=1)[0]] == ["apt/lost"]


def test_a_missing_client_is_a_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    _, missing = download([package("npm", "eggs")], tmp_path / "cache", jobs=1)
    assert missing["npm/eggs"].reason == "no_client"


def test_the_systems_apt_is_copied_without_its_hooks(registry, tmp_path):
    download([package("apt", "ham")], tmp_path / "cache", jobs=1)
    folder = tmp_path / "cache" / "apt-configuration"
    assert "Post-Invoke" not in (folder / "apt.conf").read_text()
    sources = (folder / "sources" / "sources.list").read_text().splitlines()
    assert "deb-src mirror://somewhere stable main" in sources
    assert "deb-src" not in (registry / "etc/apt/sources.list").read_text()


def files_of(archive, languages=("python",), limits=archives.LIMITS, **settings):
    """Paths and contents of the files in an archive, and what was left out."""
    skipped = Counter()
    one = Downloaded(package("pip", "spam", languages=languages, version="1", **settings), (archive,))
    found = list(read_package(one, 250_000, skipped, limits))
    assert {(file.unit, file.licence) for file in found} <= {("pip/spam", "MIT")}
    return {file.path.removeprefix("pip/spam/"): file.content.decode() for file in found}, skipped


def test_files_of_the_languages_come_out_and_the_others_are_counted(tmp_path):
    archive = wheel(
        tmp_path,
        "spam",
        "1",
        {
            "spam/a.py": CODE,
            "spam/b.js": CODE,
            "spam/c.txt": CODE,
            "spam/_vendor/d.py": CODE,
            "spam/.hidden/e.py": CODE,
            "spam/f_pb2.py": CODE,
            "spam/tiny.py": "x = 1\n",
            "spam/huge.py": "x = 1\n" * 50_000,
        },
    )
    found, skipped = files_of(archive)
    assert found == {"spam/a.py": CODE}
    assert skipped == {
        ("javascript", "not_selected"): 1,
        ("python", "vendored"): 2,
        ("python", "generated"): 1,
        ("python", "too_small"): 1,
        ("python", "too_large"): 1,
    }


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.xz", "tgz", "tar"])
def test_source_archives_lose_their_outer_folder(tmp_path, suffix):
    modes = {"tar.gz": "w:gz", "tgz": "w:gz", "tar.xz": "w:xz", "tar": "w"}
    archive = tar(tmp_path / f"spam.{suffix}", {"spam-1/src/a.py": CODE, "spam-1/doc/b.py": CODE}, modes[suffix])
    assert files_of(archive, include="^src/")[0] == {"src/a.py": CODE}
    assert files_of(archive, exclude="^src/")[0] == {"doc/b.py": CODE}


def test_names_are_labels_and_links_are_not_followed(tmp_path):
    secret = tmp_path / "secret.py"
    secret.write_text(CODE)
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind, target in (
            ("spam/../../../up.py", tarfile.REGTYPE, ""),
            ("/spam/absolute.py", tarfile.REGTYPE, ""),
            ("spam/link.py", tarfile.SYMTYPE, str(secret)),
            ("spam/hard.py", tarfile.LNKTYPE, str(secret)),
            ("spam/pipe.py", tarfile.FIFOTYPE, ""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.size = kind, target, len(CODE) if kind == tarfile.REGTYPE else 0
            archive.addfile(entry, io.BytesIO(CODE.encode()) if entry.size else None)
    before = sorted(tmp_path.iterdir())
    assert set(files_of(path)[0]) == {"up.py", "absolute.py"}
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        link = zipfile.ZipInfo("spam/link.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(secret) + " " * 100)
        archive.writestr("../../up.py", CODE)
    assert set(files_of(tmp_path / "evil.zip")[0]) == {"up.py"}
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "evil.zip"])  # nothing was written


def test_an_archive_that_unpacks_to_too_much_is_damaged(tmp_path):
    archive = tar(tmp_path / "bomb.tar.xz", {f"spam/{i}.py": "x = 1\n" * 5_000 for i in range(20)}, "w:xz")
    assert len(files_of(archive)[0]) == 20
    with pytest.raises(DamagedArchive, match="unpacks to more"):
        files_of(archive, limits=archives.Limits(bytes=100_000))
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(tar(tmp_path / "whole.tar.gz", {"spam/a.py": CODE}).read_bytes()[:-30])
    with pytest.raises(DamagedArchive, match=r"cut\.tar\.gz"):
        files_of(cut)


def test_source_maps_give_the_sources_that_they_hold(tmp_path):
    content = "export function count(items: Item[]): number { return items.filter((item) => item.ready).length; }\n"
    maps = {
        "sources": ["../../src/a.ts", "webpack:///./node_modules/x/b.ts", "c.ts", "d.ts"],
        "sourcesContent": [content, content, None, content.replace("count", "other")],
    }
    files = {
        "package/a.js.map": json.dumps(maps),
        "package/broken.map": "{",
        "package/odd.map": '{"sources": 3, "sourcesContent": []}',
        "package/a.ts": content,
    }
    archive = tar(tmp_path / "spam.tgz", files)
    found, skipped = files_of(archive, languages=("typescript",), source_maps=True)
    assert found == {"src/a.ts": content, "d.ts": content.replace("count", "other"), "a.ts": content}
    assert skipped["typescript", "vendored"] == 1
    assert set(files_of(archive, languages=("typescript",))[0]) == {"a.ts"}


def test_versions_that_were_got_stand_in_the_package(registry, tmp_path):
    [came] = download([package("npm", "@scope/eggs")], tmp_path / "cache", jobs=1)[0]
    assert came.package == dataclasses.replace(EVERY[1], version="3.1")
    assert came.archives[0].parent.name == "@scope+eggs"
