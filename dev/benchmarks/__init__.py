"""How long the pack takes, beside the rivals' way and the machine's limit."""
