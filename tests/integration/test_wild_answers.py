"""A model that runs wild costs its record its captions, and nobody time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from regioncap.captions.conversation import Captioned, caption_records
from regioncap.engines.openai import OpenAIEngine
from regioncap.engines.thread import EngineThread
from regioncap.views.render import render_record
from tests.support.chat_server import Behaviour, serve_chat
from tests.support.records import coloured, make_record, png, view_settings

SOURCE = png(coloured((640, 480), {}))
#: Far more than it takes, far less than a lease.
SOON_S = 30


@pytest.fixture(scope="module")
def does() -> Behaviour:
    return Behaviour()


@pytest.fixture(scope="module")
def engine(does: Behaviour) -> Iterator[EngineThread]:
    with serve_chat(does) as url:
        thread = EngineThread(OpenAIEngine("tiny", base_url=url))
        thread.start()
        yield thread
        thread.close()


def caption(engine: EngineThread) -> Captioned:
    how = view_settings()
    boxes = [[10.0, 10, 200, 200], [300.0, 50, 200, 200]]
    record, pictures = render_record(make_record(boxes), SOURCE, how)
    work = caption_records([record], dict(pictures), engine.engine, how, lambda *_: [])
    [done] = engine.run(work).result(SOON_S)
    return done


@pytest.mark.parametrize("count", [6_000, 20_000])
@pytest.mark.parametrize("run", ["\n", " ", "\t\u00a0", "\n "])
def test_captions_with_a_run_of_white_space_in_them(
    does: Behaviour, engine: EngineThread, run: str, count: int
) -> None:
    does.says, does.finish_reason = f"<region1> a{run * count}b\n<region2> A dog.", "stop"

    done = caption(engine)

    assert [region.caption for region in done.record.regions] == ["A b", "A dog."]
    assert [each.text for each in done.answers] == [does.says]


@pytest.mark.parametrize("count", [6_000, 20_000])
@pytest.mark.parametrize("run", ["\n", "!", "'1':'", "<region3> "])
def test_nothing_but_a_run_is_an_error(
    does: Behaviour, engine: EngineThread, run: str, count: int
) -> None:
    does.says, does.finish_reason = run * count, "length"

    done = caption(engine)

    assert done.record.error is not None
    assert done.record.error.code == "no-caption"
