"""What the tests of the page notice in a tab, and what the policy of the page forbids in it."""

from __future__ import annotations

from typing import Final

import pytest
from playwright.sync_api import Browser, Route

from tests.browsing import Desk, Tab, opened_tab

ELSEWHERE: Final = "http://other.example/"
COMPLAINTS: Final = (
    ("weberror", "setTimeout(() => { throw new Error('a fault') })", "error: a fault"),
    ("console", "document.body.setAttribute('style', 'color: red')", "style-src 'self'"),
    ("console", f"new Image().src = '{ELSEWHERE}x.png'", "img-src 'self'"),
    ("console", "new Image().src = '/missing.png'", "404"),
    ("request", f"location.assign('{ELSEWHERE}')", f"request: {ELSEWHERE}"),
    ("request", f"open('{ELSEWHERE}')", f"request: {ELSEWHERE}"),
    ("console", "console.warn('beware')", "warning: beware"),
    ("console", "console.log('a word')", "log: a word"),
)
"""What a script does, the event by which the browser tells of it, and what the tab notes."""
MARKUP: Final = (
    "document.body.innerHTML = '<p>text</p>'",
    "document.body.insertAdjacentHTML('beforeend', '<p>')",
    "new DOMParser().parseFromString('<p>', 'text/html')",
    "document.createElement('script').text = 'window.hit = 1'",
    "document.createElement('script').src = '/static/x.js'",
    "document.createElement('iframe').srcdoc = '<p>'",
    "document.createElement('object').data = '/help'",
    "document.body.setAttribute('onclick', 'window.hit = 1')",
    "new Worker('/static/x.js')",
    "trustedTypes.createPolicy('other', {})",
    "trustedTypes.createPolicy('remit', {})",
)
"""Ways from a text to elements or to a script, of which each one fails."""
ATTEMPTS: Final = {
    "connect-src": f"fetch('{ELSEWHERE}').catch(() => {{}})",
    "img-src": f"add('img', {{ src: '{ELSEWHERE}x.png' }})",
    "style-src-attr": "document.body.setAttribute('style', 'color: red')",
    "style-src-elem": "add('style', { textContent: 'p { color: red }' })",
    "frame-src": "add('iframe', { src: '/help' })",
    "media-src": "add('video', { src: '/x.webm' })",
    "base-uri": f"add('base', {{ href: '{ELSEWHERE}' }})",
    "form-action": f"add('form', {{ method: 'post', action: '{ELSEWHERE}' }}).submit()",
}
"""What an injected element would do, by the directive that stops it."""
LISTEN: Final = """() => {
  window.stopped = [];
  window.add = (name, values) => {
    const made = Object.assign(document.createElement(name), values);
    document.body.append(made);
    return made;
  };
  addEventListener("securitypolicyviolation", (event) => stopped.push(event.effectiveDirective));
}"""
THROWS: Final = "() => {{ try {{ {} }} catch {{ return false; }} return true; }}"
ALL_STOPPED: Final = "names => names.every((name) => stopped.includes(name))"


def answer_elsewhere(tab: Tab) -> None:
    """Answer for another host, which no test asks."""

    def answer(route: Route) -> None:
        body = "<!doctype html><link rel=icon href=data:,>"
        route.fulfill(body=body, content_type="text/html")

    tab.page.context.route(f"{ELSEWHERE}**", answer)


def test_a_tab_notes_what_a_page_must_not_do(browser: Browser, module_desk: Desk) -> None:
    """Lines of the console, faults, violations of the policy, requests to other hosts."""
    with opened_tab(browser, module_desk) as tab:
        answer_elsewhere(tab)
        for event, script, complaint in COMPLAINTS:
            page = tab.open("/help")
            with page.context.expect_event(event):
                page.evaluate(f"() => {{ {script} }}")
            tab.expect(complaint)
            # A request that the policy stops is noted twice.
            tab.complaints.clear()


def test_a_complaint_fails_the_test(browser: Browser, module_desk: Desk) -> None:
    """Though the test itself went well."""
    with (
        pytest.raises(AssertionError, match="log: a word"),
        opened_tab(browser, module_desk) as tab,
    ):
        tab.open("/help").evaluate("console.log('a word')")


def test_the_browser_follows_the_policy_of_the_page(browser: Browser, module_desk: Desk) -> None:
    """No text becomes an element or a script, and no element asks or loads what is foreign."""
    with opened_tab(browser, module_desk) as tab:
        page = tab.open("/help")
        page.evaluate(LISTEN)
        assert [script for script in MARKUP if page.evaluate(THROWS.format(script))] == []
        for script in ATTEMPTS.values():
            page.evaluate(f"() => {{ {script} }}")
        page.wait_for_function(ALL_STOPPED, arg=[*ATTEMPTS, "require-trusted-types-for"])
        assert page.evaluate("window.hit") is None
        assert page.url == f"{module_desk.url}/help"
        # All that the browser said of it has arrived when another page is open.
        tab.open("/help")
        tab.expect("Content Security Policy")
        tab.complaints.clear()
