"""The upgrade of a database to the schema of this version."""
