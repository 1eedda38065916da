"""The screens about data: the data map, the register, and what was denied."""
