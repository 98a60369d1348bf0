//! The page: `static/`, embedded in the binary.
//!
//! `/` is `index.html`, which names every other file under a path that holds a hash over all of
//! them. So those can be cached for ever, and a new build's page never meets an old one's script.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::PathBuf;
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use ring::digest::{self, Context as Sha256};
use rocket::http::{ContentType, Header, Status};
use rocket::response::{self, Responder};
use rocket::{Request, Response};
use rust_embed::RustEmbed;

use crate::error::Error;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Static;

const INDEX: &str = "index.html";
/// What `index.html` writes where the version goes.
const VERSION: &str = "{version}";

/// Every file, ready to send.
static FILES: LazyLock<Files> = LazyLock::new(Files::prepare);

pub(super) fn routes() -> Vec<rocket::Route> {
    rocket::routes![index, asset]
}

/// The page.
#[utoipa::path(
    get, path = "/", tag = "page",
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html",
         headers(("ETag"))),
        (status = 304, description = "It is what `If-None-Match` names", headers(("ETag"))),
    )
)]
#[rocket::get("/")]
pub(super) fn index() -> Result<Asset, Error> {
    let file = FILES.by_name.get(INDEX).ok_or(Error::Internal)?;
    Ok(Asset { file, caching: "no-cache" })
}

/// A file that the page names.
#[utoipa::path(
    get, path = "/assets/{version}/{file}", tag = "page",
    params(
        ("version" = String, Path, description = "The hash over all files"),
        ("file" = String, Path, description = "The name of the file"),
    ),
    responses(
        (status = 200, description = "The file", content_type = "*/*", headers(("ETag"))),
        (status = 304, description = "It is what `If-None-Match` names", headers(("ETag"))),
        (status = 404),
    )
)]
#[rocket::get("/assets/<version>/<file..>")]
pub(super) fn asset(version: &str, file: PathBuf) -> Result<Asset, Error> {
    let name = file.to_str().filter(|name| *name != INDEX && version == FILES.version);
    let file = name.and_then(|name| FILES.by_name.get(name)).ok_or(Error::NotFound)?;
    Ok(Asset { file, caching: "public, max-age=31536000, immutable" })
}

struct Files {
    version: String,
    by_name: BTreeMap<String, File>,
}

struct File {
    content_type: ContentType,
    etag: String,
    plain: Cow<'static, [u8]>,
    /// Compressed once, at start; absent where that would not make it smaller.
    gzip: Option<Vec<u8>>,
}

pub(super) struct Asset {
    file: &'static File,
    caching: &'static str,
}

impl Files {
    fn prepare() -> Self {
        let mut names: Vec<Cow<'_, str>> = Static::iter().collect();
        names.sort();
        let mut hash = Sha256::new(&digest::SHA256);
        let embedded: Vec<(String, Cow<'static, [u8]>)> = names
            .iter()
            .filter_map(|name| Some((name.to_string(), Static::get(name)?.data)))
            .inspect(|(name, data)| {
                hash.update(name.as_bytes());
                hash.update(data);
            })
            .collect();
        let version = short(hash.finish().as_ref());
        let by_name = embedded
            .into_iter()
            .map(|(name, data)| {
                let data = if name == INDEX { with_version(&data, &version) } else { data };
                let file = File::prepare(&name, data);
                (name, file)
            })
            .collect();
        Self { version, by_name }
    }
}

fn with_version(index: &[u8], version: &str) -> Cow<'static, [u8]> {
    String::from_utf8_lossy(index).replace(VERSION, version).into_bytes().into()
}

fn short(hash: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(hash.get(..12).unwrap_or(hash))
}

impl File {
    fn prepare(name: &str, plain: Cow<'static, [u8]>) -> Self {
        let extension = name.rsplit('.').next().unwrap_or_default();
        let content_type = ContentType::from_extension(extension).unwrap_or(ContentType::Binary);
        let content_type = if content_type.top() == "text" || extension == "svg" {
            content_type.with_params(("charset", "utf-8"))
        } else {
            content_type
        };
        let etag = format!("\"{}\"", short(digest::digest(&digest::SHA256, &plain).as_ref()));
        let gzip = gzip(&plain).ok().filter(|gzip| gzip.len() < plain.len());
        Self { content_type, etag, plain, gzip }
    }
}

fn gzip(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain)?;
    encoder.finish()
}

impl<'r> Responder<'r, 'static> for Asset {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let gzip = self.file.gzip.as_deref().filter(|_| accepts_gzip(request));
        // The compressed form is another representation, so it has a tag of its own.
        let etag = match gzip {
            Some(_) => self.file.etag.replacen('"', "\"gzip-", 1),
            None => self.file.etag.clone(),
        };
        let mut response = Response::build();
        response
            .header(Header::new("Cache-Control", self.caching))
            .header(Header::new("Vary", "Accept-Encoding"))
            .header(Header::new("ETag", etag.clone()));
        let tags = request.headers().get("If-None-Match").flat_map(|field| field.split(','));
        if tags.map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == etag)
        {
            return response.status(Status::NotModified).ok();
        }
        if gzip.is_some() {
            response.header(Header::new("Content-Encoding", "gzip"));
        }
        let body = gzip.unwrap_or(&self.file.plain);
        response
            .header(self.file.content_type.clone())
            .sized_body(body.len(), Cursor::new(body))
            .ok()
    }
}

/// Whether the client takes gzip (RFC 9110 section 12.5.3).
fn accepts_gzip(request: &Request<'_>) -> bool {
    let codings = request.headers().get("Accept-Encoding").flat_map(|field| field.split(','));
    codings.map(|coding| coding.split_once(';').unwrap_or((coding, ""))).any(|(name, weight)| {
        let weight = weight.trim().strip_prefix("q=").unwrap_or("1").parse().unwrap_or(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && weight > 0.0
    })
}
