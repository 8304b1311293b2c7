"""Profiles: named connections, kept in a file of the user's, so that commands need not be told each time."""
