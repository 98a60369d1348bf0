//! Values that are valid once they exist: parsed at the edge, pure, without I/O.

mod grant;
mod key;
mod money;
mod password;
mod text;
mod user;

pub use grant::{InvalidReach, Permission, Reach};
pub use key::{KeyAlgorithm, Purpose};
pub use money::{InvalidMoney, Money, Total};
pub use password::{
    BadPassword, GoodPassword, LONGEST as LONGEST_PASSWORD, normalised as normalised_password,
};
pub use text::{InvalidLine, Line};
pub use user::{Account, InvalidName, OrgName, TeamName, TokenName, TypedName, Username};
