"""What is measured, each behind the same small interface; imported in the measured process only."""
