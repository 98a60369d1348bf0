//! Random histories and reads: who is told to have seen somebody is who has.
//!
//! What was seen is taken from the answers themselves: whose names came out, for whom, and how. So
//! nothing here knows how pay is found, or how the record of a look is kept.

mod acts;
mod check;
mod command;
mod doing;
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use stipend::service::integrity::Evidence;

use self::acts::{Act, act, give, of_everybody};
use self::check::AuditFilter;
use self::world::{NAMES, ORGS, Person, TEAMS, World};
use crate::model::one_of;
use crate::support::app::TestApp;
use crate::tampering;

#[derive(Clone, Debug)]
struct Story {
    people: BTreeMap<(&'static str, &'static str), Person>,
    crowded: bool,
    acts: Vec<Act>,
}

fn person() -> impl Strategy<Value = Person> {
    let kinds = one_of(&[(true, true), (true, true), (true, true), (true, false), (false, true)]);
    let team = prop::option::weighted(0.8, one_of(&TEAMS));
    (kinds, team).prop_map(|((is_employee, is_user), team)| Person {
        is_employee,
        is_user,
        is_disabled: false,
        team: team.filter(|_| is_employee),
    })
}

/// With more people in one org than are read at a time, whom everybody who may looks at, or without.
fn story(crowded: bool) -> impl Strategy<Value = Story> {
    let people = prop::collection::btree_map((one_of(&ORGS), one_of(&NAMES)), person(), 10..17);
    let grants = prop::collection::vec(give(), 14..24);
    let acts = prop::collection::vec(act(), if crowded { 10..20 } else { 40..80 });
    (people, grants, acts).prop_map(move |(people, mut acts, later)| {
        if crowded {
            acts.extend(of_everybody());
        }
        acts.extend(later);
        Story { people, crowded, acts }
    })
}

async fn live_through(story: &Story) {
    let app = TestApp::new().await;
    let mut world = World::new(&app, &story.people, story.crowded).await;
    for act in &story.acts {
        world.perform(act).await;
    }
    world.check(40, &AuditFilter::ALL).await;
    let mut by_command = 0;
    for (_, whom) in story.people.keys().filter(|(org, _)| *org == "acme").take(1) {
        by_command += world.check_commands(whom);
    }
    // And what is on record is all of that and no more, whether it is here or in an archive.
    let evidence = Evidence { kept: None, keys: None, archives: world.archives.clone() };
    let whole = (world.truth.len() + world.archived + by_command) as u64;
    assert_eq!(tampering::verify(&app, &evidence).await, Ok(whole));
}

fn tell(story: &Story) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(live_through(story));
}

/// The same stories each time; another PROPTEST_RNG_SEED and more PROPTEST_CASES ask for others.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_260_310),
        max_shrink_iters: 100,
        ..ProptestConfig::with_cases(cases)
    }
}

proptest! {
    #![proptest_config(config(8))]

    #[test]
    fn who_is_told_to_have_seen_somebody_is_who_has(story in story(false)) {
        tell(&story);
    }
}

proptest! {
    #![proptest_config(config(2))]

    #[test]
    fn who_has_seen_one_of_very_many_people_is_told_as_exactly(story in story(true)) {
        tell(&story);
    }
}
