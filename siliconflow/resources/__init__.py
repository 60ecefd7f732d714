"""One file for each resource of the API: its requests, and its responses as data."""
