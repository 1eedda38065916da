"""The screens about one run: its page, its steps, its files, and the talk with a model."""
