"""The commands of `aidb` and their parameters by concern. Their work is imported when they run."""
