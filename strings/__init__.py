"""Every word that a user reads, one file a language."""
