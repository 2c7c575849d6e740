//! The tables of `broker.db`.
//!
//! A body is stored once, in the journal; a row of a queue points at it. An envelope is in one
//! queue at a time: work, retry or dead. Numbers are never used twice (`AUTOINCREMENT`), so
//! "greater than the last one seen" finds what is new, also after rows were removed.

use crate::sqlite::Schema;

/// What `broker.db` holds. Times are microseconds since 1970.
pub(super) const SCHEMA: Schema = Schema {
    application_id: 0x534B_4252, // "SKBR"
    // Of a page of 4096 bytes, a body of the usual size leaves a third unused.
    page_bytes: 8192,
    migrations: &[FIRST, SECOND, THIRD],
};

const FIRST: &str = "
CREATE TABLE journal (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id  BLOB NOT NULL,
    kind        TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    source      TEXT NOT NULL,
    replays     INTEGER NOT NULL,
    traceparent TEXT,
    tracestate  TEXT,
    body        BLOB NOT NULL,
    -- Why it was put aside on receipt; null for what went to work.
    rejection   TEXT,
    -- 1: put back, so it is no part of the journal; the row only holds the body for a queue.
    hidden      INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX journal_by_age ON journal (received_at);
CREATE INDEX journal_hidden ON journal (position) WHERE hidden = 1;

-- How many envelopes the journal has lost to its retention.
CREATE TABLE forgotten (envelopes INTEGER NOT NULL) STRICT;
INSERT INTO forgotten (envelopes) VALUES (0);

-- What waits for a worker, or is with one.
CREATE TABLE work (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    position    INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    -- How many consumers died while they may have held it.
    deaths      INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX work_by_age ON work (received_at, position);

-- Dead letters that nobody has parked yet.
CREATE TABLE dead (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    position    INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    rejection   TEXT NOT NULL,
    failed_at   INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    deaths      INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX dead_by_position ON dead (position);

-- What goes back to its queue when it is due.
CREATE TABLE retry (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    queue       TEXT NOT NULL CHECK (queue IN ('work', 'dead')),
    due_at      INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    rejection   TEXT,
    failed_at   INTEGER,
    attempts    INTEGER
) STRICT;
CREATE INDEX retry_by_due ON retry (queue, due_at);
CREATE INDEX retry_by_position ON retry (position);

-- The living consumer of a queue, and how many rows it may hold. One that is found by the next
-- consumer belongs to a process that died.
CREATE TABLE session (
    queue       TEXT PRIMARY KEY,
    held_max    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Always empty: readiness tries to write here.
CREATE TABLE probe (filler BLOB NOT NULL) STRICT;
";

/// When the first attempt of what waits for another failed.
const SECOND: &str = "
ALTER TABLE work ADD COLUMN failing_since INTEGER;
ALTER TABLE retry ADD COLUMN failing_since INTEGER;
";

/// Whose queue it is, for the Store beside it to compare with; and how far the retention went.
const THIRD: &str = "
CREATE TABLE identity (
    only          INTEGER PRIMARY KEY CHECK (only = 1),
    id            TEXT NOT NULL,
    -- The last note of the Store.
    number        INTEGER NOT NULL,
    -- The queue whose Store it has been given, until that notes this one.
    before_id     TEXT,
    before_last   INTEGER
) STRICT;
INSERT INTO identity (only, id, number) VALUES (1, lower(hex(randomblob(16))), 0);

-- The last position that was removed. Where that was not recorded, any may be.
ALTER TABLE forgotten ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
UPDATE forgotten SET position = coalesce((SELECT max(position) FROM journal), 0)
    WHERE envelopes > 0;
";
