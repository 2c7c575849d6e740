//! Storekeeper keeps stock counts right from Duda eCommerce webhooks, whatever the order,
//! repetition or delay in which they arrive.
//!
//! This page is the architecture: the stages, the way of the data through them, what holds
//! everywhere, and why it was built so. The README says how to run it.
//!
//! # The way of a webhook
//!
//! ```text
//! Duda --HTTP--> ingress --durable--> work queue --> worker: decode > load > decide > commit > settle
//!                                       |    ^  \                                       |
//!                                       |    |   dead letters, parked in the Store      v
//!                                    journal retry ladder                 orders, stock, change feed
//! ```
//!
//! 1. [`ingress`] verifies the sender, never looks at the content, and answers 200 once the body
//!    would survive a crash.
//! 2. [`broker`] holds the queue, the retries, the intake of dead letters and the journal of raw
//!    bodies; [`broker::embedded`] is a SQLite file, [`broker::rabbitmq`] is RabbitMQ.
//! 3. [`worker`] takes batches of what is ready and folds the events whose names lead to one order
//!    into one step.
//! 4. [`domain`] decides what a body means, which records make one order, and what that order
//!    should hold. It is pure: the rules can be read without anything else.
//! 5. [`store`] writes a decision completely or not at all; [`store::embedded`] is a SQLite file,
//!    [`store::redis`] is Redis.
//! 6. [`dead_letters`] replays, at a person's command, what could not be applied.
//! 7. [`duties`] are the periodic tasks of the one process that leads: they remove what has
//!    outlived its retention, close old orders, audit, carry out replays of dead letters, publish
//!    the change feed to RabbitMQ, and replay from the journal what Redis lost.
//! 8. [`console`] shows it to people; [`cli`] does so without HTTP. [`health`] answers supervisors
//!    and scrapers.
//!
//! Every process reports what it does by a heartbeat a minute, and [`domain::Standing`] judges by
//! them, the queue and the dead letters whether anything needs a person. A person may pause the
//! work queue: workers then take nothing from it, and webhooks are still received.
//!
//! What people ask for goes the same way: [`requests`] makes envelopes of receipts and corrections,
//! and waits until a worker has applied them. [`upkeep`] keeps the numbers true over the years.
//!
//! [`app`] makes processes of these stages, one role or all in one, and stops them in order.
//! [`config`] reads the settings. [`simulate`] invents histories of orders and knows, by a model of
//! its own, what the stock must be. [`clock`], [`http`], [`metrics`] and [`sqlite`] hold what
//! several stages need.
//!
//! # Invariants
//!
//! - **Durable before 200.** The answer waits until the body is on disk.
//! - **Order, repetition and delay leave no trace.** A record is a join: maxima and unions of what
//!   was seen under one name. An order is the join of the records whose names lead to it. Stock
//!   changes are `desired - applied`, never computed from an event alone. Limits make an exception:
//!   of more refunds, second names or corrections than a record has room for, the first ones stay,
//!   and the others become dead letters (`order.too_many_refunds`, `order.too_many_names`,
//!   `correction.invalid`).
//! - **Once.** State, stock and change feed of a decision are one transaction, which fails if
//!   anything that it was computed from has changed, or has appeared, since.
//! - **Nothing is dropped silently.** Every accepted body ends as applied, superseded, duplicate,
//!   ignored or dead letter, with a reason and a counter. A dead letter ends by a replay, or is
//!   discarded by a person or expired after its retention; both are counted.
//! - **No float holds a quantity.** Text to [`rust_decimal`] to millionths in 64 bits.
//! - **Personal data stays in raw bodies.** States, logs, metrics and error details have none.
//! - **Dependencies point one way**: main > cli > app > {ingress, worker, console, duties} >
//!   {broker, store} > domain; the ingress and the worker do not see each other. SQL is in the
//!   embedded adapters and [`sqlite`] only, lapin and redis in theirs, axum in the HTTP modules
//!   only. `tests/it/tidy` has the whole table, and checks it.
//!
//! # Design decisions
//!
//! **Why a join, and not deduplication by order id and timestamp?** Duda's own samples carry
//! three events of one order with one timestamp. Such a key would drop the update and the
//! deletion. The key here is class, timestamp, kind of event, status and a fingerprint of the
//! content, and it only names an event: what counts is what joining it changes.
//!
//! **Why records, and links between them?** One event calls an order by its id, another by an
//! external id, and a plugin may write one external id on every order. What is seen under a name
//! stays with that name, and a name leads to an id only while exactly one was ever seen beside it.
//! Records are never merged, so a link that turns out wrong is undone by the next commit.
//!
//! **Why deltas from a difference?** An event says what an order is, not what changed. The
//! difference between what an order should hold and what it holds is right after any number of
//! losses, repeats and restarts; a difference between two events is not.
//!
//! **Why optimistic commits?** A lock held by a worker that dies must time out, and every timeout
//! is wrong for somebody. A commit that names the revision it was computed from needs no lock: of
//! two, one is written and the other is computed again.
//!
//! **Why SQLite?** It is the most trusted embedded database, its files can be read with any SQL
//! tool while the service runs, and commands work beside a running `serve`. One writer thread a
//! file shares each fsync among everything that waits, so it is fast enough.
//!
//! **Why two files?** The queue must take webhooks when the state cannot be written, and the
//! other way round. They fail apart, and each has a writer of its own.
//!
//! **Why are leases on deliveries not written?** A lease that outlives its owner must end by a
//! timeout. In the embedded backend one process consumes, under a lock that the system releases
//! when it dies; what it had in flight is simply still in the queue. RabbitMQ goes by the
//! connection.
//!
//! **Why a stream beside the queue?** A queue forgets what was settled, and Redis may lose what it
//! has confirmed. The stream has every body, written by the same confirmed publish, so the state
//! can always be rebuilt.
//!
//! **Why a lease for the leader, and not one for each duty?** One number fences all that a leader
//! writes, and one process shows how all duties get on. Its time is that of Redis: a process with a
//! wrong clock does no harm.
//!
//! **Why does the relay read the feed?** A worker that published changes itself could die between
//! the commit and the publishing. The feed is part of the commit; a reader that records its place
//! in it misses nothing.
//!
//! **Why is the policy in the Store?** Two workers with two meanings of a refund would undo each
//! other's work. The Store has one policy in force; configuration only proposes one.

pub mod app;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod console;
pub mod dead_letters;
pub mod domain;
pub mod duties;
pub mod health;
pub mod http;
pub mod ingress;
pub mod metrics;
pub mod requests;
pub mod simulate;
pub mod sqlite;
pub mod store;
pub mod upkeep;
pub mod worker;
