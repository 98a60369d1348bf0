//! `stipend user`.

use clap::ArgGroup;
use serde::Serialize;

use super::operator::{Operator, missing};
use super::output::{NOTHING, Pages, json, line, message, table};
use super::password::{self, Password};
use super::values::Search;
use super::{Failure, grant};
use crate::domain::{Line, OrgName, TeamName, TypedName, Username};
use crate::policy::Manage;
use crate::service::people::{self, Changes, Employee, NewPerson};
use crate::service::shown::{GrantBody, PersonBody};
use crate::service::{Precondition, Refused, asked, factors, grants, orgs, passwords};
use crate::store::people::{Filter, Person};

/// Add, list and change people: users, who sign in, and employees, who are paid
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Add a person: a user, who may read their own pay, an employee, or both
    ///
    /// The password comes from a hidden prompt, from standard input when that is no terminal, or
    /// from a file, and is the user's for good; never from an argument, which other users of the
    /// machine can see. With --one-time it is made here, and its user chooses their own. An org that
    /// is not there is added too. Who is a user already can become an employee, and the reverse.
    Add(Add),
    /// List people by name
    List(List),
    /// Show a person and every grant that they have had
    Show {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        name: TypedName,
        /// Write one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Change what an employee is called or their team; --name makes a user an employee
    Change(Change),
    /// Disable a user: they cannot sign in, and their sessions end at once
    Disable {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        name: TypedName,
    },
    /// Enable a disabled user again
    Enable {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        name: TypedName,
    },
    /// Give a user another password, and end their sessions
    ///
    /// The password comes from a hidden prompt, from standard input when that is no terminal, or
    /// from a file, and is the user's for good; never from an argument, which other users of the
    /// machine can see. With --one-time it is made here, and its user chooses their own.
    SetPassword {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        name: TypedName,
        #[command(flatten)]
        password: Password,
    },
    /// Forget the failed sign-ins that hold a user's next one back
    ///
    /// What counts against a network stays, and fades within half an hour.
    Unlock {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        name: TypedName,
    },
    /// Take the second factor off a user who has lost it, and end their sessions
    ///
    /// Their password alone lets them in then, and they choose another one first, since one beside
    /// a second factor may be short.
    ResetFactor {
        /// NAME in the default org, or ORG/NAME
        #[arg(value_parser = TypedName::parse)]
        name: TypedName,
    },
}

#[derive(clap::Args)]
pub(super) struct Add {
    /// NAME in the default org, or ORG/NAME
    #[arg(value_parser = TypedName::parse)]
    name: TypedName,
    #[command(flatten)]
    password: Password,
    /// What the person is called: makes them an employee
    #[arg(long = "name", value_name = "FULL NAME", value_parser = Line::parse)]
    full_name: Option<Line>,
    /// The employee's team
    #[arg(long, value_parser = TeamName::parse, requires = "full_name")]
    team: Option<TeamName>,
    /// An employee alone, who does not sign in and needs no password
    #[arg(long, requires = "full_name", conflicts_with_all = ["password_file", "one_time"])]
    no_sign_in: bool,
}

#[derive(clap::Args)]
pub(super) struct List {
    /// The org; the default one without this
    #[arg(long, value_parser = OrgName::parse)]
    org: Option<OrgName>,
    /// Only those whose user name or full name has this in it
    #[arg(long, value_name = "TEXT", value_parser = asked::parse_search)]
    q: Option<Search>,
    /// Only the members of this team
    #[arg(long, value_parser = TeamName::parse)]
    team: Option<TeamName>,
    /// Write one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true)
    .args(["full_name", "team", "no_team"])))]
pub(super) struct Change {
    /// NAME in the default org, or ORG/NAME
    #[arg(value_parser = TypedName::parse)]
    name: TypedName,
    /// What the person is called
    #[arg(long = "name", value_name = "FULL NAME", value_parser = Line::parse)]
    full_name: Option<Line>,
    /// The team to move to
    #[arg(long, value_parser = TeamName::parse, conflicts_with = "no_team")]
    team: Option<TeamName>,
    /// No team any more
    #[arg(long)]
    no_team: bool,
}

/// How many people are read at a time.
const PAGE: u16 = 1000;

pub(super) async fn run(command: Command, operator: &Operator<'_>) -> Result<(), Failure> {
    match command {
        Command::Add(new) => add(new, operator).await,
        Command::List(asked) => list(asked, operator).await,
        Command::Show { name, json } => show(&name, json, operator).await,
        Command::Change(Change { name, full_name, team, no_team }) => {
            let team = if no_team { Some(None) } else { team.map(Some) };
            change(&name, Changes { full_name, team, disabled: None }, "changed", operator).await
        }
        Command::Disable { name } => {
            let disable = Changes { disabled: Some(true), ..Changes::default() };
            change(&name, disable, "disabled, and signed out everywhere:", operator).await
        }
        Command::Enable { name } => {
            let enable = Changes { disabled: Some(false), ..Changes::default() };
            change(&name, enable, "enabled", operator).await
        }
        Command::SetPassword { name, password } => set_password(&name, password, operator).await,
        Command::Unlock { name } => unlock(&name, operator).await,
        Command::ResetFactor { name } => reset_factor(&name, operator).await,
    }
}

async fn add(new: Add, operator: &Operator<'_>) -> Result<(), Failure> {
    let account = new.name.account(&operator.default_org);
    let user = match new.no_sign_in {
        true => None,
        false => Some(new.password.get(operator, &account).await?),
    };
    match orgs::add(operator.act, &account.org).await {
        Ok(()) => message(&format!("added the org {}", account.org)),
        Err(Refused::Exists(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let what = match (&new.full_name, &user) {
        (Some(_), Some(_)) => "an employee who may read their own pay",
        (Some(_), None) => "an employee who does not sign in",
        (None, _) => "who may read their own pay",
    };
    let team = new.team;
    let employee = new.full_name.map(|full_name| Employee { full_name, team });
    let allowed = operator.allow_recent::<Manage>(&account.org).await?;
    let person = NewPerson { username: account.username.clone(), employee, user };
    let added = people::add(operator.act, &allowed, person).await?;
    message(&format!("added {account}, {what}"));
    added.password.as_ref().map_or(Ok(()), password::tell)
}

async fn list(asked: List, operator: &Operator<'_>) -> Result<(), Failure> {
    let org = asked.org.as_ref().unwrap_or(&operator.default_org);
    let allowed = operator.allow::<Manage>(org).await?;
    let filter = Filter { q: asked.q.flatten(), team: asked.team };
    let mut writer = Pages::new(["USERNAME", "NAME", "TEAM", "EMPLOYEE", "USER"], asked.json)?;
    let mut after: Option<Username> = None;
    loop {
        let page = people::list(operator.act, &allowed, &filter, after.as_ref(), PAGE).await?;
        if !writer.write(&page, row, |person| PersonBody::from(person))? {
            return Ok(());
        }
        after = page.last().map(|person| person.username.clone());
        if page.len() < usize::from(PAGE) {
            return writer.end();
        }
    }
}

fn row(person: &Person) -> [String; 5] {
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.into());
    [
        person.username.to_string(),
        or_nothing(person.full_name.clone()),
        or_nothing(person.team.as_ref().map(ToString::to_string)),
        if person.is_employee { "yes" } else { "no" }.into(),
        match (person.is_user, person.disabled_at) {
            (false, _) => "no",
            (true, None) => "yes",
            (true, Some(_)) => "disabled",
        }
        .into(),
    ]
}

/// A person and every grant that they have had.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    person: PersonBody,
    grants: Vec<GrantBody>,
}

async fn show(name: &TypedName, as_json: bool, operator: &Operator<'_>) -> Result<(), Failure> {
    let account = name.account(&operator.default_org);
    let allowed = operator.allow::<Manage>(&account.org).await?;
    let act = operator.act;
    let person = people::get(act, &allowed, &account.username).await;
    let person = person.map_err(missing("person", &account))?;
    let grants = grants::list(act, &allowed, &account.username).await?;
    let today = act.now().day();
    if as_json {
        let person = PersonBody::from(&person);
        return json(&Shown { person, grants: GrantBody::all(&grants, today) });
    }
    table(["USERNAME", "NAME", "TEAM", "EMPLOYEE", "USER"], &[row(&person)])?;
    if person.is_user {
        line("")?;
        grant::print(&grants, today)?;
    }
    Ok(())
}

async fn change(
    name: &TypedName,
    changes: Changes,
    done: &str,
    operator: &Operator<'_>,
) -> Result<(), Failure> {
    let account = name.account(&operator.default_org);
    let allowed = operator.allow_recent::<Manage>(&account.org).await?;
    let username = &account.username;
    people::change(operator.act, &allowed, username, changes, &Precondition::Exists)
        .await
        .map_err(missing("person", &account))?;
    message(&format!("{done} {account}"));
    Ok(())
}

async fn set_password(
    name: &TypedName,
    password: Password,
    operator: &Operator<'_>,
) -> Result<(), Failure> {
    let account = name.account(&operator.default_org);
    let allowed = operator.allow_recent::<Manage>(&account.org).await?;
    let password = password.get(operator, &account).await?;
    let made = passwords::set(operator.act, &allowed, &account.username, password)
        .await
        .map_err(missing("user", &account))?;
    message(&format!("set the password of {account}, who is signed out everywhere"));
    made.as_ref().map_or(Ok(()), password::tell)
}

async fn unlock(name: &TypedName, operator: &Operator<'_>) -> Result<(), Failure> {
    let account = name.account(&operator.default_org);
    let allowed = operator.allow_recent::<Manage>(&account.org).await?;
    let throttle = operator.throttle().await?;
    let any = people::unlock(operator.act, &throttle, &allowed, &account.username)
        .await
        .map_err(missing("user", &account))?;
    message(&match any {
        true => format!("unlocked {account}"),
        false => format!("nothing held {account} back"),
    });
    Ok(())
}

async fn reset_factor(name: &TypedName, operator: &Operator<'_>) -> Result<(), Failure> {
    let account = name.account(&operator.default_org);
    let allowed = operator.allow_recent::<Manage>(&account.org).await?;
    factors::reset(operator.act, &allowed, &account.username)
        .await
        .map_err(missing("user", &account))?;
    message(&format!("took the second factor off {account}, who is signed out everywhere"));
    Ok(())
}
