"""Put the measurements of all hosts together; documented in bench_report.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fleet import bench_report as made
    from fleet.bench_picture import picture
    from fleet.shown import as_json
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet import bench_report as made
    from ansible.module_utils.fleet.bench_picture import picture
    from ansible.module_utils.fleet.shown import as_json


def bench_report(
    variables: Mapping[str, Mapping[str, Any]], hosts: Sequence[str], last: str, made_at: str, strict: bool
) -> dict[str, Any]:
    """Pass the variables of every host in, and the table, the files, the findings and each host's outcome out."""
    content = made.report(made.rows_from_variables(variables, hosts), last, set(variables), made_at, strict=strict)
    plan = made.is_plan(content)
    return {
        "table": made.table(content),
        "files": {}
        if plan
        else {"bench.json": as_json(content), "bench.csv": made.csv_text(content), "bench.svg": picture(content)},
        "findings": content["findings"],
        "outcomes": made.outcomes(content, strict=strict),
    }


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"bench_report": bench_report}
