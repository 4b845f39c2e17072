"""vLLM's own API server, in front of an engine that runs already: one start serves both."""

from __future__ import annotations

import asyncio
import socket
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from regioncap.engines.thread import EngineThread
from regioncap.engines.vllm import VllmEngine


@contextmanager
def serve_engine(thread: EngineThread, name: str, key: str) -> Iterator[str]:
    """Runs the server on the engine's own loop; gives the address of its API.

    Args:
        thread: A started vLLM engine; it goes on when the server has ended.
        name: What the server calls the model.
        key: What it asks its clients for.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        arguments = ["--served-model-name", name, "--api-key", key, "--port", str(port)]
        server = thread.run(_start(thread.engine, arguments, listening)).result(60)
        try:
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.stop(thread)


class _Server:
    """A uvicorn server and the task that it runs in."""

    def __init__(self, app: object, listening: socket.socket) -> None:
        import uvicorn

        config = uvicorn.Config(app, log_level="warning")
        self._server = uvicorn.Server(config)
        self._task = asyncio.ensure_future(self._server.serve(sockets=[listening]))

    def stop(self, thread: EngineThread) -> None:
        async def wait() -> None:
            self._server.should_exit = True
            await self._task

        thread.run(wait()).result(60)


async def _start(engine: object, arguments: list[str], listening: socket.socket) -> _Server:
    from vllm.entrypoints.openai.api_server import build_app, init_app_state

    assert isinstance(engine, VllmEngine)
    llm = engine._llm
    assert llm is not None
    parsed = _parse(["--model", llm.model_config.model, *arguments])
    tasks = await llm.get_supported_tasks()
    app = build_app(parsed, tasks, llm.model_config)
    await init_app_state(llm, app.state, parsed, tasks)
    return _Server(app, listening)


def _parse(arguments: list[str]) -> Namespace:
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    try:
        make = import_module("vllm.entrypoints.launchers.cli_args").make_arg_parser
    except ModuleNotFoundError:  # where it was before 0.32
        make = import_module("vllm.entrypoints.openai.cli_args").make_arg_parser
    parsed: Namespace = make(FlexibleArgumentParser()).parse_args(arguments)
    return parsed
