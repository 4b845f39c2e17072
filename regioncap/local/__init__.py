"""The embedded stack: a real Valkey and a real S3 server as child processes on this machine."""

from __future__ import annotations

from regioncap.local.process import Child, Command, Supervisor
from regioncap.local.stack import LocalStack
from regioncap.running_stack import RunningStack, find_stack

__all__ = ["Child", "Command", "LocalStack", "RunningStack", "Supervisor", "find_stack"]
