//! The scripts of dead letters and replays, and the keys that they are called with.
//!
//! # Invariants
//! - All keys are in one hash slot, so a script may touch all of them, and names all that it does.
//! - What ends or forgets may run on a server that is out of memory: it gives some back.

use super::super::client::{Call, Client};
use super::super::script::Script;
use crate::domain::MessageId;
use crate::store::ReplayId;

/// As every script begins.
const REFUSED_WITHOUT_MEMORY: &str = "#!lua\n";
/// As those begin that only read.
const READS: &str = "#!lua flags=no-writes\n";
/// As those begin that give memory back.
const GIVES_MEMORY_BACK: &str = "#!lua flags=allow-oom\n";

/// Declares scripts: name, first line, and the files that follow it.
macro_rules! scripts {
    ($($script:ident = $start:ident $(+ $file:literal)+;)+) => {
        $(pub(super) static $script: Script =
            Script::new(stringify!($script), &[$start, $(include_str!($file)),+]);)+
    };
}

scripts! {
    PARK = REFUSED_WITHOUT_MEMORY + "letter.lua" + "park.lua";
    END = GIVES_MEMORY_BACK + "letter.lua" + "end.lua";
    EDIT = REFUSED_WITHOUT_MEMORY + "letter.lua" + "edit.lua";
    EXPIRE = GIVES_MEMORY_BACK + "letter.lua" + "expire.lua";
    OLD = READS + "old.lua";
    FORGET = GIVES_MEMORY_BACK + "forget.lua";
    FIELDS = READS + "fields.lua";
    GROUPS = READS + "groups.lua";
    MAKE = REFUSED_WITHOUT_MEMORY + "replays/replay.lua" + "replays/make.lua";
    CLAIM = REFUSED_WITHOUT_MEMORY + "replays/replay.lua" + "replays/claim.lua";
    BEGIN = REFUSED_WITHOUT_MEMORY + "replays/replay.lua" + "replays/begin.lua";
    ABANDON = GIVES_MEMORY_BACK + "replays/replay.lua" + "replays/abandon.lua";
    SHOW = READS + "replays/replay.lua" + "replays/show.lua";
    CANCEL = GIVES_MEMORY_BACK + "replays/replay.lua" + "replays/cancel.lua";
    DROP = GIVES_MEMORY_BACK + "replays/replay.lua" + "replays/drop.lua";
    UNSENT = READS + "replays/replay.lua" + "replays/unsent.lua";
    SENT = REFUSED_WITHOUT_MEMORY + "replays/replay.lua" + "replays/sent.lua";
    AGAIN = REFUSED_WITHOUT_MEMORY + "replays/replay.lua" + "replays/again.lua";
    OUTCOMES = REFUSED_WITHOUT_MEMORY + "replays/replay.lua" + "replays/outcomes.lua";
    LEASE = REFUSED_WITHOUT_MEMORY + "replays/lease.lua";
    CLEAN = REFUSED_WITHOUT_MEMORY + "replays/clean.lua";
}

/// A key that all letters share.
pub(super) fn shared(client: &Client, parts: &[&str]) -> String {
    client.keys().of_letters(parts)
}

/// The key of a letter that is parked.
pub(super) fn letter_key(client: &Client, id: MessageId) -> String {
    shared(client, &["letter", &id.to_string()])
}

/// A call of a script that begins with `letter.lua`.
pub(super) fn of_letter(client: &Client, script: &'static Script, id: MessageId) -> Call {
    let mut call = Call::of(script);
    for parts in [
        &["generations"][..],
        &["marks"],
        &["index"],
        &["endings"],
        &["endings", "age"],
        &["edits"],
        &["edits", "age"],
    ] {
        call.push_key(shared(client, parts));
    }
    call.key(letter_key(client, id)).arg(id.to_string())
}

/// A call of a script that begins with `replay.lua`.
pub(super) fn of_replay(client: &Client, script: &'static Script, id: ReplayId) -> Call {
    let name = id.to_string();
    let mut call = Call::of(script);
    for parts in [
        &["busy"][..],
        &["open"],
        &["making"],
        &["replays"],
        &["replay", &name],
        &["replay", &name, "waiting"],
        &["replay", &name, "sent"],
        &["generations"],
        &["marks"],
        &["endings"],
        &["lease"],
    ] {
        call.push_key(shared(client, parts));
    }
    call.arg(name)
}
