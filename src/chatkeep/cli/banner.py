"""What `serve` says when it is ready."""

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


_CURL = """\
  curl {address}/v1/chat/completions \\
    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"model":"{model}","messages":[{{"role":"user","content":"Say hello."}}],\
"store":true,"metadata":{{"run":"1"}}}}'
"""
_PYTHON = """\
  from openai import OpenAI
  client = OpenAI(base_url="{address}/v1", api_key="{key}")
  done = client.chat.completions.create(model="{model}", store=True, \
messages=[{{"role": "user", "content": "Say hello."}}])
  print(client.chat.completions.update(done.id, metadata={{"run": "2"}}))
"""


def text(ready: Ready) -> str:
    key = ready.root_key or ("none-needed" if not ready.auth else "$CHATKEEP_KEY")
    rows = [
        ("address", f"{ready.address}/v1"),
        ("store", ready.store),
        ("upstream", ready.upstream),
        ("auth", "on; add keys with: chatkeep keys add" if ready.auth else "off (--no-auth)"),
    ]
    if ready.root_key is not None:
        rows.append(("root key", f"{ready.root_key}  (shown only now: keep it)"))
    lines = [f"chatkeep {__version__}", *(f"  {name:<9} {value}" for name, value in rows)]
    filled = {"address": ready.address, "key": key, "model": ready.model}
    curl, python = _CURL.format(**filled), _PYTHON.format(**filled)
    return "\n".join(lines) + f"\n\nWith curl:\n{curl}\nWith Python:\n{python}"
