//! Password hashes (Argon2id, RFC 9106), and the gate that bounds what they may cost.
//!
//! A hash takes some 25 ms of a core and 19 MiB. So there are as many hashing threads as cores,
//! each with memory of its own that it reuses, at a lower priority than the threads that answer
//! requests. While others are answered, some of those threads rest: a priority alone does not keep a
//! thread that never sleeps from holding its core for some milliseconds against one that wakes, and
//! an answer takes several wakings. What waits for them waits in two bounded queues, and past those is turned away. Whoever
//! signs in from where they have before waits in the first, so that a storm from elsewhere does not
//! keep them out.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use argon2::password_hash;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use flume::{Receiver, Sender};
use tokio::sync::oneshot;

use super::throttle::{Attempt, Throttled};
use crate::config::{Passwords, Secret};
use crate::domain::normalised_password;
use crate::entropy::{Entropy, EntropyError};

/// How many may wait in each queue for each hashing thread: about a second and a half of work.
const QUEUE_PER_THREAD: usize = 64;
/// After so many from the first queue, one of the other is taken, so that nobody waits for ever.
const MOST_IN_A_ROW: u32 = 7;
/// Above the default 0, so that a storm of logins does not slow a read of pay. Not so far above
/// that logins starve.
const NICENESS: i32 = 10;
/// Of so many hashing threads one rests while others are answered; of more than one, one at least.
const RESTING_ONE_IN: usize = 4;
/// How long a thread rests before it looks again.
const REST: Duration = Duration::from_millis(20);
/// How often a thread rests after the last request of others.
const RESTS: u32 = 5;
const SALT_BYTES: usize = 16;

/// A password could not be hashed or verified now.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// As many wait already as may.
    #[error("too many sign-ins are waiting")]
    Full,
    /// The hashing threads are gone, or gave no answer.
    #[error("the hashing threads gave no answer")]
    Broken,
    /// There is no randomness for a salt.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not the password.
    Wrong,
    /// The password.
    Right,
    /// The password, and its hash costs less than is asked of one now.
    RightButWeak,
    /// Nobody looked: too much has failed while this waited.
    Throttled(Throttled),
}

/// The queues before the hashing threads. Dropping it ends them.
#[derive(Debug)]
pub struct Gate {
    /// Of those who sign in from where they have before, and of what is done by who has signed in.
    first: Sender<Job>,
    others: Sender<Job>,
    /// One for each job that is in a queue: what an idle thread waits for.
    tickets: Sender<()>,
    rests: Arc<Rests>,
}

/// For how many rests more somebody else is being answered.
#[derive(Debug, Default)]
struct Rests(AtomicU32);

impl Rests {
    fn note_request(&self) {
        self.0.store(RESTS, Ordering::Relaxed);
    }

    /// Takes one of them, if there are any.
    fn take(&self) -> bool {
        let less = |left: u32| left.checked_sub(1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[derive(Debug)]
enum Job {
    Verify {
        password: Secret<String>,
        stored: Option<String>,
        attempt: Arc<Attempt>,
        answer: oneshot::Sender<Verdict>,
    },
    Hash {
        password: Secret<String>,
        salt: [u8; SALT_BYTES],
        answer: oneshot::Sender<String>,
    },
}

impl Gate {
    /// Starts the hashing threads.
    pub fn start(settings: Passwords) -> std::io::Result<Self> {
        let params = Params::new(settings.memory_kib, settings.iterations, 1, None)
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let queue = || flume::bounded(threads * QUEUE_PER_THREAD);
        let ((first, of_first), (others, of_others)) = (queue(), queue());
        let (tickets, of_tickets) = flume::unbounded();
        let rests = Arc::new(Rests::default());
        for n in 0..threads {
            let params = params.clone();
            let rests = (n < resting(threads)).then(|| Arc::clone(&rests));
            let (first, others) = (of_first.clone(), of_others.clone());
            let jobs = Jobs { tickets: of_tickets.clone(), first, others, in_a_row: 0, rests };
            thread::Builder::new().name(format!("hash-{n}")).spawn(move || work(jobs, &params))?;
        }
        Ok(Self { first, others, tickets, rests })
    }

    /// Somebody who is signed in is asking for something, and for a while that comes first.
    pub(super) fn give_way(&self) {
        self.rests.note_request();
    }

    /// Compares a password, in its normal form, with a stored hash. Without one, works just as long and answers
    /// [`Verdict::Wrong`], so that the time tells nobody which users exist.
    pub(super) async fn verify(
        &self,
        password: Secret<String>,
        stored: Option<String>,
        attempt: Arc<Attempt>,
    ) -> Result<Verdict, GateError> {
        let password = normalised_password(&password);
        let (answer, verdict) = oneshot::channel();
        let queue = if attempt.is_known() { &self.first } else { &self.others };
        self.enqueue(queue, Job::Verify { password, stored, attempt, answer })?;
        verdict.await.map_err(|_| GateError::Broken)
    }

    /// Hashes a password, in its normal form, under a new salt, as a PHC string.
    pub async fn hash(
        &self,
        password: Secret<String>,
        entropy: &dyn Entropy,
    ) -> Result<String, GateError> {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt)?;
        let password = normalised_password(&password);
        let (answer, hash) = oneshot::channel();
        self.enqueue(&self.first, Job::Hash { password, salt, answer })?;
        hash.await.map_err(|_| GateError::Broken)
    }

    fn enqueue(&self, queue: &Sender<Job>, job: Job) -> Result<(), GateError> {
        queue.try_send(job).map_err(|error| match error {
            flume::TrySendError::Full(_) => GateError::Full,
            flume::TrySendError::Disconnected(_) => GateError::Broken,
        })?;
        self.tickets.send(()).map_err(|_| GateError::Broken)
    }
}

/// How many of the hashing threads rest while others are answered.
fn resting(threads: usize) -> usize {
    threads.div_ceil(RESTING_ONE_IN).min(threads - 1)
}

/// What one hashing thread takes from the queues.
struct Jobs<T = Job> {
    tickets: Receiver<()>,
    first: Receiver<T>,
    others: Receiver<T>,
    /// How many it has taken from the first queue since it last looked at the other.
    in_a_row: u32,
    /// Of a thread that rests.
    rests: Option<Arc<Rests>>,
}

/// Waits for the next job. Ends when the gate has been dropped.
impl<T> Iterator for Jobs<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        while self.rests.as_ref().is_some_and(|rests| rests.take()) {
            thread::sleep(REST);
        }
        // It was sent after its job, and whoever has one takes one job: so there is one.
        self.tickets.recv().ok()?;
        if self.in_a_row < MOST_IN_A_ROW
            && let Ok(job) = self.first.try_recv()
        {
            self.in_a_row += 1;
            return Some(job);
        }
        self.in_a_row = 0;
        self.others.try_recv().or_else(|_| self.first.try_recv()).ok()
    }
}

/// One hashing thread, until the gate is dropped. A client that has left is not worked for.
fn work(jobs: Jobs, params: &Params) {
    // Of the calling thread alone (Linux counts priorities by thread).
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "the hashing threads run at normal priority");
    }
    let mut memory = Memory(Vec::new());
    for job in jobs {
        match job {
            Job::Verify { answer, .. } if answer.is_closed() => {}
            Job::Hash { answer, .. } if answer.is_closed() => {}
            Job::Verify { password, stored, attempt, answer } => {
                let verdict = match attempt.admit() {
                    Ok(()) => verify(password.expose(), stored.as_deref(), params, &mut memory),
                    Err(throttled) => Verdict::Throttled(throttled),
                };
                if verdict == Verdict::Wrong {
                    // At once, for those that wait behind it.
                    attempt.raise();
                }
                let _client_may_have_left = answer.send(verdict);
            }
            Job::Hash { password, salt, answer } => {
                match hash(password.expose(), &salt, params, &mut memory) {
                    Ok(hash) => {
                        let _client_may_have_left = answer.send(hash);
                    }
                    // Dropping the sender tells the caller that there is no answer.
                    Err(error) => tracing::error!(%error, "a password could not be hashed"),
                }
            }
        }
    }
}

fn verify(password: &str, stored: Option<&str>, params: &Params, memory: &mut Memory) -> Verdict {
    let stored = stored.and_then(|stored| {
        let parsed = Stored::parse(stored);
        if parsed.is_none() {
            tracing::error!("a stored password hash is no Argon2id PHC string");
        }
        parsed
    });
    let Some(Stored { params: own, salt, output }) = stored else {
        let _same_work_no_answer = memory.fill(password, &[0; SALT_BYTES], params);
        return Verdict::Wrong;
    };
    let weak = own.m_cost() < params.m_cost() || own.t_cost() < params.t_cost();
    // `Output` compares in constant time.
    match (memory.fill(password, salt.as_ref(), &own).ok().as_ref() == Some(&output), weak) {
        (true, false) => Verdict::Right,
        (true, true) => Verdict::RightButWeak,
        (false, _) => {
            // An old hash is quick: without the rest of the work it would tell that the user exists.
            if let Some(rest) = rest_of_the_work(&own, params) {
                let _same_work_no_answer = memory.fill(password, &[0; SALT_BYTES], &rest);
            }
            Verdict::Wrong
        }
    }
}

/// What a hash at `params` costs beyond one at `own`: the same number of block passes, in no more
/// memory. None, if it costs no more.
fn rest_of_the_work(own: &Params, params: &Params) -> Option<Params> {
    let work = |params: &Params| u64::from(params.m_cost()) * u64::from(params.t_cost());
    let rest = work(params).checked_sub(work(own)).filter(|rest| *rest > 0)?;
    let passes = rest.div_ceil(u64::from(params.m_cost()));
    let memory = u32::try_from(rest / passes).ok()?.max(Params::MIN_M_COST);
    Params::new(memory, u32::try_from(passes).ok()?, 1, None).ok()
}

fn hash(
    password: &str,
    salt: &[u8],
    params: &Params,
    memory: &mut Memory,
) -> password_hash::Result<String> {
    let output = memory.fill(password, salt, params)?;
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params)?,
        salt: Some(Salt::new(salt)?),
        hash: Some(output),
    };
    Ok(hash.to_string())
}

/// A stored hash, taken apart.
struct Stored {
    params: Params,
    salt: Salt,
    output: Output,
}

impl Stored {
    fn parse(text: &str) -> Option<Self> {
        let hash = PasswordHash::new(text).ok()?;
        if hash.algorithm != Algorithm::Argon2id.ident() {
            return None;
        }
        Some(Self { params: Params::try_from(&hash).ok()?, salt: hash.salt?, output: hash.hash? })
    }
}

/// A thread's own memory for Argon2, reused from hash to hash.
struct Memory(Vec<Block>);

impl Memory {
    fn fill(
        &mut self,
        password: &str,
        salt: &[u8],
        params: &Params,
    ) -> password_hash::Result<Output> {
        if self.0.len() < params.block_count() {
            self.0.resize(params.block_count(), Block::default());
        }
        let mut out = vec![0; params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN)];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
            .hash_password_into_with_memory(password.as_bytes(), salt, &mut out, &mut self.0)?;
        Ok(Output::new(&out)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(memory_kib: u32, iterations: u32) -> Params {
        Params::new(memory_kib, iterations, 1, None).unwrap()
    }

    #[test]
    fn r46_the_first_queue_is_served_first_and_the_other_in_the_end() {
        let (first, of_first) = flume::unbounded();
        let (others, of_others) = flume::unbounded();
        let (tickets, of_tickets) = flume::unbounded();
        let mut jobs = Jobs {
            tickets: of_tickets,
            first: of_first,
            others: of_others,
            in_a_row: 0,
            rests: None,
        };
        for n in 0..10 {
            others.send(format!("other {n}")).unwrap();
            first.send(format!("first {n}")).unwrap();
            tickets.send(()).unwrap();
            tickets.send(()).unwrap();
        }
        let taken: Vec<String> = jobs.by_ref().take(9).collect();
        let expected = (0..7).map(|n| format!("first {n}"));
        let expected = expected.chain(["other 0".into(), "first 7".into()]);
        assert_eq!(taken, expected.collect::<Vec<String>>());
        drop((first, others, tickets));
        assert_eq!(jobs.count(), 11, "and then it ends");
    }

    #[test]
    fn r46_a_job_that_another_thread_takes_first_costs_no_waiting_thread_its_next() {
        let (first, of_first) = flume::unbounded();
        let (others, of_others) = flume::unbounded();
        let (tickets, of_tickets) = flume::unbounded();
        let (taken, of_taken) = flume::unbounded();
        let jobs = || Jobs {
            tickets: of_tickets.clone(),
            first: of_first.clone(),
            others: of_others.clone(),
            in_a_row: 0,
            rests: None,
        };
        thread::scope(|scope| {
            for mut jobs in [jobs(), jobs(), jobs()] {
                let taken = taken.clone();
                scope.spawn(move || jobs.try_for_each(|n: u32| taken.send(n)).unwrap());
            }
            // Each alone, so that all threads are waiting when it comes.
            for n in 0..20_000 {
                let queue = if n % 2 == 0 { &first } else { &others };
                queue.send(n).unwrap();
                tickets.send(()).unwrap();
                assert_eq!(of_taken.recv_timeout(Duration::from_secs(10)), Ok(n));
            }
            drop(tickets);
        });
    }

    #[test]
    fn r46_some_threads_rest_while_others_are_answered_and_never_all() {
        let rests = Rests::default();
        assert!(!rests.take(), "nobody has asked yet");
        rests.note_request();
        rests.note_request();
        assert_eq!((0..10).filter(|_| rests.take()).count(), 5, "and then it is over");
        let numbers = [1, 2, 3, 4, 5, 8, 9, 64].map(resting);
        assert_eq!(numbers, [0, 1, 1, 1, 2, 2, 3, 16]);
    }

    #[test]
    fn r43_a_wrong_password_costs_the_same_against_an_old_hash() {
        let now = params(40_000, 6);
        for own in [params(19_456, 2), params(40_000, 2), params(19_456, 6), params(40_000, 5)] {
            let rest = rest_of_the_work(&own, &now).unwrap();
            let work = |params: &Params| u64::from(params.m_cost()) * u64::from(params.t_cost());
            let (done, wanted) = (work(&own) + work(&rest), work(&now));
            assert!(done <= wanted && wanted - done < 10, "{done} of {wanted}");
            assert!(rest.m_cost() <= now.m_cost());
        }
        assert!(rest_of_the_work(&now, &now).is_none());
        assert!(rest_of_the_work(&params(50_000, 6), &now).is_none());
    }
}
