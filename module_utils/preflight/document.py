"""The frame of every page: one file without a script and without a request, whose policy forbids both."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from .style import DEFINITIONS

if TYPE_CHECKING:
    from fleet.shown import without_controls
else:
    from ansible.module_utils.fleet.shown import without_controls


def document(title: str, style: str, body: str) -> str:
    """Return the whole page; `body` is what its main part holds."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{DEFINITIONS}
<main>
{body}
</main>
</body>
</html>
"""


def text(value: object) -> str:
    """Return text for HTML: nothing in it is markup, nothing turns the line around."""
    return escape(without_controls(str(value)), quote=True)
