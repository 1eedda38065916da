"""Texts that would do something if a page took them for HTML, a link or markdown."""

from __future__ import annotations

from typing import Final

HOSTILE: Final = (
    "<script>window.hit=1</script>",
    "\"><img src=x onerror='window.hit=1'>",
    "'><svg onload=window.hit=1>",
    "</title></textarea><script>window.hit=1</script>",
    "{{ 7 * 7 }}{% raw %}",
    "[a](javascript:window.hit=1)",
    "\u202egnp.exe\u2066",
    "a\x1b[31mb\x7f",
)
