//! Reading and recording pay.

use serde_json::{Map, Value, json};

use super::{Act, Precondition, Refused, asked, members};
use crate::clock::Timestamp;
use crate::domain::{Account, Username};
use crate::policy::{Allowed, Write};
use crate::store::Claim;
use crate::store::audit::Action;
use crate::store::disclosure::{self, Disclosed, History, Purpose, Shape, Sum, Withheld};
use crate::store::pay::{PayQuery, Sort};
use crate::store::people;
use crate::store::rates::{self, NewRate, Rate};

/// A rate as it was recorded, and the version of the person's history that it made.
#[derive(Debug)]
pub struct Recorded {
    /// The rate.
    pub rate: Rate,
    /// How many rates of the person there are now.
    pub version: i64,
}

/// The pay of everybody whom the caller may see, as it was asked for. `fields` are what the answer
/// shows of each row, for the record; in a shape, as text, unless the rows are too many.
pub async fn list(
    act: Act<'_>,
    claim: Claim,
    asked: PayQuery,
    fields: &[&str],
    export: bool,
    shape: Option<Shape<'_>>,
) -> Result<Disclosed, Withheld> {
    let action = if export { Action::ExportPay } else { Action::ListPay };
    let mut detail = described(&asked);
    detail.insert("fields".into(), fields.into());
    let purpose = Purpose { action, at: act.now(), origin: act.origin, detail };
    disclosure::pay(act.db, claim, asked, &purpose, shape).await
}

/// What everybody whom the caller may see is paid together.
pub async fn sums(act: Act<'_>, claim: Claim, asked: &PayQuery) -> Result<Vec<Sum>, Withheld> {
    let detail = described(asked);
    let purpose = Purpose { action: Action::SumPay, at: act.now(), origin: act.origin, detail };
    disclosure::sums(act.db, claim, asked, &purpose).await
}

/// A person's pay with its history, as far as it was known at a time.
pub async fn history(
    act: Act<'_>,
    claim: Claim,
    username: &Username,
    known_at: Option<Timestamp>,
) -> Result<History, Withheld> {
    let mut detail = Map::new();
    if let Some(known_at) = known_at {
        detail.insert("known_at".into(), known_at.to_string().into());
    }
    let purpose =
        Purpose { action: Action::ReadHistory, at: act.now(), origin: act.origin, detail };
    disclosure::history(act.db, claim, username, known_at, &purpose).await
}

/// Of each of these rates, which are by day and revision, whether a later one has corrected it.
pub fn superseded(rates: &[Rate]) -> impl Iterator<Item = bool> {
    let later = rates.iter().skip(1).map(|rate| Some(rate.effective_from)).chain([None]);
    rates.iter().zip(later).map(|(rate, later)| later == Some(rate.effective_from))
}

/// What was asked for, as far as it differs from everything.
fn described(query: &PayQuery) -> Map<String, Value> {
    let mut detail = Map::new();
    let mut say = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            detail.insert(name.into(), value.into());
        }
    };
    say("as_of", Some(query.as_of.to_string()));
    say("known_at", query.known_at.map(|moment| moment.to_string()));
    say("q", query.filter.q.clone());
    say("team", query.filter.team.as_ref().map(ToString::to_string));
    // An order tells of what it is by, also where that is not shown.
    let is_by_name = query.sort == Sort::Username;
    say("sort", (!is_by_name).then(|| asked::sort_text(query.sort, query.descending)));
    detail
}

/// Records a rate of an employee. One of a day that has one is a correction: both stay, and the
/// later one counts.
pub async fn record(
    act: Act<'_>,
    allowed: &Allowed<Write>,
    username: &Username,
    new: NewRate,
    precondition: &Precondition,
) -> Result<Recorded, Refused> {
    let account = Account::in_org(&allowed.account().org, username);
    let mut tx = act.db.begin().await?;
    rates::lock(tx.access(), &account).await?;
    let allowed = act.renew(&mut tx, allowed).await?;
    let person = people::find_reached(tx.access(), &allowed, username).await?;
    person.filter(|person| person.is_employee).ok_or(Refused::NotFound)?;
    let version = rates::count(tx.access(), &account).await?;
    precondition.check(version)?;

    let (now, recorded_by) = (act.now(), allowed.account().username.to_string());
    let revision = rates::record(tx.access(), &allowed, username, &new, now).await?;
    let detail = json!({
        "effective_from": new.effective_from.to_string(), "revision": revision,
    });
    let detail = members(detail);
    act.record(&mut tx, &allowed, Action::RecordPay, username, detail).await?;
    tx.commit().await?;
    let NewRate { effective_from, salary, note } = new;
    let rate = Rate { effective_from, revision, salary, note, recorded_by, recorded_at: now };
    Ok(Recorded { rate, version: version + 1 })
}
