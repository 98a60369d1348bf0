//! What Argon2 itself can do here: as many threads as cores hash at OWASP's parameters, and do
//! nothing else, for the seconds of `BENCH_SECONDS`. Prints hashes a second.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures, and prints")]

use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Block, Params, Version};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let duration = Duration::from_secs_f64(std::env::var("BENCH_SECONDS")?.parse()?);
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let running: Vec<_> = (0..threads).map(|_| thread::spawn(move || hash_for(duration))).collect();
    let mut per_second = 0.0;
    for thread in running {
        per_second += thread.join().map_err(|_| "a thread failed")??;
    }
    println!("{per_second}");
    Ok(())
}

/// Hashes until the time is over; gives hashes a second of this thread.
fn hash_for(duration: Duration) -> Result<f64, Failure> {
    let params = Params::new(19_456, 2, 1, None).map_err(|error| error.to_string())?;
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let (began, mut hashes) = (Instant::now(), 0.0);
    while began.elapsed() < duration {
        argon2
            .hash_password_into_with_memory(b"ahoy", &[7; 16], &mut [0; 32], &mut memory)
            .map_err(|error| error.to_string())?;
        hashes += 1.0;
    }
    Ok(hashes / began.elapsed().as_secs_f64())
}
