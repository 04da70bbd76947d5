"""What the server that workers are forked from imports: the workbench, for as long as its parent lives.

The server looks for its parent only once it has imported everything, which takes half a minute on a busy machine.
Until then a thread looks in its place. It ends before the first worker is forked, as threads and forks do not mix.
"""

from __future__ import annotations

import importlib
import os
import threading

PARENT = "NATFP_SERVER_PARENT"
"""Environment variable with the id of the process that starts the server."""

LOOK_SECONDS = 0.2


def _end_with(parent: int, imported: threading.Event) -> None:
    while not imported.wait(LOOK_SECONDS):
        if os.getppid() != parent:
            os._exit(1)


if PARENT in os.environ:  # nowhere but in the server
    done = threading.Event()
    watcher = threading.Thread(target=_end_with, args=(int(os.environ.pop(PARENT)), done), daemon=True)
    watcher.start()
    try:
        importlib.import_module("natfp_bench.pipeline.workbench")
    finally:
        done.set()
        watcher.join()
