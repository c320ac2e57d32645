"""Run by LiteLLM's own Python: ask what OPENAI_BASE_URL names with OpenAI's client, once it answers; print the answer as JSON."""

from __future__ import annotations

import json
import sys

from openai import OpenAI

raw = OpenAI(max_retries=0).chat.completions.with_raw_response.create(
    model=sys.argv[1], messages=[{"role": "user", "content": sys.argv[2]}]
)
fallbacks = int(raw.headers.get("x-litellm-attempted-fallbacks", 0))
print(json.dumps({"text": raw.parse().choices[0].message.content, "fallbacks": fallbacks}))
