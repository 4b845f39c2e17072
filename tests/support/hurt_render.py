"""The render worker, hurt by what a record's field `hurt` says: the stand-in for a bad picture.

Every start of a record is written to the file named by HURT_STARTS.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import regioncap.jobs.render as stage
from regioncap.records import InputRecord
from regioncap.views.render import Rendered, render_record
from regioncap.views.view import ViewSettings

_real = render_record


def _hurt(record: InputRecord, data: bytes, how: ViewSettings) -> Rendered:
    with Path(os.environ["HURT_STARTS"]).open("a") as starts:
        starts.write(f"{record.index}\n")
    # time.sleep does not work under libfaketime.
    threading.Event().wait(float(os.environ.get("HURT_SLEEP_S", "0")))
    hurt: Any = record.meta.get("hurt")
    if hurt == "hog":
        hoard = []
        while True:
            hoard.append(b"x" * 100_000_000)
    if hurt == "loop":
        while True:
            pass
    if hurt == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    return _real(record, data, how)


stage.render_record = _hurt  # type: ignore[attr-defined]

from workers.render import app  # noqa: E402, F401  # the worker, hurt as above
