"""What `serve` says when it is ready."""

import json
import shlex
from typing import NamedTuple

from chatkeep import __version__


class Ready(NamedTuple):
    """`root_key` only at the first start; `model` is one the upstream has."""

    address: str
    store: str
    upstream: str
    model: str
    auth: bool
    root_key: str | None


_ASKED = {"messages": [{"role": "user", "content": "Say hello."}], "store": True}
_CURL = """\
  curl {address}/v1/chat/completions \\
    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d {body}
"""
_PYTHON = """\
from openai import OpenAI
client = OpenAI(base_url="{address}/v1", api_key={key})
done = client.chat.completions.create(model={model}, store=True, \
messages=[{{"role": "user", "content": "Say hello."}}])
print(client.chat.completions.update(done.id, metadata={{"run": "2"}}))
"""


def text(ready: Ready) -> str:
    rows = [
        ("address", f"{ready.address}/v1"),
        ("store", ready.store),
        ("upstream", ready.upstream),
        ("auth", "on; add keys with: chatkeep keys add" if ready.auth else "off (--no-auth)"),
    ]
    if ready.root_key is not None:
        rows.append(("root key", f"{ready.root_key}  (shown only now: keep it)"))
    lines = [f"chatkeep {__version__}", *(f"  {name:<9} {value}" for name, value in rows)]
    return "\n".join(lines) + f"\n\nWith curl:\n{_curl(ready)}\nWith Python:\n{_python(ready)}"


def _curl(ready: Ready) -> str:
    key = ready.root_key or ("none-needed" if not ready.auth else "$CHATKEEP_KEY")
    body = {"model": ready.model, **_ASKED, "metadata": {"run": "1"}}
    asked = shlex.quote(json.dumps(body, separators=(",", ":")))
    return _CURL.format(address=ready.address, key=key, body=asked)


def _python(ready: Ready) -> str:
    """Lines to paste; without a key to show, they take it from its variable."""
    key = repr(ready.root_key or "none-needed")
    unknown = ready.auth and ready.root_key is None
    lines = _PYTHON.format(
        address=ready.address,
        key='os.environ["CHATKEEP_KEY"]' if unknown else key.replace("'", '"'),
        model=json.dumps(ready.model),
    )
    return "import os\n" + lines if unknown else lines
