"""Judge what the inventory says about one host before any Mac is asked; documented in inventory_findings.yml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import ansible.module_utils

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fleet.inventory import (
        contradictions,
        environment_findings,
        exposure_findings,
        keep_alive_findings,
        model_findings,
        secret_findings,
        service_findings,
        unknown_variables,
        value_findings,
    )
    from fleet.plan import parse_definition
    from fleet.power import inventory_findings as power_findings
    from fleet.shell_block import problems, refusals
    from fleet.vocabulary import plain
else:
    ansible.module_utils.__path__.append(str(Path(__file__).resolve().parents[1] / "module_utils"))
    from ansible.module_utils.fleet.inventory import (
        contradictions,
        environment_findings,
        exposure_findings,
        keep_alive_findings,
        model_findings,
        secret_findings,
        service_findings,
        unknown_variables,
        value_findings,
    )
    from ansible.module_utils.fleet.plan import parse_definition
    from ansible.module_utils.fleet.power import inventory_findings as power_findings
    from ansible.module_utils.fleet.shell_block import problems, refusals
    from ansible.module_utils.fleet.vocabulary import plain


def inventory_findings(declared: Mapping[str, Any], host: str) -> list[dict[str, Any]]:
    """Put the judgements of names, values, environment, service, exposure, models, power and client shell together, in order."""
    service, exposure = declared["ollama_service"], declared["exposure"]
    environment = environment_findings(host, declared["environment"])
    definition = None if environment else parse_definition(service["plist"])
    values = declared.get("values", {})
    findings = [
        *unknown_variables(host, declared["variables"], declared["known_variables"]),
        *value_findings(host, declared.get("options", {}), values),
        *contradictions(host, values),
        *environment,
        *secret_findings(host, declared["environment"]),
        *(
            ()
            if environment
            else service_findings(
                host,
                service["label"],
                service["domain"],
                definition,
                service["retired_labels"],
                background_accepted=service["background_accepted"],
                always_on=service["always_on"],
            )
        ),
        *exposure_findings(host, exposure, declared["environment"]),
        *model_findings(host, declared["models"], declared["removed"]),
        *keep_alive_findings(host, declared["environment"], declared["models"], declared.get("memory_gib")),
        *power_findings(host, declared["power"], declared["power"]["budget"]),
        *refusals(host, "inventory", problems(declared["shell_env"]["variables"], declared["shell_env"]["aliases"])),
    ]
    read: list[dict[str, Any]] = plain(findings)
    return read


class FilterModule:
    """What Ansible looks for in this folder."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Map the name in templates to the function."""
        return {"inventory_findings": inventory_findings}
