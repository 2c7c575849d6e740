//! The tables of `store.db`.
//!
//! Every part of a name has a column of its own, so that no two names can meet, and is kept as
//! people write it, so that any SQL tool can read the file. Quantities are millionths, times
//! microseconds since 1970.

use crate::sqlite::{Schema, UNREAD};

/// Version 1 was release 0.1.0's, whose orders were other things than records.
pub(super) const SCHEMA: Schema = Schema {
    application_id: i32::from_be_bytes(*b"SKst"),
    page_bytes: 4096,
    migrations: &[UNREAD, SECOND, THIRD, FOURTH],
};

// Orders, catalogue entries and dead letters are long rows: they are appended to a table, and a
// slim index finds them. Everything else is short rows, kept in the order in which they are read.
// An `at` is the time of the last commit.
const SECOND: &str = "
CREATE TABLE meta (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    epoch TEXT NOT NULL,
    probes INTEGER NOT NULL
) STRICT;
INSERT INTO meta (only, epoch, probes) VALUES (1, lower(hex(randomblob(16))), 0);

CREATE TABLE policy (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    revision INTEGER NOT NULL,
    policy TEXT NOT NULL,
    -- Who put it in force, and when.
    actor TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE sites (
    site TEXT NOT NULL PRIMARY KEY,
    last_sequence INTEGER NOT NULL,
    -- The watermark: orders that are closed were untouched since before it.
    closed_before INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- One row for each name under which something was learned of an order.
CREATE TABLE orders (
    site TEXT NOT NULL,
    name TEXT NOT NULL,
    rev INTEGER NOT NULL,
    state TEXT NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (site, name)
) STRICT;

-- What was seen beside second names and invoice numbers: one name a line, '~' for a closed order.
CREATE TABLE links (
    site TEXT NOT NULL,
    name TEXT NOT NULL,
    ids TEXT NOT NULL,
    PRIMARY KEY (site, name)
) STRICT, WITHOUT ROWID;

-- The lists that orders are in; the time is that of the order's row.
CREATE TABLE order_lists (
    site TEXT NOT NULL,
    list TEXT NOT NULL,
    at INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (site, list, at, name)
) STRICT, WITHOUT ROWID;

-- Names of orders that were closed.
CREATE TABLE closed_names (
    site TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Whether it is a second name that was seen beside an id.
    beside_an_id INTEGER NOT NULL CHECK (beside_an_id IN (0, 1)),
    PRIMARY KEY (site, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE catalogue (
    site TEXT NOT NULL,
    id TEXT NOT NULL,
    rev INTEGER NOT NULL,
    state TEXT NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE (site, id)
) STRICT;

CREATE TABLE receipts (
    site TEXT NOT NULL,
    key TEXT NOT NULL,
    reference TEXT NOT NULL,
    rev INTEGER NOT NULL,
    state TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (site, key, reference)
) STRICT, WITHOUT ROWID;

CREATE TABLE stock (
    site TEXT NOT NULL,
    key TEXT NOT NULL,
    received INTEGER NOT NULL DEFAULT 0,
    committed INTEGER NOT NULL DEFAULT 0 CHECK (committed >= 0),
    fulfilled INTEGER NOT NULL DEFAULT 0 CHECK (fulfilled >= 0),
    -- How many orders that held some of it were closed, and what they keep.
    closed_orders INTEGER NOT NULL DEFAULT 0,
    closed_fulfilled INTEGER NOT NULL DEFAULT 0,
    -- Whether anything was ever counted of it; if not, only its name is known.
    is_counted INTEGER NOT NULL DEFAULT 1,
    -- What the line of the highest version calls it, that version as a text that sorts as versions do,
    -- and a mark of the names that the line gave it beside its key.
    line_version TEXT,
    line_name TEXT,
    line_lowercase TEXT,
    line_mark INTEGER,
    PRIMARY KEY (site, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX stock_by_line_name ON stock (site, line_lowercase) WHERE line_lowercase IS NOT NULL;

-- The number of each item, by which holds name it. The holds of an event lie far apart, so the
-- shorter they are, the fewer pages a commit changes. A number outlives the item's row of stock.
CREATE TABLE items (
    item INTEGER PRIMARY KEY,
    site TEXT NOT NULL,
    key TEXT NOT NULL,
    UNIQUE (site, key)
) STRICT;

CREATE TABLE holds (
    item INTEGER NOT NULL,
    order_id TEXT NOT NULL,
    committed INTEGER NOT NULL CHECK (committed >= 0),
    fulfilled INTEGER NOT NULL CHECK (fulfilled >= 0),
    PRIMARY KEY (item, order_id)
) STRICT, WITHOUT ROWID;

-- What the catalogue calls items. The first row of a key is the name that is shown: entries that are
-- not deleted come first.
CREATE TABLE catalogue_names (
    site TEXT NOT NULL,
    key TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    entry TEXT NOT NULL,
    name TEXT NOT NULL,
    lowercase TEXT NOT NULL,
    PRIMARY KEY (site, key, deleted, entry)
) STRICT, WITHOUT ROWID;
CREATE INDEX catalogue_names_of_entry ON catalogue_names (site, entry);
CREATE INDEX catalogue_names_in_lowercase ON catalogue_names (site, lowercase);

-- What catalogue entries that are not deleted say that nobody counts.
CREATE TABLE untracked (
    site TEXT NOT NULL,
    key TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (site, key, entry)
) STRICT, WITHOUT ROWID;
CREATE INDEX untracked_of_entry ON untracked (site, entry);

-- By which names beside their keys items can be found.
CREATE TABLE other_names (
    site TEXT NOT NULL,
    identifier TEXT NOT NULL,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (site, identifier, kind, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE changes (
    site TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    key TEXT NOT NULL,
    cause TEXT NOT NULL CHECK (cause IN ('order', 'receipt', 'repair')),
    cause_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    delta_received INTEGER NOT NULL,
    delta_committed INTEGER NOT NULL,
    delta_fulfilled INTEGER NOT NULL,
    received INTEGER NOT NULL,
    committed INTEGER NOT NULL,
    fulfilled INTEGER NOT NULL,
    PRIMARY KEY (site, sequence)
) STRICT, WITHOUT ROWID;

-- One row for each message that was put aside. What is parked of it has columns of its own beside
-- the state, by which lists find it; they are NULL while nothing is parked.
CREATE TABLE dead_letters (
    message_id TEXT NOT NULL,
    rev INTEGER NOT NULL,
    state TEXT NOT NULL,
    generation INTEGER,
    -- When the message failed first, in whichever generation.
    failed_at INTEGER,
    code TEXT,
    site TEXT,
    event_type TEXT,
    source TEXT,
    -- What its bodies take.
    bytes INTEGER,
    -- Since when nothing was heard of a message that is not parked.
    idle_since INTEGER,
    UNIQUE (message_id)
) STRICT;
CREATE INDEX dead_letters_by_age ON dead_letters (failed_at, message_id, generation)
    WHERE failed_at IS NOT NULL;
CREATE INDEX dead_letters_by_code ON dead_letters (code, failed_at, message_id, generation)
    WHERE failed_at IS NOT NULL;
CREATE INDEX dead_letters_by_site ON dead_letters (site, failed_at, message_id, generation)
    WHERE failed_at IS NOT NULL;
CREATE INDEX dead_letters_by_group ON dead_letters (code, site, event_type, failed_at)
    WHERE failed_at IS NOT NULL;
CREATE INDEX dead_letters_by_source ON dead_letters (source, bytes) WHERE source IS NOT NULL;
CREATE INDEX dead_letters_idle ON dead_letters (idle_since) WHERE idle_since IS NOT NULL;

-- Compressed with zlib. Their own table: a letter that is marked or listed leaves them alone.
CREATE TABLE dead_letter_bodies (
    message_id TEXT NOT NULL,
    slot TEXT NOT NULL CHECK (slot IN ('received', 'own', 'edited')),
    body BLOB NOT NULL,
    UNIQUE (message_id, slot)
) STRICT;

CREATE TABLE replays (
    id TEXT NOT NULL PRIMARY KEY,
    rev INTEGER NOT NULL,
    record TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    is_making INTEGER NOT NULL,
    -- Whether somebody must look at it.
    is_open INTEGER NOT NULL
) STRICT;
CREATE INDEX replays_by_age ON replays (made_at, id);
CREATE INDEX replays_making ON replays (made_at, id) WHERE is_making = 1;
CREATE INDEX replays_open ON replays (made_at, id) WHERE is_open = 1;

CREATE TABLE replay_counts (
    replay TEXT NOT NULL,
    counter TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (replay, counter)
) STRICT, WITHOUT ROWID;

-- What was selected when a replay was made, in parts.
CREATE TABLE replay_chunks (
    replay TEXT NOT NULL,
    chunk INTEGER NOT NULL,
    names TEXT NOT NULL,
    UNIQUE (replay, chunk)
) STRICT;

-- The number of the leader that runs replays.
CREATE TABLE replay_leader (
    only INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    leader INTEGER NOT NULL
) STRICT;
";

// Which queue feeds the Store and how far; and the leader's clock.
const THIRD: &str = "
CREATE TABLE queue_note (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    queue TEXT NOT NULL,
    number INTEGER NOT NULL,
    -- Positions of the queue's journal.
    applied INTEGER NOT NULL,
    tried INTEGER NOT NULL,
    last INTEGER NOT NULL
) STRICT;

-- The leader's time that was trusted last, and since when another one is doubted.
CREATE TABLE leader_clock (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    trusted INTEGER NOT NULL,
    doubted INTEGER
) STRICT;

-- Whether the journal lacks something that this Store lacks too, and a person has accepted that.
ALTER TABLE meta ADD COLUMN gap TEXT CHECK (gap IN ('found', 'accepted'));
";

// What people and processes say of the service itself.
const FOURTH: &str = "
-- Who paused the work queue; no row while it is not paused.
CREATE TABLE pause (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    actor TEXT NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT
) STRICT;

-- The last heartbeat of each process.
CREATE TABLE heartbeats (
    process TEXT NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    beat TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX heartbeats_by_age ON heartbeats (at);
";
