"""What is kept on disk: settings, ledger, job history, model lists."""
