//! `/me/totp`: the caller's second factor; and `/users/NAME/totp`, for who has lost theirs.

use qrcodegen::{QrCode, QrCodeEcc};
use rocket::State;
use rocket::http::Status;
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::Answer;
use super::body::{Object, parse_password, taken};
use super::path::Name;
use super::query::Query;
use crate::auth::{Auth, Code};
use crate::config::Secret;
use crate::error::Error;
use crate::policy::{Allowed, Manage, Principal, Recent};
use crate::service::{Act, factors};

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![make_secret, confirm, turn_off, renew_recovery_codes, reset]
}

/// A secret for an authenticator app (RFC 6238); it is told this once.
#[derive(Serialize, ToSchema)]
struct SecretBody {
    /// In base 32, to be typed.
    secret: String,
    /// As an `otpauth:` URI, which holds all that an app needs.
    uri: String,
    #[schema(inline)]
    qr: QrBody,
}

/// The URI as a QR code (ISO/IEC 18004), for a page that may show nothing but what it draws.
#[derive(Serialize, ToSchema)]
struct QrBody {
    /// How many modules it is wide and high, without the four of its margin.
    size: i32,
    /// Its dark modules, as the data of an SVG path.
    path: String,
}

/// Make a secret for a second factor. It counts once a code has confirmed it.
#[utoipa::path(
    post, path = "/me/totp", tag = "second factor", security(("bearer" = [])),
    responses(
        (status = 200, description = "The secret", body = SecretBody),
        (status = 409),
    )
)]
#[rocket::post("/me/totp")]
pub(super) async fn make_secret(
    caller: Recent<Principal>,
    query: Query,
    act: Act<'_>,
    auth: &State<Auth>,
) -> Result<Answer, Error> {
    query.finish()?;
    let made = factors::start(act, auth, &caller).await?;
    let qr = draw(made.uri.expose())?;
    let (secret, uri) = (made.secret.expose().clone(), made.uri.expose().clone());
    Answer::json(&SecretBody { secret, uri, qr })
}

fn draw(uri: &str) -> Result<QrBody, Error> {
    // Only of a text of more than two thousand bytes, which no name and no issuer makes of it.
    let code = QrCode::encode_text(uri, QrCodeEcc::Medium).map_err(|_| Error::Internal)?;
    let (size, mut path) = (code.size(), String::new());
    for y in 0..size {
        let mut x = 0;
        while x < size {
            let from = x;
            while x < size && code.get_module(x, y) {
                x += 1;
            }
            if x > from {
                path.push_str(&format!("M{from} {y}h{}v1H{from}z", x - from));
            }
            x += 1;
        }
    }
    Ok(QrBody { size, path })
}

/// What confirms a secret.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is parsed member by member")]
#[serde(deny_unknown_fields)]
struct ConfirmBody {
    /// What the app shows now: six digits.
    #[schema(max_length = 64)]
    code: String,
}

/// Recovery codes, each of which stands once for a code of the app; they are told this once.
#[derive(Serialize, ToSchema)]
struct RecoveryCodesBody {
    recovery_codes: Vec<String>,
}

impl RecoveryCodesBody {
    fn answer(codes: &[Secret<String>]) -> Result<Answer, Error> {
        let recovery_codes = codes.iter().map(|code| code.expose().clone()).collect();
        Answer::json(&Self { recovery_codes })
    }
}

/// Turn the second factor on: from now on every sign-in takes a code. All other sessions end.
#[utoipa::path(
    post, path = "/me/totp/confirm", tag = "second factor", security(("bearer" = [])),
    request_body = ConfirmBody,
    responses(
        (status = 200, description = "It is on", body = RecoveryCodesBody),
        (status = 409),
    )
)]
#[rocket::post("/me/totp/confirm", data = "<object>")]
pub(super) async fn confirm(
    caller: Recent<Principal>,
    query: Query,
    object: Object,
    act: Act<'_>,
    auth: &State<Auth>,
) -> Result<Answer, Error> {
    query.finish()?;
    let mut members = object.0?;
    let code = members.text("code", Code::parse);
    members.finish()?;
    RecoveryCodesBody::answer(&factors::confirm(act, auth, &caller, &taken(code)?).await?)
}

/// What turns a second factor off.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is parsed member by member")]
#[serde(deny_unknown_fields)]
struct TurnOffBody {
    #[schema(max_length = 1024)]
    password: String,
    /// Six digits, or a recovery code.
    #[schema(max_length = 64)]
    code: String,
}

/// Turn the second factor off.
#[utoipa::path(
    delete, path = "/me/totp", tag = "second factor", security(("bearer" = [])),
    request_body = TurnOffBody,
    responses((status = 204, description = "It is off"), (status = 409), (status = 429))
)]
#[rocket::delete("/me/totp", data = "<object>")]
pub(super) async fn turn_off(
    caller: Recent<Principal>,
    query: Query,
    object: Object,
    act: Act<'_>,
    auth: &State<Auth>,
) -> Result<Status, Error> {
    query.finish()?;
    let mut members = object.0?;
    let password = members.text("password", parse_password);
    let code = members.text("code", Code::parse);
    members.finish()?;
    factors::turn_off(act, auth, &caller, taken(password)?, taken(code)?).await?;
    Ok(Status::NoContent)
}

/// Make other recovery codes; the old ones are worth nothing from now on.
#[utoipa::path(
    post, path = "/me/totp/recovery-codes", tag = "second factor", security(("bearer" = [])),
    responses(
        (status = 200, description = "The codes", body = RecoveryCodesBody),
        (status = 409),
    )
)]
#[rocket::post("/me/totp/recovery-codes")]
pub(super) async fn renew_recovery_codes(
    caller: Recent<Principal>,
    query: Query,
    act: Act<'_>,
) -> Result<Answer, Error> {
    query.finish()?;
    RecoveryCodesBody::answer(&factors::renew_recovery_codes(act, &caller).await?)
}

/// Take the second factor off somebody who has lost it: their sessions end, and they choose another
/// password when they have signed in.
#[utoipa::path(
    delete, path = "/users/{name}/totp", tag = "second factor",
    security(("bearer" = ["manage"])), params(Name),
    responses((status = 204, description = "It is off"), (status = 404), (status = 409))
)]
#[rocket::delete("/users/<name>/totp")]
pub(super) async fn reset(
    allowed: Recent<Allowed<Manage>>,
    name: Name<'_>,
    query: Query,
    act: Act<'_>,
) -> Result<Status, Error> {
    query.finish()?;
    factors::reset(act, &allowed, &name.parse()?).await?;
    Ok(Status::NoContent)
}
