"""Reading callables and types: signatures, annotations, fields, docstrings and marks."""
