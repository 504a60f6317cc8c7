"""A connection goes no faster than the slower of its ends."""

import asyncio

from chatkeep.web.server.flow import Flow


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.aborted = asyncio.Event()

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")

    def abort(self) -> None:
        self.aborted.set()


def flow_on(wire: Wire, unread_s: float) -> Flow:
    return Flow(wire, asyncio.get_running_loop(), unread_s)


async def test_reading_is_paused_and_resumed_once() -> None:
    wire = Wire()
    flow = flow_on(wire, 1)
    for act in (flow.pause_reading, flow.resume_reading):
        act()
        act()
    assert wire.asked == ["pause", "resume"]


async def test_whoever_leaves_an_answer_unread_loses_the_connection() -> None:
    wire = Wire()
    flow_on(wire, 0).pause_writing()
    await wire.aborted.wait()


async def test_whoever_reads_on_in_time_keeps_it() -> None:
    wire = Wire()
    flow = flow_on(wire, 0)
    flow.pause_writing()
    draining = asyncio.ensure_future(flow.drain())
    flow.resume_writing()
    await draining
    await asyncio.sleep(0)
    assert not wire.aborted.is_set()
