//! Where a password comes from; never an argument, which other users of the machine can see.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use super::{Failure, other};
use crate::config::Secret;

/// At least so many characters (NIST SP 800-63B-4 section 3.1.1.2).
const SHORTEST: usize = 15;
/// At most so many bytes.
const LONGEST: usize = 1024;
/// More than the longest with a line break after it is not read.
const READ: u64 = LONGEST as u64 + 3;

/// Where to read a password from.
#[derive(Debug, clap::Args)]
pub(super) struct Password {
    /// Read the password from this file (its text without the line break at the end)
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Password {
    /// The password: from the file, from a hidden prompt, or from standard input where that is no
    /// terminal.
    pub(super) fn read(self) -> Result<Secret<String>, Failure> {
        let text = match self.password_file {
            Some(path) => {
                let file = std::fs::File::open(&path);
                file.and_then(read_text).map_err(|error| {
                    Failure::Other(format!("{} cannot be read ({error})", path.display()))
                })?
            }
            None if std::io::stdin().is_terminal() => prompt()?,
            None => read_text(std::io::stdin()).map_err(|error| {
                Failure::Other(format!("standard input cannot be read ({error})"))
            })?,
        };
        let password = text.strip_suffix('\n').unwrap_or(&text);
        let password = password.strip_suffix('\r').unwrap_or(password);
        if password.chars().count() < SHORTEST {
            return Err(Failure::Other(format!(
                "a password has {SHORTEST} characters at least; a sentence makes a good one"
            )));
        }
        if password.len() > LONGEST {
            return Err(Failure::Other(format!("a password has {LONGEST} bytes at most")));
        }
        Ok(Secret::new(password.to_owned()))
    }
}

fn read_text(from: impl Read) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    from.take(READ).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == READ {
        return Err(std::io::Error::other(format!("a password has {LONGEST} bytes at most")));
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8"))
}

fn prompt() -> Result<String, Failure> {
    let first = rpassword::prompt_password("Password: ").map_err(other)?;
    if rpassword::prompt_password("Again: ").map_err(other)? != first {
        return Err(Failure::Other("the two passwords differ".into()));
    }
    Ok(first)
}
