"""Run the chapters' notebooks with papermill, in the process that asks for it.

A kernel for each would start Python and load pandas again; the chapters together take less time than
one of those starts. Each has names of its own all the same, and sees nothing of the others.
"""

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat
import papermill
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from immunotrace.errors import InputError


def run_chapters(
    chapters: Mapping[str | Path, str | Path], parameters: dict, failed: str | Path
) -> None:
    """Execute each notebook template with `parameters` and write it to the path it is mapped to.

    They run in the working directory, one after the other. One that fails is kept, half run, in the
    folder `failed`. The user's IPython settings are left out of it.
    Raises InputError where a cell raised one, else RuntimeError with chapter, cell and error.
    """
    for template, output in chapters.items():
        _run_chapter(Path(template), Path(output), parameters, Path(failed))


def _run_chapter(template: Path, output: Path, parameters: dict, failed: Path) -> None:
    kept = failed / output.name
    for folder in (output.parent, failed):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            str(template),
            str(kept),
            parameters=parameters,
            engine_name=_HERE,
            kernel_name="python3",
            request_save_on_cell_execute=False,
            progress_bar=False,
        )
    except PapermillExecutionError as error:
        where = f"chapter {output.stem}, cell {error.cell_index + 1} of its notebook"
        kept_as = f"The notebook is kept half run as {kept}."
        if error.ename == "InputError":
            raise InputError(f"{where}: {error.evalue} {kept_as}") from None
        raise RuntimeError(f"{where}: {error.ename}: {error.evalue}. {kept_as}") from error
    _write_without_times(kept, output)
    kept.unlink()


class _Here(Engine):
    """Papermill's engine for cells that run in this process."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, kernel_name: str, **_: object
    ) -> None:
        with _shell() as shell:
            for index, cell in enumerate(nb_man.nb.cells):
                nb_man.cell_start(cell, index)
                if cell.cell_type == "code":
                    _run_cell(shell, cell)
                    if shell.failure:
                        nb_man.cell_exception(cell, index)
                        return
                nb_man.cell_complete(cell, index)


_HERE = "immunotrace"
papermill_engines.register(_HERE, _Here)


class _Shell(InteractiveShell):
    """A shell that keeps the error of a cell instead of writing it to the terminal."""

    failure: nbformat.NotebookNode | None = None

    def _showtraceback(self, etype: type, evalue: BaseException, stb: list[str]) -> None:
        self.failure = nbformat.v4.new_output(
            "error", ename=etype.__name__, evalue=str(evalue), traceback=stb
        )


@contextlib.contextmanager
def _shell() -> Iterator[_Shell]:
    """A shell with no names in it and without history, whose files are scratch."""
    main = sys.modules["__main__"]
    with tempfile.TemporaryDirectory() as scratch:
        settings = Config({"HistoryManager": {"enabled": False}})
        _Shell.clear_instance()
        try:
            yield _Shell.instance(ipython_dir=scratch, config=settings)
        finally:
            _Shell.clear_instance()
            sys.modules["__main__"] = main


def _run_cell(shell: _Shell, cell: nbformat.NotebookNode) -> None:
    """Run a cell; what it showed, printed and raised is its output, as Jupyter would have it."""
    with capture_output() as shown:
        result = shell.run_cell(cell.source, store_history=True)
    cell.execution_count = result.execution_count
    cell.outputs = [
        nbformat.v4.new_output("stream", name=name, text=text)
        for name, text in (("stdout", shown.stdout), ("stderr", shown.stderr))
        if text
    ]
    for rich in shown.outputs:
        cell.outputs.append(
            nbformat.v4.new_output("display_data", data=rich.data, metadata=rich.metadata or {})
        )
    if shell.failure:
        cell.outputs.append(shell.failure)


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
