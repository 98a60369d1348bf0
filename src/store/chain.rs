//! The chain of audit records, and the sets of people that they name: which bytes are hashed, and
//! how. Pure. docs/decisions/0013-the-trail.md says the same for whoever verifies a trail with
//! something else.

use ring::digest::{Context, SHA256};

use super::StoreError;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What a chain's first record follows.
pub const BEGINNING: Hash = [0; 32];

/// A set is cut after a name one in so many times, by the hash of the name: where one person comes or
/// goes, all other sets stay the same.
const NAMES: u64 = 1000;
/// No set is larger, whatever the names.
const MOST_NAMES: usize = 8000;

/// Where a chain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Which chain.
    pub chain: i64,
    /// How many records it has.
    pub length: i64,
    /// The hash of the last of them; [`BEGINNING`] where there is none.
    pub hash: Hash,
}

impl Head {
    /// The head that a further record makes, whose own bytes are `content`.
    pub fn then(self, content: &[u8]) -> Self {
        let seq = self.length + 1;
        let mut digest = Context::new(&SHA256);
        digest.update(b"stipend-record-1");
        digest.update(&self.hash);
        digest.update(&self.chain.to_be_bytes());
        digest.update(&seq.to_be_bytes());
        digest.update(content);
        Self { chain: self.chain, length: seq, hash: finish(digest) }
    }
}

/// Fields one after the other, so that no two lists of fields are the same bytes: a text is its
/// length in bytes (four of them, the highest first) and then itself in UTF-8; one that is absent is
/// the length 2³² − 1 alone.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<u8>);

impl Fields {
    /// No fields yet, and room for some that are so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        // Nothing here comes near to 4 GiB: a set's names are at most some hundred KiB.
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX - 1);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Adds a text that may be absent.
    pub fn maybe(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => {
                self.0.extend_from_slice(&u32::MAX.to_be_bytes());
                self
            }
        }
    }

    /// Adds a number, as eight bytes, the highest first.
    pub fn number(&mut self, number: i64) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// Adds the hashes of sets, after how many they are.
    pub fn hashes<'a>(&mut self, hashes: impl ExactSizeIterator<Item = &'a Hash>) -> &mut Self {
        let count = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&count.to_be_bytes());
        hashes.for_each(|hash| self.0.extend_from_slice(hash));
        self
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The digest of records one after the other, such as those from before there were chains.
#[derive(Clone)]
pub struct Digest(Context);

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest")
    }
}

impl Default for Digest {
    fn default() -> Self {
        let mut digest = Context::new(&SHA256);
        digest.update(b"stipend-records-before-chains-1");
        Self(digest)
    }
}

impl Digest {
    /// Adds a record's fields.
    pub fn add(&mut self, content: &Fields) {
        self.0.update(content.as_bytes());
    }

    /// In lower-case hexadecimal.
    pub fn finish(self) -> String {
        hex(&finish(self.0))
    }
}

/// Some people of an org, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// What names it.
    pub hash: Hash,
    /// A JSON array of user names, without a space.
    pub names: String,
}

/// The hash of the people of an org whom a JSON array names.
pub fn hash_of_set(org: &str, names: &str) -> Hash {
    let mut fields = Fields::default();
    fields.text(org).text(names);
    let mut digest = Context::new(&SHA256);
    digest.update(b"stipend-set-1");
    digest.update(fields.as_bytes());
    finish(digest)
}

fn finish(digest: Context) -> Hash {
    let mut hash = BEGINNING;
    hash.copy_from_slice(digest.finish().as_ref());
    hash
}

/// In lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |half: u8| DIGITS.get(usize::from(half)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// What [`hex`] wrote; none for anything else.
pub fn unhex(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(value(*high)? << 4 | value(*low)?)).collect()
}

/// A hash as [`hex`] wrote it.
pub fn unhex_hash(digits: &str) -> Option<Hash> {
    unhex(digits)?.try_into().ok()
}

/// A hash as the database gives it.
pub fn parse_hash(bytes: &[u8]) -> Result<Hash, StoreError> {
    bytes.try_into().map_err(|_| StoreError::Impossible("a hash of the audit trail"))
}

/// Names one after the other, cut into sets. They come sorted and each once, and hold nothing that
/// JSON would escape.
#[derive(Debug)]
pub struct Cutter {
    org: String,
    names: String,
    count: usize,
}

impl Cutter {
    /// For people of an org.
    pub fn new(org: &str) -> Self {
        Self { org: org.to_owned(), names: String::new(), count: 0 }
    }

    /// Adds a name; gives the set that ends with it, if one does.
    pub fn push(&mut self, name: &str) -> Option<Set> {
        self.names.push_str(if self.count == 0 { "[\"" } else { ",\"" });
        self.names.push_str(name);
        self.names.push('"');
        self.count += 1;
        let ends = fnv(name).is_multiple_of(NAMES) || self.count == MOST_NAMES;
        if ends { self.finish() } else { None }
    }

    /// The set of what is left, if anything is.
    pub fn finish(&mut self) -> Option<Set> {
        if self.count == 0 {
            return None;
        }
        self.count = 0;
        let names = std::mem::take(&mut self.names) + "]";
        Some(Set { hash: hash_of_set(&self.org, &names), names })
    }
}

/// FNV-1a of 64 bits: where sets are cut needs no more than an even spread.
fn fnv(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(names: impl Iterator<Item = String>) -> Vec<Set> {
        let mut cutter = Cutter::new("acme");
        let mut sets: Vec<Set> = names.filter_map(|name| cutter.push(&name)).collect();
        sets.extend(cutter.finish());
        sets
    }

    #[test]
    fn a_hash_is_what_the_decision_record_says() {
        let mut fields = Fields::default();
        fields.text("ab").maybe(None).number(-2).hashes([[7; 32]].iter());
        let mut expected = b"\0\0\0\x02ab\xff\xff\xff\xff".to_vec();
        expected.extend([255, 255, 255, 255, 255, 255, 255, 254, 0, 0, 0, 1]);
        expected.extend([7; 32]);
        assert_eq!(fields.as_bytes(), expected);

        let head = Head { chain: 2, length: 4, hash: [9; 32] }.then(b"content");
        let mut bytes = b"stipend-record-1".to_vec();
        bytes.extend([9; 32]);
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5]);
        bytes.extend(b"content");
        assert_eq!(head.hash, ring::digest::digest(&SHA256, &bytes).as_ref());
        assert_eq!((head.chain, head.length), (2, 5));

        let bytes = b"stipend-set-1\0\0\0\x04acme\0\0\0\x05[\"a\"]";
        assert_eq!(hash_of_set("acme", "[\"a\"]"), ring::digest::digest(&SHA256, bytes).as_ref());
        assert_eq!(hex(&[0, 0x1f, 0xa0]), "001fa0");
        assert_eq!(unhex("001fa0"), Some(vec![0, 0x1f, 0xa0]));
        for odd in ["0", "0G", "AB", "é"] {
            assert_eq!(unhex(odd), None, "{odd}");
        }
    }

    #[test]
    fn no_two_records_are_the_same_bytes() {
        let fields = |texts: [Option<&str>; 2]| {
            let mut fields = Fields::default();
            fields.maybe(texts[0]).maybe(texts[1]);
            fields.0
        };
        let all = [
            fields([Some("ab"), Some("")]),
            fields([Some("a"), Some("b")]),
            fields([Some(""), Some("ab")]),
            fields([None, Some("ab")]),
            fields([Some("ab"), None]),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(!all[..n].contains(one), "{one:?}");
        }
    }

    #[test]
    fn one_who_comes_changes_one_set_and_nobody_is_lost() {
        let name = |n: u32| format!("p{n:06}");
        let before = sets((0..50_000).filter(|n| *n != 25_000).map(name));
        let after = sets((0..50_000).map(name));
        assert!((20..200).contains(&after.len()), "{}", after.len());
        let new = after.iter().filter(|set| !before.contains(set)).count();
        assert!(new <= 2, "{new} sets are new");
        let mut names: Vec<String> = Vec::new();
        for set in &after {
            let part: Vec<String> = serde_json::from_str(&set.names).unwrap();
            assert!(part.len() <= MOST_NAMES);
            names.extend(part);
        }
        assert!(names.into_iter().eq((0..50_000).map(name)));
        assert_eq!(sets([].into_iter()), []);
    }
}
