//! Parked dead letters: filed once each, ended for good, listed by the time of their first failure.
//!
//! | key, behind `sk:{*dead}:` | type | holds |
//! |---|---|---|
//! | `letter:<message>` | hash | the letter that is parked; its bodies byte for byte |
//! | `generations` | hash | by message, which generation that is |
//! | `index` | sorted set | where lists and counts find it, see [`index`] |
//! | `marks` | hash | by message, the replay that it is in, and `!` once it was sent |
//! | `endings`, `endings:age` | hash, sorted set | by message, up to which generation it is over, and how that ended |
//! | `edits`, `edits:age` | hash, sorted set | by message, its last edit: id and body |
//!
//! Those of replays are told in [`replays`]. Every script of a letter is given the message's own
//! key and the shared ones, and so needs no key that depends on what it reads.
//!
//! # Invariants
//! - Of a message at most one generation is parked, and only one that is not over.
//! - What is true of one letter is changed in one script. Calls about many letters may die in
//!   between: some are done, and doing all again changes nothing for those.
//! - No call of a script looks at more than some hundred letters.

mod expiry;
mod index;
mod letter;
mod list;
mod replays;
mod scripts;

pub(super) use self::expiry::expire_letters;
pub(super) use self::list::{
    dead_letter, dead_letter_counts, dead_letter_groups, dead_letters, parked_of,
};
pub(super) use self::replays::{
    cancel_replay, lease_replays, make_replay, note_outcomes, note_sent, open_replays, replay,
    replay_of, unsent_letters,
};
use self::scripts::{EDIT, END, PARK, of_letter};
use super::client::{Call, Client};
use crate::domain::Timestamp;
use crate::store::{DeadLetter, Ending, LetterEdit, LetterName, StoreError};

/// Letters are sent to the server in parts of about so many bytes.
const PART_BYTES: usize = 4 * 1024 * 1024;

/// Files letters, each in a step of its own.
pub(super) async fn park(
    client: &Client,
    letters: Vec<DeadLetter>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let now = now.micros().to_string();
    let (mut part, mut bytes) = (Vec::new(), 0);
    for letter in letters {
        bytes += letter.envelope.body.len() + letter.original.as_ref().map_or(0, bytes::Bytes::len);
        let mut call = of_letter(client, &PARK, letter.envelope.message_id)
            .arg(letter.generation().to_string())
            .arg(now.as_str());
        for (name, value) in letter::fields(letter) {
            call.push_arg(name);
            call.push_arg(value);
        }
        part.push(call);
        if bytes >= PART_BYTES {
            client.run_all(&std::mem::take(&mut part)).await?;
            bytes = 0;
        }
    }
    client.run_all(&part).await.map(drop)
}

/// Ends letters, each in a step of its own.
pub(super) async fn end_letters(
    client: &Client,
    letters: Vec<LetterName>,
    ending: Ending,
    at: Timestamp,
) -> Result<(), StoreError> {
    let at = at.micros().to_string();
    let end = |letter: LetterName| -> Call {
        of_letter(client, &END, letter.message_id)
            .arg(letter.generation.to_string())
            .arg(at.as_str())
            .arg(ending.as_str())
    };
    client.run_all(&letters.into_iter().map(end).collect::<Vec<_>>()).await.map(drop)
}

/// Remembers an edit unless a later one is known, and gives its body to the letter if it is there.
pub(super) async fn edit_letter(client: &Client, edit: LetterEdit) -> Result<(), StoreError> {
    let LetterEdit { letter, edit, at, body } = edit;
    let call = of_letter(client, &EDIT, letter.message_id)
        .arg(letter.generation.to_string())
        .arg(at.micros().to_string())
        .arg(edit.0.simple().to_string())
        .arg(body);
    client.run(&call).await
}
