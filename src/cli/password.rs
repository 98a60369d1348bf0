//! Where a password comes from, and where one goes that was made here. Never an argument, which
//! other users of the machine can see.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use super::operator::Operator;
use super::output::{line, message};
use super::{Failure, other};
use crate::config::Secret;
use crate::domain::{Account, BadPassword, LONGEST_PASSWORD as LONGEST};
use crate::service::passwords::{self, NewPassword, OneTime};

/// More than the longest with a line break after it is not read.
const READ: u64 = LONGEST as u64 + 3;

/// Where to read a password from.
#[derive(Debug, clap::Args)]
pub(super) struct Password {
    /// Read the password from this file (its text without the line break at the end)
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Make a password, and write it to standard output: it must be changed before anything else,
    /// within 72 hours
    #[arg(long, conflicts_with = "password_file")]
    one_time: bool,
}

impl Password {
    /// The password: made, or read and found good for a user.
    pub(super) async fn get(
        self,
        operator: &Operator<'_>,
        owner: &Account,
    ) -> Result<NewPassword, Failure> {
        if self.one_time {
            return Ok(NewPassword::OneTime);
        }
        let password = self.read()?;
        Ok(NewPassword::Given(passwords::check(operator.act, owner, &password, "password").await?))
    }

    /// A password from the file, from a hidden prompt, or from standard input where that is no
    /// terminal.
    fn read(self) -> Result<Secret<String>, Failure> {
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
        Ok(Secret::new(password.to_owned()))
    }
}

/// Tells a password that was made.
pub(super) fn tell(made: &OneTime) -> Result<(), Failure> {
    line(made.password.expose())?;
    message(&format!(
        "it must be changed after the first sign-in, and cannot be signed in with after {}",
        made.expires_at
    ));
    Ok(())
}

fn read_text(from: impl Read) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    from.take(READ).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == READ {
        return Err(std::io::Error::other(BadPassword::TooLong));
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
