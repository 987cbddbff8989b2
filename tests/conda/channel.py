"""Make a conda channel from wheels, and of the Python that runs this: `channel.py WHEELS CHANNEL`.

For `make conda-test` on a machine that has no conda and reaches no conda channel. The packages are
real (files, versions and requirements of the wheels, in the .conda format), so environments are
really solved, linked and activated. What such a channel cannot prove: that conda-forge has a
package of this name and version, and how conda-forge has built it.
"""

import asyncio
import configparser
import hashlib
import io
import json
import os
import platform
import re
import stat
import sys
import sysconfig
import tarfile
import zipfile
from concurrent.futures import ProcessPoolExecutor
from email.parser import BytesParser
from pathlib import Path

from conda_package_streaming.create import conda_builder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

# Packages whose name on conda-forge is not the one on PyPI.
CONDA_NAMES = {"matplotlib": "matplotlib-base"}
# Not on conda-forge: environments name them in a `pip:` section.
PYPI_ONLY = {"flowkit", "flowio", "flowutils", "typst"}
# Where `noarch: python` packages keep what wheels keep in their .data folders.
NOARCH_FOLDERS = {
    "purelib": "site-packages/",
    "platlib": "site-packages/",
    "scripts": "python-scripts/",
    "headers": "include/",
    "data": "",
}
# Debian's Python looks into dist-packages only; any other finds its folder there already.
SITE = b"""import site, sys, sysconfig
packages = sysconfig.get_path("purelib", "posix_prefix")
if packages not in sys.path:
    site.addsitedir(packages)
"""
SUBDIR = f"linux-{platform.machine()}".replace("x86_64", "64")
PYTHON = "{}.{}".format(*sys.version_info)


def conda_name(name: str) -> str:
    name = canonicalize_name(name)
    return CONDA_NAMES.get(name, name)


def conda_requirements(metadata) -> list[str]:
    """The requirements of a wheel in conda's words; those of its extras are left out."""
    wanted = [Requirement(text) for text in metadata.get_all("Requires-Dist", [])]
    needed = [r for r in wanted if r.marker is None or r.marker.evaluate({"extra": ""})]
    return [f"{conda_name(r.name)} {r.specifier}".strip() for r in needed]


def console_scripts(text: str) -> list[str]:
    parser = configparser.ConfigParser(delimiters="=")
    parser.optionxform = str  # names keep their case
    parser.read_string(text)
    return [f"{n} = {v}" for n, v in dict(parser).get("console_scripts", {}).items()]


def write_package(folder: Path, index: dict, files: dict[str, tuple[bytes, int]], info: dict):
    """Write a .conda file. `files`: path -> (content, mode); a link's content is its target."""
    paths = []
    stem = f"{index['name']}-{index['version']}-{index['build']}"
    with conda_builder(stem, folder / index["subdir"], compression_level=1) as archive:

        def add(path: str, content: bytes, mode: int):
            member = tarfile.TarInfo(path)
            member.mode = stat.S_IMODE(mode)
            if stat.S_ISLNK(mode):
                member.type, member.linkname = tarfile.SYMTYPE, content.decode()
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content))

        for path, (content, mode) in sorted(files.items()):
            add(path, content, mode)
            kind = "softlink" if stat.S_ISLNK(mode) else "hardlink"
            digest = hashlib.sha256(content).hexdigest()
            size = {"sha256": digest, "size_in_bytes": len(content)} if kind == "hardlink" else {}
            paths.append({"_path": path, "path_type": kind, **size})
        documents = {"index": index, "paths": {"paths": paths, "paths_version": 1}, **info}
        for name, document in documents.items():
            add(f"info/{name}.json", json.dumps(document).encode(), 0o644)


def pack_wheel(wheel: Path, channel: Path) -> None:
    """One `noarch: python` package; that of a compiled wheel is bound to the platform and Python."""
    name, version, _, tags = parse_wheel_filename(wheel.name)
    pure = all(tag.platform == "any" for tag in tags)
    files = {}
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            top, _, rest = member.filename.partition("/")
            if member.is_dir():
                continue
            if top.endswith(".data"):
                scheme, _, rest = rest.partition("/")
                path = NOARCH_FOLDERS[scheme] + rest
            else:
                path = "site-packages/" + member.filename
            executable = path.startswith("python-scripts/") or member.external_attr >> 16 & 0o111
            files[path] = (archive.read(member), 0o755 if executable else 0o644)
    pattern = re.compile(r"site-packages/[^/]+\.dist-info/METADATA")
    information = next(path for path in files if pattern.fullmatch(path)).removesuffix("METADATA")
    metadata = BytesParser().parsebytes(files[information + "METADATA"][0])
    scripts = files.get(information + "entry_points.txt", (b"", 0))[0].decode()
    files[information + "INSTALLER"] = (b"conda\n", 0o644)
    python = metadata.get("Requires-Python", ">=3") if pure else f"{PYTHON}.*"
    index = {
        "name": conda_name(name),
        "version": str(version),
        "build": "wheel_0",
        "build_number": 0,
        "depends": [f"python {python}", *conda_requirements(metadata)],
        "subdir": "noarch" if pure else SUBDIR,
        "noarch": "python",
    }
    noarch = {"type": "python", "entry_points": console_scripts(scripts)}
    link = {"noarch": noarch, "package_metadata_version": 1}
    write_package(channel, index, files, {"link": link})


def pack_python(channel: Path) -> None:
    """The Python that runs this as the package `python`, without the packages installed in it.

    Its shared library, if it has one, stays where it is: such an environment is for this machine.
    """
    library = Path(sysconfig.get_path("stdlib"))
    skipped = {"site-packages", "dist-packages", "__pycache__", "test", "idlelib", "ensurepip"}
    skipped |= {"EXTERNALLY-MANAGED"}
    files = {}
    for path in library.rglob("*"):
        inner = path.relative_to(library)
        if path.is_file() and not skipped & set(inner.parts):
            mode = path.stat().st_mode
            files[f"lib/python{PYTHON}/{inner}"] = (path.read_bytes(), mode)
    files[f"lib/python{PYTHON}/sitecustomize.py"] = (SITE, 0o644)
    program = Path(sys.base_prefix, "bin", f"python{PYTHON}")
    files[f"bin/python{PYTHON}"] = (program.read_bytes(), 0o755)
    for link in ("bin/python", "bin/python3"):
        files[link] = (f"python{PYTHON}".encode(), stat.S_IFLNK | 0o777)
    index = {
        "name": "python",
        "version": platform.python_version(),
        "build": "host_0",
        "build_number": 0,
        "depends": [],
        "subdir": SUBDIR,
    }
    write_package(channel, index, files, {})


def main(wheels: Path, channel: Path) -> None:
    import rattler.index

    for subdir in ("noarch", SUBDIR):
        (channel / subdir).mkdir(parents=True)
    with ProcessPoolExecutor() as pool:
        jobs = [
            pool.submit(pack_wheel, wheel, channel)
            for wheel in sorted(wheels.glob("*.whl"))
            if parse_wheel_filename(wheel.name)[0] not in PYPI_ONLY
        ]
        jobs.append(pool.submit(pack_python, channel))
        for job in jobs:
            job.result()
    asyncio.run(rattler.index.index_fs(channel))
    print(f"{len(jobs)} packages in {channel}", flush=True)
    os._exit(0)  # py-rattler may crash when the interpreter ends, after its work is done


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
