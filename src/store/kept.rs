//! Answers that were given and are kept in memory, to be given again where nothing of them has changed.

use std::sync::Arc;

use super::StoreError;
use super::pay::{Chunk, Cursor, PayQuery};
use super::sets::Subjects;
use crate::clock::Day;
use crate::domain::{OrgName, Username};
use crate::policy::{Allowed, Read};

/// What was asked for, of whom, and as what it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct AnswerKey {
    org: OrgName,
    /// Who asks; none where they see the whole org, and so what any other who does.
    holder: Option<Username>,
    today: Day,
    query: PayQuery,
    shape: String,
}

impl AnswerKey {
    pub(super) fn new(allowed: &Allowed<Read>, asked: &PayQuery, shape: &Shape<'_>) -> Self {
        let (account, visibility) = (allowed.account(), allowed.visibility());
        Self {
            org: account.org.clone(),
            holder: (!visibility.whole_org()).then(|| account.username.clone()),
            today: visibility.today(),
            query: asked.clone(),
            shape: shape.name.clone(),
        }
    }

    /// Whose pay it is about.
    pub(super) fn org(&self) -> &OrgName {
        &self.org
    }

    /// How many bytes of it somebody has chosen.
    fn length(&self) -> usize {
        let PayQuery { filter, after, .. } = &self.query;
        let cursor = after.as_ref().and_then(|cursor| cursor.key.as_deref());
        let chosen = [filter.q.as_deref(), cursor, Some(&self.shape)];
        chosen.into_iter().flatten().map(str::len).sum()
    }
}

/// An answer that was given.
#[derive(Debug)]
pub(super) struct KeptAnswer {
    pub(super) text: Arc<[u8]>,
    pub(super) next: Option<Cursor>,
    pub(super) subjects: Subjects,
    pub(super) access_version: i64,
    pub(super) pay_version: i64,
}

impl KeptAnswer {
    /// How many bytes it takes with its key, which is held twice; about, but for what somebody has chosen.
    pub(super) fn weight(&self, key: &AnswerKey) -> usize {
        1024 + self.text.len() + 2 * key.length()
    }
}

/// How rows are shown, where the text may be kept and given again.
pub struct Shape<'a> {
    /// What tells this shape from all others.
    pub name: String,
    /// Writes the rows.
    pub render: &'a (dyn Fn(&Chunk) -> Result<Vec<u8>, StoreError> + Sync),
}
