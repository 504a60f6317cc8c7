"""Images, sounds and files of messages, one by one, and harmless to browsers."""

from base64 import b64encode
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI
from support.chatkeep_server import Chatkeep
from support.rawhttp import get
from support.refusals import Refusal, refused

KEEP = "/keep/v1/completions"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "


def image(content: bytes, kind: str = "image/png") -> dict[str, Any]:
    url = f"data:{kind};base64,{b64encode(content).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def linked() -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def audio(content: bytes) -> dict[str, Any]:
    data = b64encode(content).decode()
    return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}


@pytest.fixture
async def kept(client: AsyncOpenAI) -> str:
    messages: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "look"}, linked(), image(PNG)]},
        {"role": "user", "content": [image(SVG, "image/png"), audio(WAV)]},
        {"role": "user", "content": "and tell"},
    ]
    made = await client.chat.completions.create(model="m", messages=messages, store=True)
    return made.id


@pytest.mark.parametrize("part", ["3", "-1", "x", "9" * 30, "0x0"])
async def test_what_is_not_there_is_not_found(chatkeep: Chatkeep, kept: str, part: str) -> None:
    wanted = Refusal("AttachmentNotFound", f"Part {part} of completion {kept} not found", "part")
    await refused(chatkeep.url, get(f"{KEEP}/{kept}/parts/{part}", chatkeep.key), wanted)


async def test_a_picture_is_shown(http: httpx2.AsyncClient, kept: str) -> None:
    answer = await http.get(f"{KEEP}/{kept}/parts/0")
    assert answer.content == PNG
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"] == "inline"


@pytest.mark.parametrize(("part", "content"), [(1, SVG), (2, WAV)])
async def test_anything_else_is_a_download_whatever_it_says_it_is(
    http: httpx2.AsyncClient, kept: str, part: int, content: bytes
) -> None:
    answer = await http.get(f"{KEEP}/{kept}/parts/{part}")
    assert answer.content == content
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
