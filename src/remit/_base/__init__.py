"""What every other package uses: the guard, clocks, keys, back-off, files and texts."""
