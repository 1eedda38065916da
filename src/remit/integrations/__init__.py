"""Integrations of model clients and agent frameworks; `import remit` imports none of them."""
