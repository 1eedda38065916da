"""The API: table of endpoints, dispatch, bulk, OpenAPI, and the ASGI app."""
