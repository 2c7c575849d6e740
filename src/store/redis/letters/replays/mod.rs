//! Replays: what was selected, what was sent, what became of it.
//!
//! | key, behind `sk:{*dead}:` | type | holds |
//! |---|---|---|
//! | `replay:<id>` | hash | what was asked for, the state, and what has become of letters |
//! | `replay:<id>:waiting`, `:sent` | sorted sets | letters that were not sent, and that have no outcome, in the order of the selection |
//! | `busy` | set | replays that hold their letters: being made, or running |
//! | `making` | sorted set | replays that are being made, by the second of the last step |
//! | `replays`, `open` | sorted sets | by age: all that were made, and those with something to do |
//! | `lease` | hash | who runs replays, under which number, until when |
//!
//! A letter's mark names its replay, and holds it only while the replay is busy: so a replay lets
//! go of any number of letters by one small write.
//!
//! # Invariants
//! - Of two replays that want a letter one gets it, while that one is busy.
//! - A replay that is being made is shown to nobody, and no letter of it is sent.
//! - Who lost the lease notes nothing: each write of a holder compares its number.

mod run;

use super::super::client::Client;
use super::super::failure;
use super::list::Scan;
use super::scripts::{ABANDON, BEGIN, CANCEL, CLAIM, DROP, MAKE, SHOW, of_replay, shared};
use crate::domain::{MessageId, Timestamp};
use crate::store::{
    LetterName, NewReplay, Pace, REPLAY_LETTERS_MAX, Replay, ReplayId, ReplayState, StoreError,
};

pub(in crate::store::redis) use self::run::{
    lease_replays, note_outcomes, note_sent, unsent_letters,
};

/// Letters that one step selects, sends or looks at.
const STEP: usize = 500;
/// Seconds without a step, after which whoever makes a replay is taken for dead.
const MAKING_IDLE: u64 = 60;
/// Replays that one step forgets.
const FORGOTTEN: usize = 256;

/// What the scripts answer of a replay.
type Shown = Option<Vec<Option<String>>>;

/// Makes a replay, step by step. It may die
/// 1. before or between steps that select: what they selected is held by a replay that nobody
///    sees. After a minute without a step it is given up by whoever makes the next replay or ends
///    old letters, in one step, and all its letters are free;
/// 2. after the last step, before the answer: the replay runs.
///
/// What is selected is what is there when this begins: letters that come later and are behind the
/// last are not looked at, so it ends however many come.
pub(in crate::store::redis) async fn make_replay(
    client: &Client,
    new: NewReplay,
) -> Result<Replay, StoreError> {
    let NewReplay { id, filter, pace, made_at } = new;
    let scan = Scan::begin(client, &filter, None).await?.up_to_now(client).await?;
    give_up_abandoned(client).await?;
    let mut call = of_replay(client, &MAKE, id);
    let fields = [
        ("made_at", Some(made_at.micros().to_string())),
        ("rate", pace.rate.map(|rate| rate.to_string())),
        ("ramp_millis", Some(pace.ramp_millis.to_string())),
        ("abort_after", pace.abort_after.map(|most| most.to_string())),
    ];
    for (field, value) in fields {
        if let Some(value) = value {
            call.push_arg(field);
            call.push_arg(value);
        }
    }
    if !client.run::<bool>(&call).await? {
        return Err(failure::rejected(format!("there is a replay {id} already")));
    }
    let selected = select(client, id, scan).await;
    if selected.is_err() {
        // It would be given up in a minute: what this cannot do is done then.
        abandon(client, &id.to_string(), 0).await.ok();
    }
    selected?;
    let begun: Shown = client.run(&of_replay(client, &BEGIN, id)).await?;
    begun.map_or_else(|| Err(given_up(id)), |begun| read(id, begun))
}

/// Takes what is selected into a replay that is being made.
async fn select(client: &Client, id: ReplayId, mut scan: Scan) -> Result<(), StoreError> {
    loop {
        let places = scan.next(client, STEP).await?;
        if places.is_empty() {
            return Ok(());
        }
        let mut call = of_replay(client, &CLAIM, id);
        for place in places {
            let letter = LetterName { message_id: place.id, generation: place.generation };
            call.push_arg(name_of(letter));
        }
        let selected = usize::try_from(client.run::<i64>(&call).await?);
        let selected = selected.map_err(|_| given_up(id))?;
        if selected > REPLAY_LETTERS_MAX {
            let why = format!("more than {REPLAY_LETTERS_MAX} letters; select fewer");
            return Err(failure::rejected(why));
        }
    }
}

fn given_up(id: ReplayId) -> StoreError {
    failure::unavailable(format!("making the replay {id} took too long; make it again"))
}

/// Gives up replays whose makers died.
pub(super) async fn give_up_abandoned(client: &Client) -> Result<(), StoreError> {
    let mut making = redis::cmd("ZRANGE");
    making.arg(shared(client, &["making"])).arg(0).arg(-1);
    let making: Vec<String> = client.query(&making).await?;
    for id in making {
        abandon(client, &id, MAKING_IDLE).await?;
    }
    Ok(())
}

async fn abandon(client: &Client, id: &str, idle_seconds: u64) -> Result<(), StoreError> {
    let id = parse_id(id)?;
    client.run(&of_replay(client, &ABANDON, id).arg(idle_seconds.to_string())).await
}

/// A replay and how far it is.
pub(in crate::store::redis) async fn replay(
    client: &Client,
    id: ReplayId,
) -> Result<Option<Replay>, StoreError> {
    let shown: Shown = client.run(&of_replay(client, &SHOW, id)).await?;
    shown.map(|shown| read(id, shown)).transpose()
}

/// Stops a replay that runs.
pub(in crate::store::redis) async fn cancel_replay(
    client: &Client,
    id: ReplayId,
) -> Result<Option<Replay>, StoreError> {
    let shown: Shown = client.run(&of_replay(client, &CANCEL, id)).await?;
    shown.map(|shown| read(id, shown)).transpose()
}

/// The running replay that a message's letter is in.
pub(in crate::store::redis) async fn replay_of(
    client: &Client,
    message: MessageId,
) -> Result<Option<ReplayId>, StoreError> {
    let mut mark = redis::cmd("HGET");
    mark.arg(shared(client, &["marks"])).arg(message.to_string());
    let Some(mark) = client.query::<Option<String>>(&mark).await? else { return Ok(None) };
    let id = parse_id(mark.trim_end_matches('!'))?;
    let replay = replay(client, id).await?;
    Ok(replay.is_some_and(|replay| replay.state == ReplayState::Running).then_some(id))
}

/// Replays that run, or wait for outcomes.
pub(in crate::store::redis) async fn open_replays(
    client: &Client,
) -> Result<Vec<Replay>, StoreError> {
    let mut replays = Vec::new();
    for id in open(client).await? {
        replays.extend(replay(client, id).await?);
    }
    Ok(replays)
}

async fn open(client: &Client) -> Result<Vec<ReplayId>, StoreError> {
    let mut open = redis::cmd("ZRANGE");
    open.arg(shared(client, &["open"])).arg(0).arg(-1);
    client.query::<Vec<String>>(&open).await?.iter().map(|id| parse_id(id)).collect()
}

/// Forgets replays that were made before a time and do not run.
pub(super) async fn forget(client: &Client, before: Timestamp) -> Result<(), StoreError> {
    let mut running = 0;
    loop {
        let mut old = redis::cmd("ZRANGEBYSCORE");
        old.arg(shared(client, &["replays"])).arg("-inf").arg(format!("({}", before.micros()));
        old.arg("LIMIT").arg(running).arg(FORGOTTEN);
        let old: Vec<String> = client.query(&old).await?;
        let mut forgotten = 0;
        for id in &old {
            let is_gone: bool = client.run(&of_replay(client, &DROP, parse_id(id)?)).await?;
            forgotten += usize::from(is_gone);
        }
        if old.len() < FORGOTTEN || forgotten > 0 {
            return Ok(());
        }
        running += old.len();
    }
}

fn read(id: ReplayId, shown: Vec<Option<String>>) -> Result<Replay, StoreError> {
    let unreadable = || failure::corrupt(format!("the replay {id} cannot be read"));
    let mut shown = shown.into_iter().map(Option::unwrap_or_default);
    let mut next = || shown.next().unwrap_or_default();
    let (state, made_at) = (next(), next());
    let (rate, ramp_millis, abort_after) = (next(), next(), next());
    let mut count = || {
        let text = next();
        if text.is_empty() { Ok(0) } else { text.parse::<u64>().map_err(|_| unreadable()) }
    };
    let (selected, settled, failed, gone) = (count()?, count()?, count()?, count()?);
    let waiting = count()?;
    let limit = |text: String| {
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| unreadable()) }
    };
    Ok(Replay {
        id,
        made_at: made_at.parse().map(Timestamp::from_micros).map_err(|_| unreadable())?,
        pace: Pace {
            rate: limit(rate)?,
            ramp_millis: ramp_millis.parse().map_err(|_| unreadable())?,
            abort_after: limit(abort_after)?,
        },
        state: ReplayState::parse(&state).ok_or_else(unreadable)?,
        selected,
        sent: selected.saturating_sub(waiting),
        settled,
        failed,
        gone,
    })
}

fn parse_id(text: &str) -> Result<ReplayId, StoreError> {
    let id = text.parse().map(ReplayId);
    id.map_err(|_| failure::corrupt(format!("{text:?} is the name of no replay")))
}

/// A letter's name as the sets of a replay have it.
fn name_of(letter: LetterName) -> String {
    format!("{}.{}", letter.message_id, letter.generation)
}

fn parse_name(name: &str) -> Result<LetterName, StoreError> {
    let parsed = name.split_once('.').and_then(|(id, generation)| {
        Some(LetterName {
            message_id: MessageId(id.parse().ok()?),
            generation: generation.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| failure::corrupt(format!("{name:?} is the name of no letter")))
}
