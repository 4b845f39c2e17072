"""The console: whatever is printed on a terminal is escaped here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

from regioncap.escapes import shown


class SafeConsole(Console):
    """rich's console, which reads no markup from texts and lets none of their controls through."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False} | options)

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        # The last place where rich's own commands and the texts are apart.
        return super()._render_buffer(
            segment if segment.control else segment._replace(text=shown(segment.text))
            for segment in buffer
        )
