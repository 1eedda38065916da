"""The account, and the sessions of those who are signed in."""
