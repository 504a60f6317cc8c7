"""The ways to ask for a page of a synthetic store.

Each finds as many completions in a store of any size: else the larger one's page would be fuller.
"""

from msgspec import Struct

from bench.synthetic import made, second, ten
from chatkeep.core.model.completion import Project


class Shape(Struct, frozen=True):
    """`query` is filled in for a store's size; `flat` is whether its cost must not grow with it."""

    name: str
    query: dict[str, str]
    flat: bool = True


SHAPES = (
    Shape("newest", {}),
    Shape("oldest", {"order": "asc"}),
    Shape("behind the middle", {"after": "{middle}"}),
    Shape("a fifth of the time", {"created_after": "{begin}", "created_before": "{end}"}),
    Shape("pair of 90 %", {"metadata[env]": "prod"}),
    Shape("pair of 5 %", {"metadata[team]": "t07"}),
    Shape("pair of 5 %, behind the middle", {"metadata[team]": "t07", "after": "{middle}"}),
    Shape("pair of 5 %, oldest", {"metadata[team]": "t07", "order": "asc"}),
    Shape("pair of 10 rows", {"metadata[{ten}]": "yes"}),
    Shape("pair of one row", {"metadata[n]": "{n}"}),
    Shape("pair of the oldest 20 rows", {"metadata[oldest]": "yes"}),
    Shape("pairs of 90 % and 5 %", {"metadata[env]": "prod", "metadata[team]": "t07"}),
    Shape("pairs of 50 % and 25 %", {"metadata[side-a]": "yes", "metadata[plan]": "p2"}),
    Shape("pairs of 90 % and 10 rows", {"metadata[env]": "prod", "metadata[{ten}]": "yes"}),
    Shape(
        "pairs of 50 % that hardly meet",
        {"metadata[side-a]": "yes", "metadata[side-b]": "yes"},
        flat=False,
    ),
    Shape("model of 60 %", {"model": "gpt-4o-mini"}),
    Shape("model of the oldest 20 rows", {"model": "retired"}),
    Shape("model of 60 % and pair of 5 %", {"model": "gpt-4o-mini", "metadata[team]": "t07"}),
    Shape("status of 96 %", {"status": "complete"}),
    Shape("status of 3 %", {"status": "failed_midstream"}),
    Shape("finish reason of 6 %", {"finish_reason": "length"}),
    Shape("upstream of 10 %", {"upstream": "anthropic"}),
    Shape("key of 25 %", {"key": "3"}),
    Shape("word of 10 %", {"q": "cobalt"}),
    Shape("word of 10 rows", {"q": "{ten}"}),
    Shape("phrase of 5 %", {"q": '"cobalt harbor"'}),
    Shape("word of 10 % and pair of 25 %", {"q": "harbor", "metadata[plan]": "p2"}),
    Shape("word of 10 rows and pair of 90 %", {"q": "{ten}", "metadata[env]": "prod"}),
    Shape("word of 90 % and pair of 10 rows", {"q": "common", "metadata[{ten}]": "yes"}),
    Shape("word of the oldest 20 rows", {"q": "oldest"}),
)


def asked(shape: Shape, project: Project, rows: int) -> list[tuple[str, str]]:
    """The parameters for a store of so many rows."""
    values = {
        "middle": made(project, rows // 2).row.id,
        "begin": str(second(rows * 2 // 5)),
        "end": str(second(rows * 3 // 5)),
        "n": f"{rows // 3:012d}",
        "ten": ten(rows),
    }
    return [(key.format(**values), value.format(**values)) for key, value in shape.query.items()]
