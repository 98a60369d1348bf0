use super::*;
use crate::clock::Timestamp;

fn principal(permissions: &[Permission], perms: &[&str]) -> Principal {
    let account =
        Account { org: OrgName::parse("acme").unwrap(), username: Username::parse("ann").unwrap() };
    let grants = permissions.iter().enumerate().map(|(i, &permission)| Grant {
        grant_id: i.to_string(),
        permission,
        reach: Reach::Org,
        until: None,
    });
    let perms: Vec<String> = perms.iter().map(ToString::to_string).collect();
    Principal::new(
        account,
        "s".into(),
        perms,
        Standing { grants: grants.collect(), version: 1, ..Standing::default() },
    )
}

fn reads(principal: &Principal) -> Result<Vec<String>, Denied> {
    let allowed = principal.allow::<Read>(Timestamp::from_millis(0).day())?;
    Ok(allowed.visibility().grant_ids().map(String::from).collect())
}

fn lacking_a_grant() -> Denied {
    Denied { needed: Permission::Read, lack: Lack::Grant }
}

#[test]
fn a_session_permits_no_more_than_its_limits() {
    let all = Permission::ALL.map(|permission| permission.name());
    let limited = |limits| {
        let Principal { account, perms, standing, .. } = principal(&Permission::ALL, &all);
        Principal::new(account, "s".into(), perms, Standing { limits, ..standing })
    };
    let day = Timestamp::from_millis(0).day();
    let machine = limited(Limits { is_machine: true, ..Limits::default() });
    assert_eq!(machine.allow::<Manage>(day).unwrap_err().lack, Lack::Person);
    assert_eq!(machine.clone().in_person().unwrap_err(), NotInPerson);
    assert!(limited(Limits::default()).in_person().is_ok());
    assert!(machine.allow::<Write>(day).is_ok() && machine.allow::<Audit>(day).is_ok());
    let weak = limited(Limits { lacks_second_factor: true, ..Limits::default() });
    assert_eq!(weak.allow::<Manage>(day).unwrap_err().lack, Lack::SecondFactor);
    assert_eq!(weak.allow::<Write>(day).unwrap_err().lack, Lack::SecondFactor);
    assert!(weak.allow::<Read>(day).is_ok() && weak.allow::<Audit>(day).is_ok());
    let new = limited(Limits { password_must_change: true, ..Limits::default() });
    assert_eq!(new.allow::<Read>(day).unwrap_err().lack, Lack::OwnPassword);
    assert!(new.grants().is_empty() && new.with_all(weak.grants().to_vec()).grants().is_empty());
}

#[test]
fn a_sign_in_is_recent_for_so_long_and_a_script_never_signs_in() {
    let age = Duration::from_secs(900);
    let signed_in = |signed_in_at| {
        let Principal { account, perms, standing, .. } = principal(&[], &[]);
        Principal::new(account, "s".into(), perms, Standing { signed_in_at, ..standing })
    };
    let at = Timestamp::from_millis(5_000);
    assert!(signed_in(Some(at)).recent(at.plus(age), age).is_ok());
    let late = at.plus(age).plus(Duration::from_millis(1));
    assert_eq!(signed_in(Some(at)).recent(late, age).unwrap_err().max_age, age);
    assert!(signed_in(None).recent(at, age).is_err());
    let operator =
        Principal::operator(OrgName::parse("acme").unwrap(), Username::parse("operator").unwrap());
    assert!(operator.recent(late, age).is_ok());
}

#[test]
fn nothing_is_allowed_without_a_grant() {
    let denied = Err(lacking_a_grant());
    assert_eq!(reads(&principal(&[], &["read"])), denied);
}

#[test]
fn no_permission_implies_another() {
    let others = principal(
        &[Permission::Write, Permission::Manage, Permission::Audit],
        &["read", "write", "manage", "audit"],
    );
    assert_eq!(reads(&others), Err(lacking_a_grant()));
}

#[test]
fn a_token_only_narrows_what_the_grants_allow() {
    use Permission::{Read, Write};
    assert_eq!(reads(&principal(&[Write, Read], &["read"])), Ok(vec!["1".into()]));
    let denied = Err(lacking_a_grant());
    assert_eq!(reads(&principal(&[Read], &["write"])), denied);
    assert_eq!(reads(&principal(&[Read], &["READ", "read ", "read,write"])), denied);
    assert_eq!(reads(&principal(&[Read], &[])), denied);
}

fn day(text: &str) -> Option<Day> {
    Some(Day::parse(text).unwrap())
}

#[test]
fn nobody_holds_more_than_their_grants() {
    let name = |name: &str| Username::parse(name).unwrap();
    let team = |name: &str| TeamName::parse(name).unwrap();
    let account = Account { org: OrgName::parse("acme").unwrap(), username: name("ann") };
    let grant = |reach: &str, until| Grant {
        grant_id: reach.into(),
        permission: Permission::Read,
        reach: Reach::parse(reach).unwrap(),
        until,
    };
    let holds = |mine: Grant, theirs: &str, whose_team: Option<&str>, until| {
        let live = Standing { grants: vec![mine], ..Standing::default() };
        let ann = Principal::new(account.clone(), "s".into(), vec!["read".into()], live);
        let reach = Reach::parse(theirs).unwrap();
        let whose_team = whose_team.map(team);
        ann.holds(Permission::Read, &name("bob"), &reach, whose_team.as_ref(), until).is_ok()
    };
    for reach in ["own", "user:cyd", "team:ops", "org"] {
        assert!(holds(grant("org", None), reach, None, None), "{reach}");
    }
    assert!(!holds(grant("own", None), "own", None, None), "hers is not his");
    assert!(holds(grant("own", None), "user:ann", None, None));
    assert!(holds(grant("user:bob", None), "own", None, None));
    assert!(!holds(grant("user:bob", None), "user:cyd", None, None));
    assert!(holds(grant("team:ops", None), "team:ops", None, None));
    assert!(holds(grant("team:ops", None), "user:cyd", Some("ops"), None));
    assert!(!holds(grant("team:ops", None), "user:cyd", Some("dev"), None));
    assert!(!holds(grant("team:ops", None), "user:cyd", None, None));
    assert!(!holds(grant("team:ops", None), "org", Some("ops"), None));

    let until_may = || grant("org", day("2026-05-31"));
    assert!(holds(until_may(), "org", None, day("2026-05-31")));
    assert!(!holds(until_may(), "org", None, day("2026-06-01")));
    assert!(!holds(until_may(), "org", None, None));
}

#[test]
fn a_renewed_proof_is_narrowed_by_the_same_token() {
    let caller = principal(&[Permission::Read], &["read"]);
    let today = Timestamp::from_millis(0).day();
    let allowed = caller.allow::<Read>(today).unwrap();
    let grant =
        |permission| Grant { grant_id: "g".into(), permission, reach: Reach::Own, until: None };
    let grants = vec![grant(Permission::Manage), grant(Permission::Read)];
    let standing = Standing { grants, version: 2, ..Standing::default() };
    let renewed = allowed.renew(standing, today).unwrap();
    assert_eq!(renewed.principal().grants().len(), 1);
    assert!(!renewed.visibility().whole_org());
    assert_eq!(renewed.visibility().version(), 2);
    let ended = allowed.renew(Standing { version: 3, ..Standing::default() }, today);
    assert_eq!(ended.unwrap_err(), lacking_a_grant());

    let tomorrow = Timestamp::from_millis(24 * 60 * 60 * 1000).day();
    let last = Grant { until: Some(today), ..grant(Permission::Read) };
    let standing = || Standing { grants: vec![last.clone()], ..Standing::default() };
    assert_eq!(allowed.renew(standing(), today).unwrap().visibility().today(), today);
    assert_eq!(allowed.renew(standing(), tomorrow).unwrap_err(), lacking_a_grant());
}
