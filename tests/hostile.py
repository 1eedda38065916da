"""Texts that would do something if a page took them for HTML, a link, a template or a name."""

from __future__ import annotations

from typing import Final

MARK: Final = "x-hit"
"""Name of an element that some of the texts would make."""
HOSTILE: Final = (
    f"<script>window.hit=1</script><{MARK}>",
    "\"><img src=x onerror='window.hit=1'>",
    "'><svg onload=window.hit=1>",
    f"</title></textarea></script><{MARK} onmouseover=window.hit=1><script>window.hit=1</script>",
    "<svg><animate onbegin=window.hit=1 attributeName=x dur=1s><use href=data:image/svg+xml,x>",
    "javascript:window.hit=1//",
    "data:text/html,<script>window.hit=1</script>",
    "[a](javascript:window.hit=1) ![b](http://evil.example/x.png)",
    "http://evil.example/<iframe src=javascript:window.hit=1>",
    "{{ 7 * 7 }}{% raw %}{{ self.__init__.__globals__ }}",
    "{{ 'a' | upcase }}{% comment %}${window.hit=1}",
    "' onfocus=window.hit=1 autofocus x='",
    "` \" ' &quot;&lt;b&gt;",
    "\u202egnp.exe\u2066 \u200b\u200d\ufeff",
    "a\x1b[31mb\x7f\r\n\tc",
    "w" * 1000,
    "__proto__",
    "constructor",
)
"""They set `window.hit`, make an element `MARK`, ask another host, or hide what they are."""
