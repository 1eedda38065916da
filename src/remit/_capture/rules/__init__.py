"""The rules of redaction: by type, by name, by data category, by the shape of a text."""
