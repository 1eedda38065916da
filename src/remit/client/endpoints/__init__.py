"""The API's endpoints as pure descriptions, shared by the client and the sender.

`table` lists the endpoints. `Endpoint.call` describes one request as a `Call`, whose `parse` turns
an answer into a wire model. `raise_for_status` turns a refusal into the error that is named for
the reaction it needs. Nothing here does input or output.
"""

from __future__ import annotations

from remit.client.endpoints import table
from remit.client.endpoints.bulk import SUCCEEDED, bulk, bulk_raw
from remit.client.endpoints.endpoint import (
    MAX_ANSWER_BYTES,
    MAX_LIST_BYTES,
    AnswerTooLongError,
    Call,
    Endpoint,
    JsonMapping,
)
from remit.client.endpoints.responses import details, lenient, output_error, page, raise_for_status

__all__ = [
    "MAX_ANSWER_BYTES",
    "MAX_LIST_BYTES",
    "SUCCEEDED",
    "AnswerTooLongError",
    "Call",
    "Endpoint",
    "JsonMapping",
    "bulk",
    "bulk_raw",
    "details",
    "lenient",
    "output_error",
    "page",
    "raise_for_status",
    "table",
]
