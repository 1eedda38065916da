"""What rows look like on the wire: objects, lists, envelopes."""

from __future__ import annotations

from remit.collector.views.envelopes import error_answer as error_answer
from remit.collector.views.envelopes import list_answer as list_answer
from remit.collector.views.envelopes import span_answer as span_answer
from remit.collector.views.envelopes import success_answer as success_answer
from remit.collector.views.instances import detail_view as detail_view
from remit.collector.views.instances import instance_view as instance_view
from remit.collector.views.instances import summary_view as summary_view
from remit.collector.views.resources import agent_view as agent_view
from remit.collector.views.resources import row_view as row_view
from remit.collector.views.resources import schema_summary as schema_summary
from remit.collector.views.resources import schema_view as schema_view
from remit.collector.views.spans import span_view as span_view
