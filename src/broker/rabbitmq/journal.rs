//! Reading the journal: a stream that RabbitMQ hands out from any offset on, without ever reporting
//! where it ends.
//!
//! To know the end, a marker is put into the stream and read until it comes: what was there before
//! the call lies before it. A wait that takes too long is an error and never taken for the end.
//! Places of the journal are offsets and one, so that there is a place before the first.
//!
//! A reader stays attached between pages, as long as each goes on where the last one ended.
//!
//! RabbitMQ hands out the copy that a node has itself, and none where a node has none: of more
//! nodes than copies, or for a while after it was started again. Then another node is asked.
//!
//! # Invariants
//! - A page that is not full ends at a marker that was put there during the call.
//! - Markers are in no page, and no place of an extent is a marker's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Connection};
use tokio::sync::Mutex;
use tokio::time::timeout;
use uuid::Uuid;

use super::failure::{refusal, within};
use super::topology::{self, MARKER_KEY, open, short};
use super::{Shared, wire};
use crate::broker::{BrokerError, JournalExtent, JournalPosition, JournalRecord};
use crate::clock;
use crate::domain::Timestamp;

/// How long the next message of the stream may take, where one must come.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages that RabbitMQ sends ahead, and so, with lapin's copies, the largest bodies in memory at
/// once: few, since a leader has little memory, and it has the whole journal to read.
const PREFETCH: u16 = 8;
/// Clocks of machines may differ by so much: what was received at a time is looked for from so much
/// before it on.
const CLOCK_SKEW_SECONDS: i64 = 600;
/// The error of a node that has no copy of the stream.
const NO_COPY: &str = "replica on the local node";
/// How often another node is tried at least, where a balancer may be behind one address.
const ELSEWHERE_MIN: usize = 4;
/// How far to look back for the last record at first.
const LOOK_BACK: u64 = 64;

/// The reader that the last page left attached.
#[derive(Debug, Default)]
pub(super) struct Journal {
    reader: Mutex<Option<Reader>>,
}

/// Where to begin.
#[derive(Clone, Copy)]
enum Start {
    First,
    Offset(u64),
    Time(Timestamp),
    /// At what is published from now on.
    Next,
}

/// A consumer of the stream.
#[derive(Debug)]
struct Reader {
    channel: Channel,
    stream: lapin::Consumer,
    /// Offsets before it were read, or were not asked for.
    next: u64,
    /// The place of the last record that was given out; only markers lie between it and `next`.
    last: Option<JournalPosition>,
    /// A marker that is still to come: as long as there is one, something comes.
    ahead: Option<Uuid>,
    /// Deliveries that RabbitMQ does not know of as read.
    unacknowledged: u16,
    /// The connection, if it is for this alone.
    own: Option<OwnConnection>,
}

/// A connection that ends with its only user.
#[derive(Debug)]
struct OwnConnection(Connection);

impl Drop for OwnConnection {
    fn drop(&mut self) {
        // The first poll sends it; nobody waits for the answer.
        self.0.close(200, "".into()).now_or_never();
    }
}

/// What stands in the stream.
enum Entry {
    Record(Box<JournalRecord>),
    Marker { offset: u64, id: Uuid },
}

/// Reads a page.
pub(super) async fn page(
    shared: &Shared,
    after: Option<JournalPosition>,
    limit: usize,
) -> Result<Vec<JournalRecord>, BrokerError> {
    let mut kept = shared.journal.reader.lock().await;
    // Taken out: a call that is cancelled leaves no reader that has read what nobody has seen.
    let reader = kept.take().filter(|reader| reader.goes_on_from(after));
    let is_new = reader.is_none();
    let mut reader = match reader {
        Some(reader) => reader,
        None => match attach_after(shared, after).await? {
            Some(reader) => reader,
            None => return Ok(Vec::new()),
        },
    };
    let mut records: Vec<JournalRecord> = Vec::new();
    let mut own = reader.ahead.filter(|_| is_new);
    while records.len() < limit {
        if reader.ahead.is_none() {
            let id = put_marker(shared).await?;
            (reader.ahead, own) = (Some(id), Some(id));
        }
        match reader.next().await? {
            Some(Entry::Record(record)) => records.push(*record),
            Some(Entry::Marker { id, .. }) if own == Some(id) => return Ok(records),
            Some(Entry::Marker { .. }) | None => {}
        }
    }
    *kept = Some(reader);
    Ok(records)
}

/// Attaches a reader after a place; `None` if nothing is there.
async fn attach_after(
    shared: &Shared,
    after: Option<JournalPosition>,
) -> Result<Option<Reader>, BrokerError> {
    let Some(JournalPosition(place)) = after else {
        return Reader::attach(shared, Start::First, None).await.map(Some);
    };
    // Beyond the end RabbitMQ would wait for what comes there, and say nothing.
    let (end, id) = end(shared).await?;
    if place > end {
        return Ok(None);
    }
    let mut reader = Reader::attach(shared, Start::Offset(place), after).await?;
    reader.ahead = Some(id);
    Ok(Some(reader))
}

/// Puts a marker at the end of the stream; returns its offset.
async fn end(shared: &Shared) -> Result<(u64, Uuid), BrokerError> {
    let mut reader = Reader::attach(shared, Start::Next, None).await?;
    let id = put_marker(shared).await?;
    loop {
        if let Some(Entry::Marker { offset, id: found }) = reader.next().await?
            && found == id
        {
            return Ok((offset, id));
        }
    }
}

async fn put_marker(shared: &Shared) -> Result<Uuid, BrokerError> {
    let id = Uuid::now_v7();
    let message = shared.message("again", MARKER_KEY, wire::marker(&id), Bytes::new());
    shared.publisher.publish(message).await?;
    Ok(id)
}

/// Where the journal begins and ends, and where what was received from a time on begins.
pub(super) async fn extent(
    shared: &Shared,
    since: Option<Timestamp>,
) -> Result<JournalExtent, BrokerError> {
    let (end, _) = end(shared).await?;
    let mut reader = Reader::attach(shared, Start::First, None).await?;
    let (begin, earliest) = reader.first_record(end).await?;
    let Some(earliest) = earliest else {
        return Ok(JournalExtent {
            first: None,
            last: None,
            begins_later: false,
            is_complete: begin == 0,
        });
    };
    let first = match since {
        None => Some(earliest),
        Some(since) => {
            // Not in the future: there RabbitMQ would wait for what comes.
            let earlier = since.min(clock::now()).plus_micros(-CLOCK_SKEW_SECONDS * 1_000_000);
            let mut reader = Reader::attach(shared, Start::Time(earlier), None).await?;
            reader.first_since(since, end).await?
        }
    };
    Ok(JournalExtent {
        first,
        last: last_record(shared, begin, end).await?,
        begins_later: first != Some(earliest),
        is_complete: begin == 0,
    })
}

/// The last record before a marker. Between them are only other markers: so it is looked for in
/// windows that end there, each four times as long as the one before.
async fn last_record(
    shared: &Shared,
    begin: u64,
    end: u64,
) -> Result<Option<JournalPosition>, BrokerError> {
    let mut window = LOOK_BACK;
    loop {
        let from = end.saturating_sub(window).max(begin);
        let mut reader = Reader::attach(shared, Start::Offset(from), None).await?;
        let mut last = None;
        while reader.next < end {
            if let Some(Entry::Record(record)) = reader.next().await?
                && record.position.0 <= end
            {
                last = Some(record.position);
            }
        }
        if last.is_some() || from == begin {
            return Ok(last);
        }
        window = window.saturating_mul(4);
    }
}

impl Reader {
    async fn attach(
        shared: &Shared,
        start: Start,
        last: Option<JournalPosition>,
    ) -> Result<Self, BrokerError> {
        let connection = shared.consuming.connection()?;
        if let Some(reader) = Self::attach_on(shared, &connection, start, last).await? {
            return Ok(reader);
        }
        for places in 1..=shared.consuming.places().max(ELSEWHERE_MIN) {
            // One that is away proves nothing about the others.
            let Ok(connection) = shared.consuming.connect_elsewhere(places).await else { continue };
            let own = OwnConnection(connection);
            if let Some(mut reader) = Self::attach_on(shared, &own.0, start, last).await? {
                reader.own = Some(own);
                return Ok(reader);
            }
        }
        Err(BrokerError::unavailable("no node of rabbitmq.url has a copy of the journal for now"))
    }

    /// One on a connection; `None` if the node there has no copy of the stream.
    async fn attach_on(
        shared: &Shared,
        connection: &Connection,
        start: Start,
        last: Option<JournalPosition>,
    ) -> Result<Option<Self>, BrokerError> {
        let attached = async {
            let channel = open(connection).await?;
            let refused = |error: lapin::Error| refusal("cannot read the journal", &error);
            channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.map_err(refused)?;
            let (offset, next) = match start {
                Start::First => (AMQPValue::LongString("first".into()), 0),
                Start::Next => (AMQPValue::LongString("next".into()), 0),
                Start::Offset(next) => {
                    (AMQPValue::LongLongInt(i64::try_from(next).unwrap_or(i64::MAX)), next)
                }
                Start::Time(time) => {
                    let seconds = u64::try_from(time.millis().div_euclid(1000)).unwrap_or(0);
                    (AMQPValue::Timestamp(seconds), 0)
                }
            };
            let mut arguments = FieldTable::default();
            arguments.insert("x-stream-offset".into(), offset);
            let (queue, tag) = (short(&shared.topology.name("journal")), ShortString::default());
            let options = BasicConsumeOptions::default();
            let stream = match channel.basic_consume(queue, tag, options, arguments).await {
                Ok(stream) => stream,
                Err(error) if error.to_string().contains(NO_COPY) => return Ok(None),
                Err(error) => return Err(refused(error)),
            };
            let (ahead, unacknowledged, own) = (None, 0, None);
            Ok(Some(Self { channel, stream, next, last, ahead, unacknowledged, own }))
        };
        within(READ_TIMEOUT, "RabbitMQ does not begin to hand out the journal", attached).await
    }

    /// Whether the next thing that it reads is the first after a place.
    fn goes_on_from(&self, after: Option<JournalPosition>) -> bool {
        after.is_some() && self.last == after && self.channel.status().connected()
    }

    /// The next entry; called only where one must come. `None` for what is not ours.
    async fn next(&mut self) -> Result<Option<Entry>, BrokerError> {
        let next = timeout(READ_TIMEOUT, self.stream.next()).await;
        let delivery = next
            .map_err(|_| BrokerError::unavailable("the journal's next entry did not come in time"))?
            .ok_or_else(|| BrokerError::unavailable("RabbitMQ ended the reading of the journal"))?
            .map_err(|error| refusal("cannot read the journal", &error))?;
        let offset = wire::offset(&delivery).ok_or_else(|| BrokerError::Corrupt {
            detail: "the journal's queue is no stream; delete it, so that it is declared".into(),
        })?;
        self.acknowledge(&delivery).await?;
        // RabbitMQ begins with whole chunks.
        if offset < self.next {
            return Ok(None);
        }
        self.next = offset + 1;
        let position = JournalPosition(offset + 1);
        let entry = entry(position, delivery)?;
        match &entry {
            Some(Entry::Record(_)) => self.last = Some(position),
            Some(Entry::Marker { id, .. }) if self.ahead == Some(*id) => self.ahead = None,
            Some(Entry::Marker { .. }) | None => {}
        }
        Ok(entry)
    }

    /// An acknowledgement is what makes RabbitMQ send more; it forgets nothing.
    async fn acknowledge(&mut self, delivery: &Delivery) -> Result<(), BrokerError> {
        self.unacknowledged += 1;
        if self.unacknowledged >= PREFETCH / 4 {
            let told = delivery.acker.ack(BasicAckOptions { multiple: true }).await;
            told.map_err(|error| refusal("cannot read on in the journal", &error))?;
            self.unacknowledged = 0;
        }
        Ok(())
    }

    /// The offset of the first thing that is there, and the place of the first record.
    async fn first_record(
        &mut self,
        end: u64,
    ) -> Result<(u64, Option<JournalPosition>), BrokerError> {
        let mut begin = None;
        loop {
            let entry = self.next().await?;
            let begin = *begin.get_or_insert_with(|| self.next.saturating_sub(1));
            match entry {
                Some(Entry::Record(record)) => {
                    let is_before = record.position.0 <= end;
                    return Ok((begin, is_before.then_some(record.position)));
                }
                Some(Entry::Marker { .. }) | None if self.next > end => return Ok((begin, None)),
                Some(Entry::Marker { .. }) | None => {}
            }
        }
    }

    /// The first record after the last one that was received before a time and never replayed,
    /// of those before the first that was received from then on.
    ///
    /// What was published again bears the time of its first receipt: only its place tells when it
    /// came. It belongs to what was received after it.
    async fn first_since(
        &mut self,
        since: Timestamp,
        end: u64,
    ) -> Result<Option<JournalPosition>, BrokerError> {
        let mut first = None;
        while self.next < end {
            let Some(Entry::Record(record)) = self.next().await? else { continue };
            if record.position.0 > end {
                break;
            }
            if record.envelope.received_at >= since {
                return Ok(Some(first.unwrap_or(record.position)));
            }
            if record.envelope.replays == 0 {
                first = None;
            } else {
                first.get_or_insert(record.position);
            }
        }
        Ok(first)
    }
}

/// Makes sense of an entry. What somebody else has put there is passed over; what a newer release
/// of ours has put there is not, since a rebuild without it would be wrong.
fn entry(position: JournalPosition, mut delivery: Delivery) -> Result<Option<Entry>, BrokerError> {
    let offset = position.0 - 1;
    if let Some(id) = wire::marker_id(&delivery) {
        return Ok(Some(Entry::Marker { offset, id }));
    }
    match wire::read(&mut delivery) {
        Ok(received) => Ok(Some(Entry::Record(Box::new(JournalRecord {
            position,
            envelope: Arc::unwrap_or_clone(received.envelope),
            rejection: received.dead.map(|dead| dead.rejection),
            is_waiting: false,
        })))),
        Err(wire::Unreadable::Foreign) => {
            tracing::warn!(offset, "the journal has an entry that is not ours; passed over");
            Ok(None)
        }
        Err(error @ wire::Unreadable::Unknown(_)) => Err(BrokerError::Corrupt {
            detail: format!("the journal's entry at offset {offset}: {error}"),
        }),
    }
}

/// Lets go of the reader.
pub(super) async fn close(shared: &Shared) {
    let reader = shared.journal.reader.lock().await.take();
    if let Some(reader) = reader {
        topology::close(&reader.channel).await;
    }
}
