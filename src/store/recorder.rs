//! Puts reads on record: one task for each process takes all records that wait, writes them by one
//! statement, which is one durable commit, and tells all who wait. With nothing waiting it writes at
//! once; while it writes, the next batch gathers.
//!
//! Whatever fails, those of that batch are told so and get nothing, and the next batch is tried on a
//! new connection. So a full disk, a lock or a lost connection needs nobody's help afterwards.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Error as SqlError};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::audit::{self, Prepared};
use super::chain::Head;
use super::premise::{self, Premise};
use super::recording::Remembered;
use super::turns::Turns;
use super::{Access, StoreError, silence};

/// How many records may wait.
const QUEUE: usize = 1024;
/// How many are written at once.
const BATCH: usize = 256;
/// How often a batch is tried that something came in between of.
const ATTEMPTS: usize = 8;
/// How long writing a batch may take. That is longer than all that waits in it for itself (a turn, a
/// lock at connecting, a lock at writing; PostgreSQL at a statement), so that what is given up is not
/// written afterwards.
const LONGEST: Duration = Duration::from_secs(19);
/// How long somebody waits for their record.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where records are written to.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Sqlite(SqliteConnectOptions, Arc<Turns>),
    Postgres(PgConnectOptions),
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is durable, and its premise held when it was written.
    Durably,
    /// It was not written, since its premise does not hold.
    Outdated,
}

struct Job {
    record: Prepared,
    premise: Option<Premise>,
    /// In which its sets and its premise were found.
    epoch: u64,
    answer: oneshot::Sender<Result<Written, StoreError>>,
}

enum Message {
    Write(Job),
    Stop(oneshot::Sender<()>),
}

/// The way to the recorder.
#[derive(Clone, Debug)]
pub(super) struct Recorder(mpsc::Sender<Message>);

impl Recorder {
    /// Starts the task, which ends when nobody can send to it any more.
    pub(super) fn start(place: Place, remembered: Arc<Remembered>) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        tokio::spawn(async move {
            loop {
                let remembered = Arc::clone(&remembered);
                let writer = Writer { place: place.clone(), open: None, remembered };
                let task = tokio::spawn(run(Arc::clone(&receiver), writer));
                match task.await {
                    Err(error) if error.is_panic() => {
                        // Those whose records it had are told by their channels' ends.
                        tracing::error!("the recorder failed and is started again");
                    }
                    _ => return,
                }
            }
        });
        Self(sender)
    }

    /// Writes a record, if its premise holds. When this says so, it is durable.
    pub(super) async fn write(
        &self,
        record: Prepared,
        premise: Option<Premise>,
        epoch: u64,
    ) -> Result<Written, StoreError> {
        let (answer, written) = oneshot::channel();
        self.0.try_send(Message::Write(Job { record, premise, epoch, answer })).map_err(
            |error| match error {
                TrySendError::Full(_) => StoreError::Full,
                TrySendError::Closed(_) => {
                    StoreError::Unrecorded("the recorder has stopped".into())
                }
            },
        )?;
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(written)) => written,
            Ok(Err(_)) => Err(StoreError::Unrecorded("the recorder failed".into())),
            Err(_) => Err(StoreError::Unrecorded("the recorder is slow".into())),
        }
    }

    /// Ends the recorder, after it has written all that waits.
    pub(super) async fn stop(&self) {
        let (stopped, wait) = oneshot::channel();
        if self.0.send(Message::Stop(stopped)).await.is_ok() {
            // It has ended either way.
            let _ = wait.await;
        }
    }
}

async fn run(receiver: Arc<Mutex<mpsc::Receiver<Message>>>, mut writer: Writer) {
    let mut receiver = receiver.lock().await;
    let (mut messages, mut stopped) = (Vec::with_capacity(BATCH), Vec::new());
    while receiver.recv_many(&mut messages, BATCH).await > 0 {
        let mut jobs = Vec::with_capacity(messages.len());
        for message in messages.drain(..) {
            match message {
                Message::Write(job) => jobs.push(job),
                Message::Stop(answer) => {
                    receiver.close();
                    stopped.push(answer);
                }
            }
        }
        // Nobody would get the rows of those who no longer wait.
        jobs.retain(|job| !job.answer.is_closed());
        writer.write(jobs).await;
    }
    drop(writer);
    // Whoever waits may have gone.
    for answer in stopped {
        let _ = answer.send(());
    }
}

struct Writer {
    place: Place,
    open: Option<Open>,
    remembered: Arc<Remembered>,
}

/// A connection, and where the chain ends that it writes to.
struct Open {
    connection: Connection,
    head: Head,
}

enum Connection {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Connection {
    fn access(&mut self) -> Access<'_> {
        match self {
            Self::Sqlite(connection) => Access::Sqlite(connection),
            Self::Postgres(connection) => Access::Postgres(connection),
        }
    }
}

enum Attempt {
    Written,
    /// The premises of the jobs at these positions do not hold.
    Fallen(HashSet<usize>),
    /// Somebody else has written to the chain: where it ends now is known.
    Moved,
}

impl Writer {
    async fn write(&mut self, mut jobs: Vec<Job>) {
        for _ in 0..ATTEMPTS {
            if jobs.is_empty() {
                return;
            }
            let tried = tokio::time::timeout(LONGEST, self.attempt(&jobs)).await;
            match tried.unwrap_or_else(|_| Err(StoreError::Unrecorded("no answer in time".into())))
            {
                Ok(Attempt::Written) => return tell(jobs, || Ok(Written::Durably)),
                Ok(Attempt::Moved) => {}
                Ok(Attempt::Fallen(fallen)) => {
                    let mut position = 0..;
                    let is_fallen =
                        |_: &mut Job| position.next().is_some_and(|n| fallen.contains(&n));
                    tell(jobs.extract_if(.., is_fallen).collect(), || Ok(Written::Outdated));
                }
                // Another process was quicker, and this one waited for it.
                Err(StoreError::Database(error)) if is_conflict(&error) => self.open = None,
                Err(error) => {
                    tracing::error!(%error, records = jobs.len(), "records could not be written");
                    self.open = None;
                    // An SQLite file stays the one that it is.
                    if matches!(self.place, Place::Postgres(_)) && silence::is_loss(&error) {
                        self.remembered.doubt();
                    }
                    let error = error.to_string();
                    return tell(jobs, || Err(StoreError::Unrecorded(error.clone())));
                }
            }
        }
        tell(jobs, || Err(StoreError::Unrecorded("others kept writing to the chain".into())));
    }

    async fn attempt(&mut self, jobs: &[Job]) -> Result<Attempt, StoreError> {
        let _turn = match &self.place {
            Place::Sqlite(_, turns) => Some(turns.take().await?),
            Place::Postgres(_) => None,
        };
        let epoch = self.remembered.epoch();
        let is_past = |(n, job): (usize, &Job)| (job.epoch != epoch).then_some(n);
        let past: HashSet<usize> = jobs.iter().enumerate().filter_map(is_past).collect();
        if !past.is_empty() {
            return Ok(Attempt::Fallen(past));
        }
        let (premises, resting) = premises(jobs);
        let premises = premise::json(&premises)?;
        // Taken out, and so gone if this is given up halfway.
        let Open { mut connection, head } = match self.open.take() {
            Some(open) => open,
            None => {
                let open = connect(&self.place).await?;
                if self.remembered.forget_if_in_doubt() {
                    // There what the jobs rest on may not be so, though its versions are the same.
                    self.open = Some(open);
                    return Ok(Attempt::Moved);
                }
                open
            }
        };
        let (rows, end) = audit::link(head, jobs.iter().map(|job| &job.record));
        let written = audit::append_linked(connection.access(), head, &rows, &premises).await?;
        if usize::try_from(written) == Ok(jobs.len()) {
            self.open = Some(Open { connection, head: end });
            return Ok(Attempt::Written);
        }
        let fallen = premise::list_fallen(connection.access(), &premises).await?;
        let head = audit::take_chain_for_reads(connection.access()).await?;
        self.open = Some(Open { connection, head });
        if fallen.is_empty() {
            return Ok(Attempt::Moved);
        }
        let fallen = fallen.into_iter().filter_map(|n| resting.get(usize::try_from(n).ok()?));
        Ok(Attempt::Fallen(fallen.flatten().copied().collect()))
    }
}

/// The premises of the jobs, each once, at the latest of their times; and for each the jobs that rest on it.
fn premises(jobs: &[Job]) -> (Vec<Premise>, Vec<Vec<usize>>) {
    let (mut premises, mut resting): (Vec<Premise>, Vec<Vec<usize>>) = (Vec::new(), Vec::new());
    let mut known = HashMap::new();
    for (position, job) in jobs.iter().enumerate() {
        let Some(premise) = &job.premise else { continue };
        let at = *known.entry(premise.what()).or_insert(premises.len());
        match (premises.get_mut(at), resting.get_mut(at)) {
            (Some(same), Some(who)) => {
                same.at_latest(premise);
                who.push(position);
            }
            _ => {
                premises.push(premise.clone());
                resting.push(vec![position]);
            }
        }
    }
    (premises, resting)
}

fn tell(jobs: Vec<Job>, what: impl Fn() -> Result<Written, StoreError>) {
    // Whoever waits may have gone.
    jobs.into_iter().for_each(|job| drop(job.answer.send(what())));
}

async fn connect(place: &Place) -> Result<Open, StoreError> {
    let mut connection = match place {
        Place::Sqlite(options, _) => Connection::Sqlite(options.connect().await?),
        Place::Postgres(options) => Connection::Postgres(options.connect().await?),
    };
    let head = audit::take_chain_for_reads(connection.access()).await?;
    Ok(Open { connection, head })
}

/// What the trigger of a chain says to whoever comes second (a serialisation failure).
fn is_conflict(error: &SqlError) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "40001")
}
