"""For integrations of agent frameworks, which get callbacks: opens and ends spans by hand.

A step that a framework reports has no function. It is declared by `declare`, opened by `start` and
ended by `ManualSpan.end`. `SpanTable` and `SessionTable` keep spans and runs by the framework's own
ids. Integrations use nothing else of recording; none of it is public.
"""

from remit._adapters.declare import add_to_header as add_to_header
from remit._adapters.declare import ceiling_of as ceiling_of
from remit._adapters.declare import declarations as declarations
from remit._adapters.declare import declare as declare
from remit._adapters.declare import declare_agent as declare_agent
from remit._adapters.declare import interrupts as interrupts
from remit._adapters.declare import name_tool as name_tool
from remit._adapters.declare import step_of as step_of
from remit._adapters.declare import undeclared as undeclared
from remit._adapters.spans import NOTHING as NOTHING
from remit._adapters.spans import Content as Content
from remit._adapters.spans import ManualSpan as ManualSpan
from remit._adapters.spans import Parent as Parent
from remit._adapters.spans import SpanEnd as SpanEnd
from remit._adapters.spans import StartOptions as StartOptions
from remit._adapters.spans import Status as Status
from remit._adapters.spans import collect_denials as collect_denials
from remit._adapters.spans import deny_after as deny_after
from remit._adapters.spans import inside as inside
from remit._adapters.spans import judging as judging
from remit._adapters.spans import permit as permit
from remit._adapters.spans import start as start
from remit._adapters.spans import traceparent as traceparent
from remit._adapters.spans import within as within
from remit._adapters.tables import MAX_OPEN as MAX_OPEN
from remit._adapters.tables import SessionTable as SessionTable
from remit._adapters.tables import SpanTable as SpanTable
from remit._base.frames import caller as caller
from remit._base.guard import contain as contain
from remit._base.guard import guarded as guarded
from remit._decorators.agent import AgentRuns as AgentRuns
from remit._record.runs import SpanContext as SpanContext
from remit._record.spans import SpanRecorder as SpanRecorder
