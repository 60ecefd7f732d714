"""What is stored on disk: settings, ledger, job history, model lists."""
