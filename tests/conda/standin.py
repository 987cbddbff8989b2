"""A stand-in for the conda command, for `make conda-test` on a machine that has none.

It answers the calls that Snakemake makes, and no others. Solving, linking and activation are real:
py-rattler does them, from the channel under $CONDA_CHANNEL_ALIAS. What it cannot prove: that
conda's own solver and linker do the same. `bin/activate` beside it hands activation to it.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import rattler
import yaml
from rattler.shell import ActivationVariables, activate

HOME = Path(__file__).resolve().parent


async def create(file: Path, prefix: Path) -> None:
    """Solve an environment file strictly, link it into a prefix and run its `pip:` section."""
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    specs = [entry for entry in document["dependencies"] if isinstance(entry, str)]
    pip = [line for e in document["dependencies"] if isinstance(e, dict) for line in e["pip"]]
    alias = rattler.ChannelConfig(os.environ["CONDA_CHANNEL_ALIAS"])
    channels = [rattler.Channel(name, alias) for name in document["channels"]]
    cache = Path(os.environ["CONDA_PKGS_DIRS"])
    records = await rattler.solve(
        channels,
        specs,
        gateway=rattler.Gateway(cache_dir=cache / "repodata"),
        virtual_packages=rattler.VirtualPackage.detect(),
    )
    await rattler.install(records, prefix, cache_dir=cache, show_progress=False)
    if pip:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
            requirements.write("\n".join(pip) + "\n")
            requirements.flush()
            command = ["-m", "pip", "install", "-U", "-r", requirements.name]
            subprocess.run([prefix / "bin/python", *command], check=True)


def main(words: list[str]) -> None:
    if words == ["--version"]:
        print("conda 24.7.1 (stand-in)")
    elif words == ["info", "--json"]:
        print(json.dumps({"conda_prefix": str(HOME), "platform": str(rattler.Subdir.current())}))
    elif words == ["config", "--get", "channel_priority", "--json"]:
        print(json.dumps({"get": {"channel_priority": "strict"}}))
    elif words[:1] == ["activate"] and len(words) == 2:
        print(activate(Path(words[1]), ActivationVariables()).script)
    elif words[:2] == ["env", "create"]:
        parser = argparse.ArgumentParser()
        parser.add_argument("--quiet", action="store_true")
        parser.add_argument("--no-default-packages", action="store_true")
        parser.add_argument("--file", type=Path, required=True)
        parser.add_argument("--prefix", type=Path, required=True)
        options = parser.parse_args(words[2:])
        asyncio.run(create(options.file, options.prefix))
    elif words != ["clean", "-y", "--tarballs"]:  # there are none to clean
        sys.exit(f"the stand-in for conda does not know: conda {' '.join(words)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Exception as error:
        sys.exit(f"conda: {type(error).__name__}: {error}")
    sys.stdout.flush()
    os._exit(0)  # py-rattler may crash when the interpreter ends, after its work is done
