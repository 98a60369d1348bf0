//! Whose checkpoints are believed: whoever can rewrite the database can also put a key into it, and
//! whoever has stolen a key can sign with it after its end.

use std::time::Duration;

use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use stipend::auth::checkpoint::Checkpoint;
use stipend::auth::keys::CheckpointKey;
use stipend::clock::{Clock, Timestamp};
use stipend::service::integrity::{self, Evidence, NotVerified};
use stipend::service::keys;

use crate::archiving::{archive, two_days};
use crate::jwt::{encode, segments};
use crate::support::app::TestApp;
use crate::tampering::{act, checkpoint, flaw, origin, trail, verify};

const HOUR: Duration = Duration::from_secs(3600);

/// What an auditor keeps elsewhere.
async fn published(app: &TestApp) -> String {
    let auth = app.auth();
    auth.keys.read(&auth.db, app.clock.now()).await.unwrap();
    app.anonymous().get("/.well-known/checkpoint-keys.json").send().await.text().to_owned()
}

/// A checkpoint verified by a kept set of keys.
fn by(evidence: &Evidence, keys: &str) -> Evidence {
    Evidence { keys: Some(("kept.json".into(), keys.into())), ..evidence.clone() }
}

fn kept(line: &str) -> Evidence {
    Evidence { kept: Some(("kept".into(), line.into())), ..Evidence::default() }
}

/// Where the trail ends now, said to be of another time, as whoever has the key can sign it.
async fn signed_by(app: &TestApp, key: &CheckpointKey, at: Timestamp) -> Evidence {
    let mut reader = app.auth().db.reader().await.unwrap();
    let taken = Checkpoint::take(reader.access(), at).await.unwrap();
    kept(&taken.sign(key).unwrap())
}

/// Ends the key that signs, as `stipend key retire --now` does. Gives its id.
async fn end_key(app: &TestApp) -> String {
    let kid = app.auth().keys.ring().checkpoint_key().unwrap().kid().to_owned();
    keys::revoke(act(app, &origin()), &app.auth().sealer, &kid, None).await.unwrap();
    kid
}

#[tokio::test]
async fn r82_a_checkpoint_by_a_key_that_was_put_into_the_database_is_refused_by_the_kept_keys() {
    let app = trail().await;
    let (keys, true_one) = (published(&app).await, checkpoint(&app).await);
    let signing = app.auth().keys.ring().checkpoint_key().unwrap().kid().to_owned();
    let verified = integrity::verify(act(&app, &origin()), &by(&true_one, &keys), |_| {}).await;
    let verified = verified.unwrap();
    assert!(verified.signers.iter().eq([&signing]));
    assert_eq!(verified.keys_not_kept, [""; 0]);

    // Whoever rewrites the trail signs it by a key of their own.
    let pair = Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap();
    let x = encode(pair.public_key().as_ref());
    let (_, line) = true_one.kept.clone().unwrap();
    let header = json!({ "typ": "stipend-checkpoint", "alg": "EdDSA", "kid": "feedfeedfeedfeed" });
    let message = format!("{}.{}", encode(header.to_string()), segments(line.trim())[1]);
    let forged = format!("{message}.{}", encode(pair.sign(message.as_bytes())));
    app.database
        .execute(&format!(
            "INSERT INTO keys (kid, purpose, algorithm, public_key, added_at, signs_from) \
             VALUES ('feedfeedfeedfeed', 'checkpoints', 'EdDSA', '{x}', 0, 0)"
        ))
        .await;
    assert!(verify(&app, &kept(&forged)).await.is_ok(), "the database alone vouches for itself");
    let found = flaw(&app, &by(&kept(&forged), &keys), "a key that was put there").await;
    assert!(found.what.contains("feedfeedfeedfeed, which kept.json does not hold"), "{found}");
    let verified = integrity::verify(act(&app, &origin()), &by(&true_one, &keys), |_| {}).await;
    assert_eq!(verified.unwrap().keys_not_kept, ["feedfeedfeedfeed"]);

    // Or puts it in the place of the one that signs.
    app.database
        .execute(&format!("UPDATE keys SET public_key = '{x}' WHERE kid = '{signing}'"))
        .await;
    let found = flaw(&app, &by(&Evidence::default(), &keys), "a key that was replaced").await;
    assert!(found.what.contains(&format!("under the id {signing}")), "{found}");
}

#[tokio::test]
async fn r82_what_a_key_signed_before_its_end_holds_and_what_a_thief_signs_later_does_not() {
    let app = trail().await;
    let (ring, honest, before) =
        (app.auth().keys.ring(), checkpoint(&app).await, published(&app).await);
    let stolen = ring.checkpoint_key().unwrap();
    let then = app.clock.now();
    app.clock.advance(HOUR);
    let kid = end_key(&app).await;
    let after = published(&app).await;
    // A server that has not noticed yet signs on for a moment.
    let a_moment_later = app.clock.now().plus(Duration::from_secs(30));
    let unaware = signed_by(&app, stolen, a_moment_later).await;
    assert!(after.contains("\"revoked_at\"") && !before.contains("\"revoked_at\""), "{after}");
    app.clock.advance(HOUR);
    let caller = app.demo_user().await;
    assert_eq!(caller.read_pay().await.status, 200);
    for keys in [None, Some(&before), Some(&after)] {
        let with = |evidence: &Evidence| keys.map_or(evidence.clone(), |keys| by(evidence, keys));
        assert_eq!(verify(&app, &with(&honest)).await.err(), None, "{keys:?}");
        assert_eq!(verify(&app, &with(&unaware)).await.err(), None, "{keys:?}");
        let late = signed_by(&app, stolen, app.clock.now()).await;
        let found = flaw(&app, &with(&late), "signed after the end").await;
        assert!(found.what.contains(&format!("its key {kid} signs nothing since")), "{found}");
        // It counts a record of later than it says it is.
        let backdated = signed_by(&app, stolen, then).await;
        let found = flaw(&app, &with(&backdated), "dated back").await;
        assert!(found.what.contains("signed later than it says"), "{found}");
    }
    // Whoever has the database as well says there that the key goes on; the kept keys know better.
    app.database
        .execute(&format!(
            "UPDATE keys SET retired_at = NULL, revoked_at = NULL WHERE kid = '{kid}'"
        ))
        .await;
    let late = signed_by(&app, stolen, app.clock.now()).await;
    assert!(verify(&app, &late).await.is_ok(), "the database alone vouches for itself");
    flaw(&app, &by(&late, &after), "signed after the end that was kept").await;
    assert_eq!(verify(&app, &by(&honest, &after)).await.err(), None);
}

/// A node whose clock was three minutes ahead wrote the last record, and the key ended soon after.
#[tokio::test]
async fn a_clock_that_was_ahead_is_no_theft() {
    let app = trail().await;
    let now = app.clock.seconds();
    app.clock.set(now + 180);
    let caller = app.demo_user().await;
    assert_eq!(caller.read_pay().await.status, 200);
    let ahead = checkpoint(&app).await;
    app.clock.set(now);
    let behind = checkpoint(&app).await;
    end_key(&app).await;
    assert_eq!(verify(&app, &ahead).await.err(), None);
    assert_eq!(verify(&app, &behind).await.err(), None);
}

#[tokio::test]
async fn the_end_of_an_archive_is_believed_by_the_same_keys() {
    let (app, today) = two_days().await;
    let file = app.database.folder.path().join("old.jsonl");
    archive(&app, today, &file).await.unwrap();
    let archived = Evidence { archives: vec![file.clone()], ..Evidence::default() };
    let old = end_key(&app).await;
    let keys = published(&app).await;
    assert_eq!(verify(&app, &by(&archived, &keys)).await.err(), None, "its key signed it in time");
    let mut set: Value = serde_json::from_str(&keys).unwrap();
    set["keys"].as_array_mut().unwrap().retain(|key| key["kid"] != json!(old));
    let found = flaw(&app, &by(&archived, &set.to_string()), "by a key that is not kept").await;
    assert!(found.what.contains(&old) && found.what.contains("kept.json"), "{found}");

    // A thief's archive, of after the end.
    app.clock.advance(2 * HOUR);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.ends_with('\n'));
    app.database.execute(&format!("UPDATE keys SET retired_at = 0 WHERE kid = '{old}'")).await;
    let found = flaw(&app, &archived, "an archive of after the end of its key").await;
    assert!(found.what.contains("its end: it is of"), "{found}");
}

#[tokio::test]
async fn a_file_that_is_no_set_of_keys_is_refused_and_proves_nothing() {
    let app = trail().await;
    let kept = checkpoint(&app).await;
    for text in ["", "{}", r#"{"keys":[]}"#, "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"a\"}]}"] {
        let found = integrity::verify(act(&app, &origin()), &by(&kept, text), |_| {}).await;
        assert!(matches!(found, Err(NotVerified::NoEvidence(_))), "{text}: {found:?}");
    }
}
