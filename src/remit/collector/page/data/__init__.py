"""The screens about data: the data map, the register, and denied steps."""
