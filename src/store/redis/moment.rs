//! Reading several keys of one site at one moment: a write is seen in all of them or in none.

use redis::Value;

use super::client::{Call, Client};
use super::script::Script;
use super::value::{read, unreadable};
use crate::store::StoreError;

static MOMENT: Script = Script::new("moment.lua", &[include_str!("moment.lua")]);

/// What is to be read.
#[derive(Debug)]
pub(super) struct Moment {
    call: Call,
}

impl Moment {
    /// Nothing so far.
    pub(super) fn new() -> Self {
        Self { call: Call::of(&MOMENT) }
    }

    /// One more thing: a reading command, its key and its other arguments.
    #[must_use]
    pub(super) fn ask(mut self, command: &str, key: &str, args: &[&str]) -> Self {
        let number = self.call.push_key(key);
        self.call.push_shown(&args.len());
        self.call.push_arg(command);
        self.call.push_shown(&number);
        for arg in args {
            self.call.push_arg(*arg);
        }
        self
    }
}

/// Reads each of these at a moment of its own; answers each with as many values as it asks for. So
/// many are asked for at once: what is asked for at once must be answered in time.
pub(super) async fn read_all(
    client: &Client,
    moments: &[Moment],
    at_once: usize,
) -> Result<Vec<Vec<Value>>, StoreError> {
    let mut found = Vec::with_capacity(moments.len());
    for part in moments.chunks(at_once) {
        let answers = client.run_all(part.iter().map(|moment| &moment.call)).await?;
        for (moment, answer) in part.iter().zip(answers) {
            found.push(read(moment.call.first_key(), answer)?);
        }
    }
    Ok(found)
}

/// The values of one moment, as many as are expected.
pub(super) fn values<const N: usize>(
    key: &str,
    found: Vec<Value>,
) -> Result<[Value; N], StoreError> {
    found.try_into().map_err(|_| unreadable(key))
}
