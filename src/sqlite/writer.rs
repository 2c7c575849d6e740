//! The writer thread: takes the jobs that wait as one group and commits them together.
//!
//! A job may be run twice: if one of a group fails, the group is undone and run again with each
//! job in a savepoint of its own, so that the failure costs nobody else anything.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::standing::Standing;
use super::{SqliteError, SqliteFailure};

/// At most so many jobs share one commit.
const GROUP_JOBS_MAX: usize = 512;

/// A message to the writer thread.
pub(super) enum WriterMessage {
    /// Run the job in the next group.
    Run(Box<dyn Job>),
    /// Finish what came before, close the file, answer.
    Stop(oneshot::Sender<()>),
}

/// What waits to be written, whatever its answer.
pub(super) trait Job: Send {
    /// Runs it inside a transaction; a later run replaces an earlier one.
    fn run(&mut self, connection: &Connection) -> Result<(), SqliteError>;
    /// Sends the caller the result, after the commit; a failure is that of the whole group.
    fn answer(self: Box<Self>, group_failure: Option<&SqliteError>);
}

struct QueuedJob<T, F> {
    closure: F,
    file: Arc<str>,
    result: Option<Result<T, SqliteError>>,
    answer: oneshot::Sender<Result<T, SqliteError>>,
}

/// The message for a job, and where its answer arrives.
pub(super) fn message<T: Send + 'static>(
    file: Arc<str>,
    closure: impl Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> (WriterMessage, oneshot::Receiver<Result<T, SqliteError>>) {
    let (answer, answered) = oneshot::channel();
    (WriterMessage::Run(Box::new(QueuedJob { closure, file, result: None, answer })), answered)
}

impl<T: Send, F: Fn(&Connection) -> rusqlite::Result<T> + Send> Job for QueuedJob<T, F> {
    fn run(&mut self, connection: &Connection) -> Result<(), SqliteError> {
        // A panic must not end the thread that everybody's writes depend on.
        let closure = AssertUnwindSafe(|| (self.closure)(connection));
        let result = match catch_unwind(closure) {
            Ok(result) => result.map_err(|error| SqliteError::new(&self.file, &error)),
            Err(_) => {
                Err(SqliteFailure::Refused.of(&*self.file, "the job panicked; please report it"))
            }
        };
        let failure = result.as_ref().err().cloned();
        self.result = Some(result);
        failure.map_or(Ok(()), Err)
    }

    fn answer(self: Box<Self>, group_failure: Option<&SqliteError>) {
        let result = match (group_failure, self.result) {
            (_, Some(Err(error))) => Err(error),
            (Some(error), _) => Err(error.clone()),
            (None, Some(Ok(value))) => Ok(value),
            (None, None) => Err(SqliteError::closed(&self.file)),
        };
        // What the job holds is dropped first: whoever has the answer may rely on that.
        drop(self.closure);
        // The caller may have been cancelled; the job is done all the same.
        drop(self.answer.send(result));
    }
}

/// Runs until it is stopped or every handle is gone.
pub(super) fn write_groups(
    connection: Connection,
    mut waiting: mpsc::Receiver<WriterMessage>,
    file: &str,
    standing: &Standing,
) {
    let mut messages = Vec::new();
    while waiting.blocking_recv_many(&mut messages, GROUP_JOBS_MAX) > 0 {
        let mut group = VecDeque::new();
        let mut stop = None;
        for message in messages.drain(..) {
            match message {
                WriterMessage::Run(job) => group.push_back(job),
                WriterMessage::Stop(stopped) => {
                    // What came later is dropped; its callers get an error: the file is closed.
                    stop = Some(stopped);
                    break;
                }
            }
        }
        Writer { connection: &connection, file, standing }.write(group);
        if let Some(stopped) = stop {
            drop(connection);
            stopped.send(()).ok();
            return;
        }
    }
}

struct Writer<'a> {
    connection: &'a Connection,
    file: &'a str,
    standing: &'a Standing,
}

impl Writer<'_> {
    fn write(&self, mut group: VecDeque<Box<dyn Job>>) {
        let failure = match self.begin() {
            Ok(()) if group.iter_mut().all(|job| job.run(self.connection).is_ok()) => {
                self.commit().err()
            }
            Ok(()) => {
                self.roll_back();
                while !group.is_empty() {
                    self.write_apart(&mut group);
                }
                return;
            }
            Err(error) => Some(error),
        };
        self.roll_back();
        for job in group {
            job.answer(failure.as_ref());
        }
    }

    /// Writes a group in which a job fails, each job in a savepoint. Savepoints copy every page
    /// that is changed inside them, so they are for this case only.
    ///
    /// A job that fills the disk takes along those before it. Those after it stay in the group.
    fn write_apart(&self, group: &mut VecDeque<Box<dyn Job>>) {
        let mut failure = self.begin().err();
        let mut written = Vec::new();
        while let Some(mut job) = group.pop_front() {
            let result = match &failure {
                None => self.run_in_savepoint(job.as_mut()),
                Some(_) => Ok(()),
            };
            written.push(job);
            if failure.is_none() && self.connection.is_autocommit() {
                // SQLite gave the transaction up: nothing of what was written so far is there.
                failure = Some(result.err().unwrap_or_else(|| self.rolled_back()));
                break;
            }
        }
        failure = failure.or_else(|| self.commit().err());
        self.roll_back();
        for job in written {
            job.answer(failure.as_ref());
        }
    }

    fn run_in_savepoint(&self, job: &mut dyn Job) -> Result<(), SqliteError> {
        self.execute("SAVEPOINT job")?;
        let result = job.run(self.connection);
        // A full disk may have ended the whole transaction.
        if !self.connection.is_autocommit() {
            if result.is_err() {
                self.execute("ROLLBACK TO job")?;
            }
            self.execute("RELEASE job")?;
        }
        result
    }

    fn begin(&self) -> Result<(), SqliteError> {
        self.standing.check()?;
        self.execute("BEGIN IMMEDIATE")
    }

    /// Fails also if what was committed went into a file that nobody will find.
    fn commit(&self) -> Result<(), SqliteError> {
        self.execute("COMMIT")?;
        self.standing.check()
    }

    /// Ends a transaction that was not committed.
    fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            // It fails only if there is nothing to undo.
            self.execute("ROLLBACK").ok();
        }
    }

    fn execute(&self, sql: &str) -> Result<(), SqliteError> {
        let executed = self.connection.prepare_cached(sql).and_then(|mut it| it.execute(()));
        executed.map(drop).map_err(|error| SqliteError::new(self.file, &error))
    }

    fn rolled_back(&self) -> SqliteError {
        SqliteFailure::Unavailable.of(self.file, "the transaction was rolled back")
    }
}
