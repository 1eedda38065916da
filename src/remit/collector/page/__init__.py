"""The page of `remit serve`: what agents did, in a browser."""
