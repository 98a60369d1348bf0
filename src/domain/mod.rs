//! Values that are valid once they exist: parsed at the edge, pure, without I/O.

mod grant;
mod money;
mod user;

pub use grant::{Permission, Reach};
pub use money::Money;
pub use user::{Account, InvalidName, OrgName, Username};
