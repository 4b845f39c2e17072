"""`python -m producer`: the command where it is not installed."""

from __future__ import annotations

from producer.cli import main

main()
