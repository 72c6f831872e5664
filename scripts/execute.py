"""Executes a notebook from a clean kernel: execute.py NOTEBOOK RESULT

Prints each cell as it runs. tslab reports an error on the stderr stream and not as an error message, so a failing cell's
stderr is what is printed; the exit code is then 1, and RESULT holds the cells up to that one.
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

# Seconds for one cell: generous, since a slow machine is no failure, but an endless loop must end.
CELL_LIMIT = 600

ROOT = Path(__file__).resolve().parent.parent
KERNEL_LOG = ROOT / ".cache" / "logs" / "kernel.log"


def first_line(cell):
    lines = [line for line in cell.source.splitlines() if line.strip()]
    return lines[0][:72] if lines else "(empty)"


def main(source, result):
    notebook = nbformat.read(source, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    started = {}
    current = None

    def on_cell_execute(cell, cell_index):
        nonlocal current
        if cell.cell_type == "code":
            current = cell
            started[cell_index] = time.monotonic()
            print(f"  cell {cells.index(cell) + 1}/{len(cells)}  {first_line(cell)}", end="", flush=True)

    def on_cell_executed(cell, cell_index, execute_reply):
        print(f"  ({time.monotonic() - started[cell_index]:.1f} s)", flush=True)

    client = NotebookClient(
        notebook,
        timeout=CELL_LIMIT,
        kernel_name="tslab",
        record_timing=False,
        resources={"metadata": {"path": str(source.parent)}},
        on_cell_execute=on_cell_execute,
        on_cell_executed=on_cell_executed,
    )
    problem = None
    KERNEL_LOG.parent.mkdir(parents=True, exist_ok=True)
    try:
        # What the kernel's process itself prints is no cell's output: native libraries log there.
        with KERNEL_LOG.open("w") as log:
            client.execute(stdout=log, stderr=log)
    except CellTimeoutError:
        problem = f"the cell ran longer than {CELL_LIMIT} seconds"
    except DeadKernelError:
        problem = f"the kernel died (out of memory, or a crash in native code); see {KERNEL_LOG.relative_to(ROOT)}"
    except CellExecutionError:
        streams = [o.text for o in current.outputs if o.output_type == "stream" and o.name == "stderr"]
        problem = "".join(streams).strip() or "the kernel reported an error and printed nothing"
    result.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, result)
    if problem is None:
        return 0
    print(flush=True)
    print(f"{source.name}: cell {cells.index(current) + 1} failed:\n{problem}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))
