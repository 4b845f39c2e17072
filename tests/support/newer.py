"""A worker of the next version: it reads what is stored now and stores in a format of its own.

NEWER_KIND names the kind: render or caption.
"""

from __future__ import annotations

import importlib
import os

from regioncap import records

records.SCHEMA_VERSION += 1

app = importlib.import_module(f"workers.{os.environ['NEWER_KIND']}").app
