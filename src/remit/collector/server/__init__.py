"""The HTTP server: app, middleware with limits and access log, health checks, processes."""
