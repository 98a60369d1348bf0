//! Why somebody sees, or does not see, somebody's pay.

use super::{Act, Refused};
use crate::domain::{Account, Permission, Username};
use crate::policy::{Audit, Manage, Principal};
use crate::store::grants::{self, GrantRecord};
use crate::store::people;

/// The answer.
#[derive(Debug)]
pub struct Explanation {
    /// The grants by which the one sees the other's pay; none: they do not see it.
    pub by: Vec<GrantRecord>,
    /// Every grant by which anybody sees it, by their names.
    pub everybody: Vec<GrantRecord>,
}

/// Why `who` sees the pay of `whom`, and who else does, for a caller who manages or audits `whom`.
pub async fn explain(
    act: Act<'_>,
    caller: &Principal,
    who: &Username,
    whom: &Username,
) -> Result<Explanation, Refused> {
    let today = act.now().day();
    let mut reader = act.db.reader().await?;
    let managed = match caller.allow::<Manage>(today) {
        Ok(allowed) => people::find_reached(reader.access(), &allowed, whom).await?,
        Err(_) => None,
    };
    let audited = match caller.allow::<Audit>(today) {
        Ok(allowed) if managed.is_none() => {
            people::find_reached(reader.access(), &allowed, whom).await?
        }
        // Whoever neither manages nor audits is told what they lack.
        Err(_) if managed.is_none() => {
            caller.allow::<Manage>(today)?;
            None
        }
        _ => None,
    };
    managed.or(audited).ok_or(Refused::NotFound)?;
    let account = Account::in_org(&caller.account().org, whom);
    let everybody =
        grants::list_reaching(reader.access(), &account, Permission::Read, today).await?;
    let by = everybody.iter().filter(|record| record.holder == *who).cloned().collect();
    Ok(Explanation { by, everybody })
}
