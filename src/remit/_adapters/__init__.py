"""For integrations of agent frameworks, which get callbacks: opens and ends spans by hand.

A step that a framework reports has no function. It is declared by `declare`, opened by
`spans.start` and ended by `ManualSpan.end`. `SpanTable` and `SessionTable` keep spans and runs by
the framework's own ids. None of it is public.
"""
