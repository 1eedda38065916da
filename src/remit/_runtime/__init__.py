"""The runtime of the process; it connects recording, delivery and settings.

Importing remit starts nothing and imports no httpx. `configure()`, or else the first run, imports
`setup`, which needs delivery and httpx, and makes the runtime from the settings.
"""
