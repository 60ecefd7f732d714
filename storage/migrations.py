"""The tables of the ledger and of the job history, as the steps that lead to their present form.

Step n brings a file from version n-1 to version n (`PRAGMA user_version`). Steps are never edited
or removed once they are released: to change a table, append one. Released code before versions
wrote version 1 and left its number at 0, hence `IF NOT EXISTS` in the first steps.
"""

from __future__ import annotations

_COUNT_NEW_SPEND = """
    INSERT INTO spend_days
        VALUES (
            date(NEW.at, 'unixepoch', 'localtime'), NEW.model, NEW.currency, NEW.state = 'free',
            NEW.items, COALESCE(NEW.cost, 0), NEW.items * (NEW.cost IS NULL)
        )
        ON CONFLICT DO UPDATE SET items = items + excluded.items, cost = cost + excluded.cost,
            unknown_items = unknown_items + excluded.unknown_items;
"""
_TAKE_OLD_SPEND = """
    UPDATE spend_days SET items = items - OLD.items, cost = cost - COALESCE(OLD.cost, 0),
            unknown_items = unknown_items - OLD.items * (OLD.cost IS NULL)
        WHERE day = date(OLD.at, 'unixepoch', 'localtime') AND model = OLD.model
            AND currency = OLD.currency AND is_free = (OLD.state = 'free');
"""
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
    (
        "ALTER TABLE requests ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE pictures ADD COLUMN is_damaged INTEGER NOT NULL DEFAULT 0",
        "CREATE TABLE unread_folders (name TEXT PRIMARY KEY)",
        "CREATE TABLE totals (requests INTEGER, files INTEGER, bytes INTEGER)",
        """
        UPDATE requests SET bytes =
            (SELECT COALESCE(SUM(bytes), 0) FROM pictures WHERE request = requests.id)
        """,
        """
        INSERT INTO totals VALUES (
            (SELECT COUNT(*) FROM requests WHERE state IN ('answered', 'stored')),
            (SELECT COUNT(*) FROM pictures WHERE file IS NOT NULL),
            (SELECT COALESCE(SUM(bytes), 0) FROM pictures)
        )
        """,
        "CREATE INDEX by_time ON requests (sent_at)",
        "CREATE INDEX with_files_by_time ON requests (sent_at) WHERE bytes > 0",
        """
        CREATE TRIGGER count_new_request AFTER INSERT ON requests BEGIN
            UPDATE totals SET requests = requests + (NEW.state IN ('answered', 'stored'));
        END
        """,
        """
        CREATE TRIGGER count_request AFTER UPDATE OF state ON requests
        WHEN (NEW.state IN ('answered', 'stored')) <> (OLD.state IN ('answered', 'stored')) BEGIN
            UPDATE totals SET requests = requests
                + (NEW.state IN ('answered', 'stored')) - (OLD.state IN ('answered', 'stored'));
        END
        """,
        """
        CREATE TRIGGER count_deleted_request AFTER DELETE ON requests BEGIN
            UPDATE totals SET requests = requests - (OLD.state IN ('answered', 'stored'));
        END
        """,
        """
        CREATE TRIGGER count_new_file AFTER INSERT ON pictures WHEN NEW.file IS NOT NULL BEGIN
            UPDATE totals SET files = files + 1, bytes = bytes + NEW.bytes;
            UPDATE requests SET bytes = bytes + NEW.bytes WHERE id = NEW.request;
        END
        """,
        """
        CREATE TRIGGER count_file AFTER UPDATE OF file, bytes ON pictures BEGIN
            UPDATE totals SET bytes = bytes + NEW.bytes - OLD.bytes,
                files = files + (NEW.file IS NOT NULL) - (OLD.file IS NOT NULL);
            UPDATE requests SET bytes = bytes + NEW.bytes - OLD.bytes WHERE id = NEW.request;
        END
        """,
        """
        CREATE TRIGGER count_deleted_file AFTER DELETE ON pictures WHEN OLD.file IS NOT NULL BEGIN
            UPDATE totals SET files = files - 1, bytes = bytes - OLD.bytes;
        END
        """,
    ),
    (
        """
        CREATE TABLE spend (
            id TEXT PRIMARY KEY,
            at REAL NOT NULL,
            state TEXT NOT NULL,
            owner TEXT NOT NULL,
            model TEXT NOT NULL,
            currency TEXT NOT NULL,
            items INTEGER NOT NULL,
            cost INTEGER,
            content TEXT NOT NULL
        )
        """,
        "CREATE INDEX spend_by_time ON spend (at)",
        "CREATE INDEX spend_held ON spend (owner) WHERE state = 'held'",
        """
        CREATE TABLE confirmations (
            content TEXT PRIMARY KEY,
            asked_at REAL NOT NULL,
            confirmed_at REAL NOT NULL,
            images INTEGER NOT NULL,
            cost INTEGER NOT NULL
        )
        """,
        "CREATE INDEX spend_by_content ON spend (content, at)",
        """
        CREATE TABLE spend_days (
            day TEXT NOT NULL,
            model TEXT NOT NULL,
            currency TEXT NOT NULL,
            is_free INTEGER NOT NULL,
            items INTEGER NOT NULL,
            cost INTEGER NOT NULL,
            unknown_items INTEGER NOT NULL,
            PRIMARY KEY (day, model, currency, is_free)
        ) WITHOUT ROWID
        """,
        f"CREATE TRIGGER count_new_spend AFTER INSERT ON spend BEGIN {_COUNT_NEW_SPEND} END",
        f"""
        CREATE TRIGGER count_spend AFTER UPDATE ON spend
        BEGIN {_TAKE_OLD_SPEND} {_COUNT_NEW_SPEND} END
        """,
        f"CREATE TRIGGER count_deleted_spend AFTER DELETE ON spend BEGIN {_TAKE_OLD_SPEND} END",
    ),
    (
        "ALTER TABLE requests ADD COLUMN account TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE requests ADD COLUMN task TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE requests ADD COLUMN job TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX with_tickets ON requests (account, state) WHERE ticket IS NOT NULL",
    ),
    (
        """
        CREATE TABLE waiting_runs (
            id TEXT PRIMARY KEY,
            content TEXT NOT NULL,
            state TEXT NOT NULL,
            owner TEXT NOT NULL,
            since REAL NOT NULL,
            left_out TEXT NOT NULL,
            prompt BLOB,
            reason TEXT
        )
        """,
    ),
    (
        "CREATE TABLE former_names (until REAL NOT NULL)",
        "INSERT INTO former_names SELECT COALESCE(MAX(sent_at), 0) FROM requests",
    ),
    ("ALTER TABLE waiting_runs ADD COLUMN requests TEXT NOT NULL DEFAULT '{}'",),
    ("ALTER TABLE confirmations ADD COLUMN runs INTEGER NOT NULL DEFAULT 1",),
    ("CREATE INDEX by_job ON requests (job) WHERE job <> ''",),
)
"""`requests.state` is waiting, sent, submitted, unknown, failed, answered or stored.

Triggers maintain `requests.bytes` and the one row of `totals`, so that they are right whichever
version of the pack writes. `unread_folders` are those that a rebuild could not list.

`requests.account` and `task` are those of a request with a ticket, so that another process can go
on with it; `job` is the id of its job in the history.

Requests sent up to `former_names.until` may have names by which earlier versions knew them.

`waiting_runs` are prompts that wait for results in the background, see `waiting_runs.py`.

`spend.state` is held (to be sent by the process `owner`), sent (paid or not, nobody knows yet),
paid, or free (a saved result was used); `cost` is in billionths of the currency, NULL where the
price is not known; `content` is the hash of what is asked for, whatever the seed. `spend_days` has
its sums by the local day, which triggers maintain: what a month cost is read from some dozen rows.
"""

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
    (
        "CREATE INDEX by_workflow ON jobs (workflow)",
        "CREATE TABLE totals (workflow_bytes INTEGER)",
        "INSERT INTO totals SELECT COALESCE(SUM(LENGTH(content)), 0) FROM workflows",
        """
        CREATE TRIGGER count_new_workflow AFTER INSERT ON workflows BEGIN
            UPDATE totals SET workflow_bytes = workflow_bytes + LENGTH(NEW.content);
        END
        """,
        """
        CREATE TRIGGER count_deleted_workflow AFTER DELETE ON workflows BEGIN
            UPDATE totals SET workflow_bytes = workflow_bytes - LENGTH(OLD.content);
        END
        """,
        """
        CREATE TRIGGER delete_unused_workflow AFTER DELETE ON jobs
        WHEN NOT EXISTS (SELECT 1 FROM jobs WHERE workflow = OLD.workflow) BEGIN
            DELETE FROM workflows WHERE hash = OLD.workflow;
        END
        """,
    ),
    ("ALTER TABLE jobs ADD COLUMN workflow_id TEXT NOT NULL DEFAULT ''",),
)
"""`workflow` is the hash of a stored one, `workflow_id` the id that the page saves with it.

`reason` is JSON, `{language: wording}`; `reason_en` and `reason_zh` are of version 1 alone."""
