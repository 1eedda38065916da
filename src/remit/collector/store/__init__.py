"""Where the collector stores its data: the interface of a database, SQLite and PostgreSQL."""
