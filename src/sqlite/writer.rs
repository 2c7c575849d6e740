//! The writer thread: takes the jobs that wait as one group and commits them together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::SqliteError;

/// At most so many jobs share one commit.
const GROUP_JOBS_MAX: usize = 512;

/// What the writer thread is told.
pub(super) enum Message {
    /// Run the job in the next group.
    Run(Job),
    /// Finish what came before, close the file, answer.
    Stop(oneshot::Sender<()>),
}

/// Runs in the group's transaction, or is told why there is none.
type Job = Box<dyn FnOnce(Result<&Connection, SqliteError>) -> Done + Send>;

/// A job that was run.
pub(super) struct Done {
    failure: Option<SqliteError>,
    answer: Answer,
}

/// Runs after the commit, with the group's failure.
type Answer = Box<dyn FnOnce(Option<&SqliteError>) + Send>;

/// The message for a job, and where its answer arrives.
pub(super) fn message<T: Send + 'static>(
    file: Arc<str>,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> (Message, oneshot::Receiver<Result<T, SqliteError>>) {
    let (answer, answered) = oneshot::channel();
    let job: Job = Box::new(move |connection| {
        let result = connection.and_then(|connection| in_savepoint(connection, &file, job));
        Done {
            failure: result.as_ref().err().cloned(),
            answer: Box::new(move |group_failure| {
                let result = result
                    .and_then(|value| group_failure.map_or(Ok(value), |error| Err(error.clone())));
                // The caller may have been cancelled; the job is done all the same.
                drop(answer.send(result));
            }),
        }
    });
    (Message::Run(job), answered)
}

/// Runs until it is stopped or every handle is gone.
pub(super) fn write_groups(
    connection: Connection,
    mut waiting: mpsc::Receiver<Message>,
    file: &str,
) {
    let mut messages = Vec::new();
    while waiting.blocking_recv_many(&mut messages, GROUP_JOBS_MAX) > 0 {
        let mut group = messages.drain(..).peekable();
        // A job that fills the disk takes along those before it, and not those behind it.
        while group.peek().is_some() {
            if let Some(stopped) = write_group(&connection, &mut group, file) {
                // What came later is dropped; its callers hear that the file is closed.
                drop(connection);
                stopped.send(()).ok();
                return;
            }
        }
    }
}

/// Writes one transaction; answers with the sender of a stop that it met.
fn write_group(
    connection: &Connection,
    messages: &mut impl Iterator<Item = Message>,
    file: &str,
) -> Option<oneshot::Sender<()>> {
    let execute = |sql: &str| {
        let executed = connection.prepare_cached(sql).and_then(|mut it| it.execute(()));
        executed.err().map(|error| SqliteError::new(file, &error))
    };
    let mut failure = execute("BEGIN IMMEDIATE");
    let mut answers = Vec::new();
    let mut stop = None;
    for message in messages {
        match message {
            Message::Run(job) => {
                let done = job(failure.clone().map_or(Ok(connection), Err));
                answers.push(done.answer);
                if failure.is_none() && connection.is_autocommit() {
                    // SQLite gave the transaction up: nothing of the group is written.
                    failure = Some(done.failure.unwrap_or_else(|| rolled_back(file)));
                    break;
                }
            }
            Message::Stop(stopped) => {
                stop = Some(stopped);
                break;
            }
        }
    }
    failure = failure.or_else(|| execute("COMMIT"));
    if !connection.is_autocommit() {
        execute("ROLLBACK");
    }
    for answer in answers {
        answer(failure.as_ref());
    }
    stop
}

fn rolled_back(file: &str) -> SqliteError {
    let message = "the transaction was rolled back".to_owned();
    SqliteError::Unavailable { file: file.to_owned(), message }
}

fn in_savepoint<T>(
    connection: &Connection,
    file: &str,
    job: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, SqliteError> {
    let execute = |sql: &str| {
        let executed = connection.prepare_cached(sql).and_then(|mut it| it.execute(()));
        executed.map_err(|error| SqliteError::new(file, &error))
    };
    execute("SAVEPOINT job")?;
    // A panic must not end the thread that everybody's writes depend on; the savepoint undoes
    // what the job had written.
    let result = match catch_unwind(AssertUnwindSafe(|| job(connection))) {
        Ok(result) => result.map_err(|error| SqliteError::new(file, &error)),
        Err(_) => Err(SqliteError::Refused {
            file: file.to_owned(),
            message: "the job panicked; please report it".to_owned(),
        }),
    };
    // A full disk may have ended the whole transaction; the group finds that out.
    if !connection.is_autocommit() {
        if result.is_err() {
            execute("ROLLBACK TO job")?;
        }
        execute("RELEASE job")?;
    }
    result
}
