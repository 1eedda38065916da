"""Places where a secret can enter what is recorded, one function each."""
