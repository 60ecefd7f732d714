"""The tables of the ledger and of the history. Each is made where it is missing."""

from __future__ import annotations

REQUESTS = """
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
);
CREATE INDEX IF NOT EXISTS by_fingerprint ON requests (fingerprint);
CREATE TABLE IF NOT EXISTS pictures (
    request TEXT NOT NULL REFERENCES requests (id) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    url TEXT,
    file TEXT,
    bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (request, place)
);
"""
HISTORY = """
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
);
CREATE INDEX IF NOT EXISTS by_time ON jobs (began_at);
CREATE TABLE IF NOT EXISTS workflows (
    hash TEXT PRIMARY KEY,
    content BLOB NOT NULL
);
"""
