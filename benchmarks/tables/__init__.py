"""The tables: what each measures, and how it is shown."""
