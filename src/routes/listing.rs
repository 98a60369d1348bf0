//! Answers of many rows, as JSON or CSV: whole, or part by part as fast as the client takes them.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use rocket::http::{ContentType, Header};
use rocket::request::{FromRequest, Outcome};
use rocket::response::stream::ReaderStream;
use rocket::response::{self, Responder};
use rocket::tokio::sync::mpsc;
use rocket::tokio::time::Instant;
use rocket::{Request, Response, tokio};

use super::answer;
use crate::error::prefers_csv;
use crate::service::export::Format;

/// How long a client may leave a part of a long answer lying, and how far it may fall behind
/// [`SLOWEST`].
const PATIENCE: Duration = Duration::from_secs(20);

/// How many bytes in a second a client takes at least.
const SLOWEST: f64 = 64.0 * 1024.0;

/// How many bytes of a long answer are written at a time.
const LARGEST_WRITE: usize = 64 * 1024;

/// The format that the client prefers.
#[rocket::async_trait]
impl<'r> FromRequest<'r> for Format {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(if prefers_csv(request) { Self::Csv } else { Self::Json })
    }
}

/// Rows as they are answered.
pub(super) struct Listing {
    pub(super) format: Format,
    /// Header fields beyond those of every listing.
    pub(super) fields: Vec<Header<'static>>,
    /// The name of the file, where it is one.
    pub(super) file: Option<String>,
    pub(super) body: Body,
}

/// The text of the rows.
pub(super) enum Body {
    Whole(Arc<[u8]>),
    /// Parts, and what to end with where the last of them is missing, so that nobody takes for the
    /// whole what is not.
    Parts(mpsc::Receiver<Part>, &'static [u8]),
}

/// A part of a long answer.
pub(super) enum Part {
    Text(Vec<u8>),
    /// That was all of it.
    End,
}

impl<'r> Responder<'r, 'r> for Listing {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'r> {
        let mut response = match self.body {
            Body::Whole(text) => {
                Response::build().sized_body(text.len(), Cursor::new(text)).finalize()
            }
            Body::Parts(mut parts, broken) => {
                let stream = ReaderStream! {
                    loop {
                        match parts.recv().await {
                            Some(Part::Text(text)) => yield Cursor::new(text),
                            Some(Part::End) => break,
                            // Whoever wrote them has failed, or has given the client up.
                            None => {
                                yield Cursor::new(broken.to_vec());
                                break;
                            }
                        }
                    }
                };
                Response::build().streamed_body(stream).max_chunk_size(LARGEST_WRITE).finalize()
            }
        };
        response.set_header(match self.format {
            Format::Json => answer::json(),
            Format::Csv => ContentType::CSV,
        });
        response.set_header(Header::new("Vary", "Accept"));
        for field in self.fields {
            response.set_header(field);
        }
        if let Some(file) = self.file {
            let disposition = format!("attachment; filename=\"{file}\"");
            response.set_header(Header::new("Content-Disposition", disposition));
        }
        Ok(response)
    }
}

/// Who takes a long answer. One that takes nothing for a while is given up, and one that is slow for
/// long, since it holds one of the few snapshots of the database.
pub(super) struct Client {
    parts: mpsc::Sender<Part>,
    is_there: bool,
    /// For how long it is waited for.
    patience: Duration,
}

impl Client {
    /// The client, and what the answer's body takes its parts from: unless [`Self::finish`] is called,
    /// it ends with what says that it is broken.
    pub(super) fn new(broken: &'static [u8]) -> (Self, Body) {
        let (parts, receiver) = mpsc::channel(2);
        let client = Self { parts, is_there: true, patience: PATIENCE };
        (client, Body::Parts(receiver, broken))
    }

    /// Hands over a part; gives whether the client is still there.
    pub(super) async fn push(&mut self, text: Vec<u8>) -> bool {
        self.send(Part::Text(text)).await
    }

    /// Hands over the last part; gives whether the client was there for all of them.
    pub(super) async fn finish(mut self, tail: Vec<u8>) -> bool {
        self.push(tail).await && self.send(Part::End).await
    }

    async fn send(&mut self, part: Part) -> bool {
        let length = if let Part::Text(text) = &part { text.len() } else { 0 };
        let began = Instant::now();
        let sent = tokio::time::timeout(self.patience, self.parts.send(part)).await;
        self.patience = patience_after(self.patience, began.elapsed(), length);
        self.is_there = self.is_there && matches!(sent, Ok(Ok(())));
        self.is_there
    }

    /// Whether it has taken all so far.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }
}

/// How long a client is waited for once it was waited for so long, for a part of so many bytes.
fn patience_after(before: Duration, waited: Duration, length: usize) -> Duration {
    // A part is far from where the precision of a float ends.
    #[expect(clippy::cast_precision_loss, reason = "see above")]
    let earned = Duration::from_secs_f64(length as f64 / SLOWEST);
    (before.saturating_sub(waited) + earned).min(PATIENCE)
}

#[cfg(test)]
mod tests {
    use rocket::local::asynchronous::Client as Caller;

    use super::*;

    const BROKEN: &[u8] = b"\"broken";

    fn listing(body: Body) -> Listing {
        Listing { format: Format::Csv, fields: Vec::new(), file: None, body }
    }

    #[rocket::get("/whole")]
    async fn whole() -> Listing {
        let (mut client, body) = Client::new(BROKEN);
        client.push(b"a".to_vec()).await;
        tokio::spawn(client.finish(b"z".to_vec()));
        listing(body)
    }

    #[rocket::get("/given-up")]
    async fn given_up() -> Listing {
        let (mut client, body) = Client::new(BROKEN);
        client.push(b"a".to_vec()).await;
        listing(body)
    }

    #[test]
    fn a_client_is_given_up_that_is_slower_than_it_may_be() {
        // Parts of 64 KiB, of which one is taken in each of these times.
        for (pause, parts) in [(500, None), (1000, None), (2000, Some(19)), (20_000, Some(1))] {
            let (mut patience, mut taken) = (PATIENCE, 0);
            let pause = Duration::from_millis(pause);
            while taken < 1000 && patience > pause {
                patience = patience_after(patience, pause, 64 * 1024);
                taken += 1;
            }
            let taken = (taken < 1000).then_some(taken);
            assert_eq!(taken.is_none(), parts.is_none(), "{pause:?}: {taken:?}");
            assert!(taken.is_none_or(|taken| taken <= parts.unwrap()), "{pause:?}: {taken:?}");
        }
    }

    #[rocket::async_test]
    async fn an_answer_that_was_given_up_does_not_look_whole() {
        let rocket = rocket::build().mount("/", rocket::routes![whole, given_up]);
        let caller = Caller::untracked(rocket).await.unwrap();
        for (path, text) in [("/whole", "az"), ("/given-up", "a\"broken")] {
            let answer = caller.get(path).dispatch().await.into_string().await;
            assert_eq!(answer.as_deref(), Some(text), "{path}");
        }
    }
}
