//! Who acts on the command line: the operator, who may do everything, on record like everybody.

use std::sync::Arc;
use std::time::Duration;

use super::{Failure, other};
use crate::auth::sealing::{self, Asking};
use crate::auth::{self, Gate, Keys, Ports, Root, Sealer, StartError, Throttle};
use crate::config::{Config, KeySource, Tokens};
use crate::domain::{Account, OrgName, Username};
use crate::entropy::random_id;
use crate::policy::{Allowed, Principal, Recent, Right};
use crate::service::orgs::{self, OPERATOR};
use crate::service::{Act, Refused};
use crate::store::Db;
use crate::store::audit::Origin;

/// The operator, with the database open.
pub(super) struct Operator<'a> {
    /// What every act needs.
    pub act: Act<'a>,
    /// The org of a name without one.
    pub default_org: OrgName,
    key: &'a KeySource,
    /// What the settings say of tokens.
    pub tokens: &'a Tokens,
}

/// Opens the database for a command, and closes it again.
pub(super) async fn work(
    config: &Config,
    ports: Ports,
    command: impl AsyncFnOnce(&Operator<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let default_org = auth::default_org(config)?;
    let request_id = random_id(ports.entropy.as_ref()).map_err(other)?;
    let origin = Origin { client: "local".into(), request_id };
    // Its threads wait for work and take their memory with the first.
    let gate = Gate::start(config.passwords).map_err(StartError::from)?;
    let db = Db::open(&config.database).await.map_err(StartError::from)?;
    let act = Act { db: &db, ports: &ports, gate: &gate, origin: &origin };
    let done =
        command(&Operator { act, default_org, key: &config.key, tokens: &config.tokens }).await;
    db.close().await;
    done
}

impl Operator<'_> {
    /// The configured key, made where it is the default file and not there.
    pub(super) fn root(&self) -> Result<Root, Failure> {
        let root = Root::read_or_generate(self.key, self.act.ports.entropy.as_ref());
        Ok(root.map_err(StartError::from)?)
    }

    /// What seals the database's secrets. The configured key must be the one that the servers use.
    pub(super) async fn sealer(&self) -> Result<Arc<Sealer>, Failure> {
        let (db, ports) = (self.act.db, self.act.ports);
        Ok(sealing::open(db, self.key, ports, Asking::Command).await?)
    }

    /// The keys that the servers sign with.
    pub(super) async fn keys(&self) -> Result<Keys, Failure> {
        Ok(Keys::new(self.sealer().await?))
    }

    /// The counters of failed sign-ins, which the servers' key names.
    pub(super) async fn throttle(&self) -> Result<Throttle, Failure> {
        Ok(Throttle::new(self.sealer().await?.as_ref()))
    }

    /// The operator in an org, which must be there: the wrong one would look like an empty one.
    pub(super) async fn in_org(&self, org: &OrgName) -> Result<Principal, Failure> {
        if !orgs::exists(self.act, org).await? {
            return Err(Failure::Other(format!("there is no org {org}: stipend org list")));
        }
        Ok(Principal::operator(org.clone(), Username::parse(OPERATOR).map_err(other)?))
    }

    /// The proof that the operator holds a permission over an org, which must be there.
    pub(super) async fn allow<P: Right>(&self, org: &OrgName) -> Result<Allowed<P>, Failure> {
        let principal = self.in_org(org).await?;
        Ok(principal.allow(self.act.now().day()).map_err(Refused::from)?)
    }

    /// The same proof for what needs a recent sign-in, of which the operator, who has none, is free.
    pub(super) async fn allow_recent<P: Right>(
        &self,
        org: &OrgName,
    ) -> Result<Recent<Allowed<P>>, Failure> {
        let allowed = self.allow(org).await?;
        allowed.recent(self.act.now(), Duration::ZERO).map_err(other)
    }
}

/// Tells whom there is not, where a command finds nobody; `kind` is a user, an employee or either.
pub(super) fn missing(kind: &'static str, account: &Account) -> impl FnOnce(Refused) -> Failure {
    move |error| match error {
        Refused::NotFound => nobody(kind, account),
        other => other.into(),
    }
}

/// There is nobody of that kind and name.
pub(super) fn nobody(kind: &str, account: &Account) -> Failure {
    let org = &account.org;
    Failure::Other(format!("there is no {kind} {account}: stipend user list --org {org}"))
}
