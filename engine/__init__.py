"""How a paid request runs: once, resumable, cancellable, at the account's pace."""
