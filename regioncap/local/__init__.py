"""The embedded stack: a real Valkey and a real S3 server as child processes on this machine.

stack      both servers of one folder;  valkey, seaweed  say how each is run
workers    workers beside them;  side_by_side  several workers as one command
process    child processes, started again when they end
guard      starts the store again after a full disk
files      files and ports that are one stack's own
"""

from __future__ import annotations

from regioncap.local.process import Child, Command, Supervisor
from regioncap.local.stack import LocalStack

__all__ = ["Child", "Command", "LocalStack", "Supervisor"]
