"""Run a chapter's notebook with papermill."""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from immunotrace.errors import InputError


def run_chapter(
    template: str | Path, output: str | Path, parameters: dict, code: str | Path, failed: str | Path
) -> None:
    """Execute `template` with `parameters` in the working directory and write it to `output`.

    `code` is the folder that holds the package immunotrace, for the kernel to import. A notebook that
    fails is kept, half run, as `failed`. The user's Jupyter and IPython settings are left out of it.
    Raises InputError where a cell raised one, else RuntimeError with cell and error.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    output, failed = Path(output), Path(failed)
    for path in (output, failed):
        path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        _environment(Path(scratch), Path(code)),
        _child_messages(),
    ):
        try:
            papermill.execute_notebook(
                str(template),
                str(failed),
                parameters=parameters,
                kernel_name="python3",
                cwd=os.getcwd(),
                progress_bar=False,
                log_output=False,
                start_timeout=120,
                config=_kernel_config(Path(scratch)),
            )
        except PapermillExecutionError as error:
            where = f"chapter {output.stem}, cell {error.cell_index + 1} of its notebook"
            kept = f"The notebook is kept half run as {failed}."
            if error.ename == "InputError":
                raise InputError(f"{where}: {error.evalue} {kept}") from None
            raise RuntimeError(f"{where}: {error.ename}: {error.evalue}. {kept}") from error
    _write_without_times(failed, output)
    failed.unlink()


def _kernel_config(scratch: Path):
    """Sockets in a folder of our own in place of TCP ports, which other users of the machine see.

    The folder must be named: by default sockets lie in the working directory under one name, so that
    two kernels at a time would hear each other. A socket's path has at most 107 characters.
    """
    from traitlets.config import Config

    sockets = str(scratch / "socket")
    if os.name == "posix" and len(sockets) < 100:
        return Config(KernelManager={"transport": "ipc", "ip": sockets})
    return Config()


@contextlib.contextmanager
def _child_messages():
    """Send what the kernel's process writes to the terminal to where this process' messages go."""
    sys.stderr.flush()
    try:
        target = sys.stderr.fileno()
    except (OSError, AttributeError):
        target = 2
    kept = os.dup(2)
    os.dup2(target, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class _environment:
    """The kernel's environment: our package, no settings of the user, scratch files in `scratch`."""

    def __init__(self, scratch: Path, code: Path):
        python_path = [str(code.resolve()), os.environ.get("PYTHONPATH", "")]
        self.wanted = {
            "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
            "IPYTHONDIR": str(scratch / "ipython"),
            "JUPYTER_CONFIG_DIR": str(scratch / "config"),
            "JUPYTER_PATH": "",
            "JUPYTER_DATA_DIR": str(scratch / "data"),
            "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        }

    def __enter__(self):
        self.before = {name: os.environ.get(name) for name in self.wanted}
        os.environ.update(self.wanted)

    def __exit__(self, *_):
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _write_without_times(source: Path, target: Path) -> None:
    """Copy a notebook without what changes from run to run: times, durations, versions of its making."""
    notebook = json.loads(source.read_text(encoding="utf-8"))
    parameters = notebook["metadata"].get("papermill", {}).get("parameters", {})
    notebook["metadata"]["papermill"] = {"parameters": parameters}
    for number, cell in enumerate(notebook["cells"]):
        cell["id"] = f"cell-{number}"
        cell["metadata"] = {"tags": cell["metadata"].get("tags", [])}
    text = json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
    target.write_text(text, encoding="utf-8")
