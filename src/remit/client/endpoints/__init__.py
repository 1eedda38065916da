"""The API's endpoints as pure descriptions, shared by the client and the sender.

`table` lists the endpoints. `Endpoint.call` describes one request as a `Call`, whose `parse` turns
a response into a wire model. `raise_for_status` raises the error for an error response, named for
the reaction it needs. Nothing here does input or output.
"""
