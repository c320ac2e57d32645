"""Run by LiteLLM's own Python: make its Router of a rendered file and, with a question, ask a group; print what came as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from litellm import Router


def main(file: str, group: str = "", question: str = "") -> None:
    """Print the groups, and who answered."""
    content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    router = Router(model_list=content["model_list"], **content["router_settings"])
    said = {"groups": router.get_model_names()}
    if group:
        try:
            answer = router.completion(group, messages=[{"role": "user", "content": question}])
        except Exception as error:  # the client's own words are what is asked for
            said["error"] = f"{type(error).__name__}: {error}"
        else:
            said["text"] = answer.choices[0].message.content
            said["fallbacks"] = int(answer._hidden_params["additional_headers"].get("x-litellm-attempted-fallbacks", 0))
    print(json.dumps(said))


main(*sys.argv[1:])
