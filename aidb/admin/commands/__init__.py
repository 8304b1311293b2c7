"""The commands of `aidb-admin` and their parameters by concern. Their work is imported when they run."""
