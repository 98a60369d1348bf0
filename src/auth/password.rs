//! Password hashes (Argon2id, RFC 9106), and the gate that bounds what they may cost.
//!
//! A hash takes some 25 ms of a core and 19 MiB. So there are as many hashing threads as cores,
//! each with memory of its own that it reuses, at a lower priority than the threads that answer
//! requests; what waits for them waits in one bounded queue, and past that is turned away.

use std::num::NonZero;
use std::thread;

use argon2::password_hash;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::oneshot;

use crate::config::{Passwords, Secret};
use crate::domain::normalised_password;
use crate::entropy::{Entropy, EntropyError};

/// How many may wait for each hashing thread: about a second and a half of work.
const QUEUE_PER_THREAD: usize = 64;
/// Above the default 0, so that a storm of logins does not slow a read of pay. Not so far above
/// that logins starve.
const NICENESS: i32 = 10;
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
}

/// The queue before the hashing threads. Dropping it ends them.
#[derive(Debug)]
pub struct Gate {
    queue: flume::Sender<Job>,
}

#[derive(Debug)]
enum Job {
    Verify { password: Secret<String>, stored: Option<String>, answer: oneshot::Sender<Verdict> },
    Hash { password: Secret<String>, salt: [u8; SALT_BYTES], answer: oneshot::Sender<String> },
}

impl Gate {
    /// Starts the hashing threads.
    pub fn start(settings: Passwords) -> std::io::Result<Self> {
        let params = Params::new(settings.memory_kib, settings.iterations, 1, None)
            .map_err(|error| std::io::Error::other(error.to_string()))?;
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let (queue, jobs) = flume::bounded(threads * QUEUE_PER_THREAD);
        for n in 0..threads {
            let (jobs, params) = (jobs.clone(), params.clone());
            thread::Builder::new().name(format!("hash-{n}")).spawn(move || work(&jobs, &params))?;
        }
        Ok(Self { queue })
    }

    /// Compares a password, in its normal form, with a stored hash. Without one, works just as long and answers
    /// [`Verdict::Wrong`], so that the time tells nobody which users exist.
    pub async fn verify(
        &self,
        password: Secret<String>,
        stored: Option<String>,
    ) -> Result<Verdict, GateError> {
        let password = normalised_password(&password);
        let (answer, verdict) = oneshot::channel();
        self.enqueue(Job::Verify { password, stored, answer })?;
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
        self.enqueue(Job::Hash { password, salt, answer })?;
        hash.await.map_err(|_| GateError::Broken)
    }

    fn enqueue(&self, job: Job) -> Result<(), GateError> {
        self.queue.try_send(job).map_err(|error| match error {
            flume::TrySendError::Full(_) => GateError::Full,
            flume::TrySendError::Disconnected(_) => GateError::Broken,
        })
    }
}

/// One hashing thread, until the gate is dropped. A client that has left is not worked for.
fn work(jobs: &flume::Receiver<Job>, params: &Params) {
    // Of the calling thread alone (Linux counts priorities by thread).
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::warn!(%error, "the hashing threads run at normal priority");
    }
    let mut memory = Memory(Vec::new());
    for job in jobs {
        match job {
            Job::Verify { answer, .. } if answer.is_closed() => {}
            Job::Hash { answer, .. } if answer.is_closed() => {}
            Job::Verify { password, stored, answer } => {
                let verdict = verify(password.expose(), stored.as_deref(), params, &mut memory);
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
