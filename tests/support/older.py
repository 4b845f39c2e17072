"""A worker of the version before this one: it leaves alone what is stored in a format of now.

OLDER_KIND names the kind: render or caption.
"""

from __future__ import annotations

import importlib
import os

from regioncap import records

records.SCHEMA_VERSION -= 1

app = importlib.import_module(f"workers.{os.environ['OLDER_KIND']}").app
