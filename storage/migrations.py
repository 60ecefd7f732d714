"""The tables of the ledger and of the job history, as the steps that lead to their present form.

Step n brings a file from version n-1 to version n (`PRAGMA user_version`). Steps are never edited
or removed once they are released: to change a table, append one. Released code before versions
wrote version 1 and left its number at 0, hence `IF NOT EXISTS` in the first steps.
"""

from __future__ import annotations

LEDGER: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE IF NOT EXISTS requests (
            id TEXT PRIMARY KEY,
            fingerprint TEXT NOT NULL,
            model TEXT NOT NULL,
            state TEXT NOT NULL,
            owner TEXT NOT NULL,
            sent_at REAL NOT NULL,
            answered_at REAL,
            trace_id TEXT NOT NULL DEFAULT '',
            seed INTEGER,
            inference REAL,
            seconds REAL NOT NULL DEFAULT 0
        )
        """,
        "CREATE INDEX IF NOT EXISTS by_fingerprint ON requests (fingerprint)",
        """
        CREATE TABLE IF NOT EXISTS pictures (
            request TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
            place INTEGER NOT NULL,
            url TEXT,
            file TEXT,
            bytes INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (request, place)
        )
        """,
    ),
    ("ALTER TABLE requests ADD COLUMN ticket TEXT",),
)
"""`state` is waiting, sent, submitted, unknown, failed, answered or stored."""

HISTORY: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE IF NOT EXISTS jobs (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            began_at REAL NOT NULL,
            state TEXT NOT NULL,
            task TEXT NOT NULL,
            node_type TEXT NOT NULL,
            node_id TEXT NOT NULL,
            model TEXT NOT NULL,
            prompt TEXT NOT NULL,
            workflow TEXT,
            seconds REAL NOT NULL DEFAULT 0,
            trace_id TEXT NOT NULL DEFAULT '',
            origins TEXT NOT NULL DEFAULT '',
            reason_en TEXT,
            reason_zh TEXT,
            pictures TEXT NOT NULL DEFAULT ''
        )
        """,
        "CREATE INDEX IF NOT EXISTS by_time ON jobs (began_at)",
        "CREATE TABLE IF NOT EXISTS workflows (hash TEXT PRIMARY KEY, content BLOB NOT NULL)",
    ),
    ("ALTER TABLE jobs ADD COLUMN reason TEXT",),
)
"""`reason` is JSON, `{language: wording}`; `reason_en` and `reason_zh` are of version 1 alone."""
