//! Passwords that a user may choose (NIST SP 800-63B-4 section 3.1.1.2; ASVS 5.0 section 6.2).

mod guess;

use unicode_normalization::UnicodeNormalization;

use super::{Account, Username};
use crate::config::Secret;

/// A password that is the only factor has at least so many characters.
const SHORTEST: usize = 15;
/// A password beside a second factor has at least so many.
const SHORTEST_WITH_SECOND_FACTOR: usize = 8;
/// A password has at most so many bytes: long enough for any sentence, and hashing is not for more.
pub const LONGEST: usize = 1024;

/// What this software and its demo are called: the first words that somebody tries here.
const PRODUCTS: &[&str] = &["stipend", "twilio"];
/// A shorter part of a name stands in too many words by chance.
const SHORTEST_NAME: usize = 3;

/// A password as it is hashed and compared: Unicode's normalization form C (UAX #15), and nothing
/// else. A system that types `é` as two code points and one that types it as one so write the same
/// password; no two that look different become one (RFC 8265 section 4.2.2 chooses it for that).
pub fn normalised(password: &Secret<String>) -> Secret<String> {
    Secret::new(password.expose().nfc().collect())
}

/// Somebody's new password, found good for them. Whole as it was given, but for its [normal
/// form](normalised).
#[derive(Debug)]
pub struct GoodPassword(Secret<String>);

/// Why a password is not taken; the sentence says so to whoever chose it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPassword {
    /// It has too few characters.
    #[error("a password has {least} characters at least; a sentence makes a good one")]
    TooShort {
        /// How many it needs.
        least: usize,
    },
    /// It has too many bytes.
    #[error("a password has {LONGEST} bytes at most")]
    TooLong,
    /// It stands in the list.
    #[error("this is a common password, and so guessed first; a sentence of your own is not")]
    Common,
    /// It stands in the list, but for what is around it.
    #[error(
        "without the digits and signs around it, this is a common password, and so guessed first; \
         a sentence of your own is not"
    )]
    CommonWithin,
    /// It is a piece over and over.
    #[error("this is the same few characters, or a common password, over and over")]
    Repetition,
    /// It is rows of keys.
    #[error("this is nothing but rows of neighbours on the keyboard or in the alphabet")]
    Rows,
    /// It is little more than a name.
    #[error(
        "it holds {whose}, which everybody can guess, and what is left without it is not good \
         enough: {least} other characters are, if they are no row, no repetition and not only \
         digits"
    )]
    Name {
        /// Whose name.
        whose: &'static str,
        /// How many other characters it needs.
        least: usize,
    },
    /// It is the one that is to be changed.
    #[error("this is the old password: choose another")]
    Unchanged,
}

impl GoodPassword {
    /// Finds a password good for a user, or says why it is not. No rule asks for kinds of character.
    pub fn check(
        password: &Secret<String>,
        owner: &Account,
        has_second_factor: bool,
    ) -> Result<Self, BadPassword> {
        let least = if has_second_factor { SHORTEST_WITH_SECOND_FACTOR } else { SHORTEST };
        if password.expose().len() > LONGEST {
            return Err(BadPassword::TooLong);
        }
        let password = normalised(password);
        let text = password.expose();
        if text.chars().count() < least {
            return Err(BadPassword::TooShort { least });
        }
        let folded = text.to_lowercase();
        guess::check(&folded)?;
        check_names(&folded, owner, least)?;
        Ok(Self(password))
    }

    /// The password, in its normal form.
    pub fn into_secret(self) -> Secret<String> {
        self.0
    }

    /// Whether another text is this password.
    pub fn is(&self, other: &Secret<String>) -> bool {
        self.0.expose() == normalised(other).expose()
    }
}

/// Refuses what is not good once the names that everybody knows are taken out of it.
fn check_names(folded: &str, owner: &Account, least: usize) -> Result<(), BadPassword> {
    let mut rest = folded.to_owned();
    let mut held = None;
    let mut take_out = |names: &[&str], whose| {
        for name in names {
            if rest.contains(name) {
                // Not by nothing, which would join what was apart to a name anew.
                rest = rest.replace(name, "\0");
                held.get_or_insert(whose);
            }
        }
    };
    take_out(&parts(&owner.username), "the user name");
    take_out(&[owner.org.as_str()], "the name of the org");
    take_out(PRODUCTS, "a name of this service");
    let Some(whose) = held else {
        return Ok(());
    };
    rest.retain(|c| c != '\0');
    let is_good = rest.chars().count() >= least
        && rest.chars().any(char::is_alphabetic)
        && guess::check(&rest).is_ok();
    if is_good { Ok(()) } else { Err(BadPassword::Name { whose, least }) }
}

/// A user name, and what it is made of: of `ann.lee@example.com` also `ann`, `lee`, `example` and
/// `com`; the longest first.
fn parts(username: &Username) -> Vec<&str> {
    let name = username.as_str();
    let mut parts: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    parts.push(name);
    parts.retain(|part| part.len() >= SHORTEST_NAME);
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::OrgName;

    fn account(org: &str, username: &str) -> Account {
        Account { org: OrgName::parse(org).unwrap(), username: Username::parse(username).unwrap() }
    }

    fn check(text: &str) -> Result<String, BadPassword> {
        check_of("ann", text, false)
    }

    fn check_of(username: &str, text: &str, second: bool) -> Result<String, BadPassword> {
        let password = Secret::new(text.to_owned());
        let good = GoodPassword::check(&password, &account("acme", username), second)?;
        Ok(good.into_secret().expose().clone())
    }

    #[test]
    fn r41_a_password_has_15_characters_or_8_beside_a_second_factor_and_1024_bytes_at_most() {
        let short = |least| Err(BadPassword::TooShort { least });
        assert_eq!(check("purple otters"), short(15));
        assert_eq!(check("purple otters!"), short(15));
        assert_eq!(check("purple otters!!"), Ok("purple otters!!".into()));
        assert_eq!(check_of("ann", "pur-ott", true), short(8));
        assert_eq!(check_of("ann", "pur-otte", true), Ok("pur-otte".into()));
        assert_eq!(check("sinä söit öitä"), short(15), "characters are counted, not bytes");
        assert_eq!(check("e\u{301}a\u{308}o\u{308}u\u{308}nstxkqw"), short(15), "as normalised");
        let long = "purple otters ".repeat(73) + "ab";
        assert_eq!(check(&long), Ok(long.clone()));
        assert_eq!(check(&(long + "c")), Err(BadPassword::TooLong));
    }

    #[test]
    fn r42_a_name_is_worth_nothing() {
        let name = |whose| Err(BadPassword::Name { whose, least: 15 });
        for (text, whose) in [
            ("Ann likes tea!!!", "the user name"),
            ("xAnNotherwise12", "the user name"),
            ("ann902754361708246", "the user name"),
            ("1ann2ann3ann4ann5", "the user name"),
            ("ann-1234567890qw!e", "the user name"),
            ("acme 2026 forever", "the name of the org"),
            ("twilio2026wonders", "a name of this service"),
            ("Stipend!!902754361708", "a name of this service"),
            ("aannnn stipstipendend!", "the user name"),
        ] {
            assert_eq!(check(text), name(whose), "{text}");
        }
        for good in ["ann drinks cold tea", "the acme of cheap wit", "my stipend is too low, sir"] {
            assert_eq!(check(good), Ok(good.into()));
        }
        let long = "ann.lee+pay@example.com";
        assert_eq!(check_of(long, "lee of example was here", false), name("the user name"));
        assert!(check_of("a.b", "a big brown cab arrives", false).is_ok());
    }

    #[test]
    fn the_normal_form_joins_what_is_typed_in_two_ways_and_nothing_that_looks_different() {
        let one = check("caf\u{e9} au lait svp!").unwrap();
        assert_eq!(check("cafe\u{301} au lait svp!").unwrap(), one);
        for other in ["cafe au lait svp!", "Caf\u{e9} au lait svp!", "caf\u{e9}\u{a0}au lait svp!"]
        {
            assert_ne!(check(other).unwrap(), one);
        }
        let wide = check("\u{ff43}af\u{e9} au lait svp!").unwrap();
        assert_ne!(wide, one, "a wide letter looks different");
        let password = Secret::new("cafe\u{301} au lait svp!".to_owned());
        let good = GoodPassword::check(&password, &account("acme", "ann"), false).unwrap();
        assert!(good.is(&password) && good.is(&Secret::new(one)) && !good.is(&Secret::new(wide)));
    }

    proptest! {
        #[test]
        fn r41_all_that_is_long_enough_and_not_blocked_is_taken_whole(text in any_password()) {
            match check(&text) {
                Ok(taken) => prop_assert_eq!(taken, text.nfc().collect::<String>()),
                // Chance does make these, if seldom; nothing else may stand in the way.
                Err(why) => prop_assert!(
                    matches!(why, BadPassword::Repetition | BadPassword::Rows | BadPassword::Name { .. }),
                    "{}", why
                ),
            }
        }

        #[test]
        fn r41_any_sentence_of_many_words_is_taken(words in prop::collection::vec("[b-df-hj-np-tv-z]{2,6}", 8..60)) {
            prop_assert!(check(&words.join(" ")).is_ok());
        }

        #[test]
        fn r41_two_that_differ_anywhere_are_two(text in any_password(), at in any::<prop::sample::Index>()) {
            let normal = |text: &str| normalised(&Secret::new(text.to_owned())).expose().clone();
            let upper = text.to_uppercase();
            let (before, after) = text.split_at(text.char_indices().nth(at.index(15)).unwrap().0);
            let others = [
                format!("{text} "), format!(" {text}"), format!("{text}x"), format!("{text}\0"),
                format!("{before} {after}"), format!("{before}\n{after}"), upper.clone(),
            ];
            for other in others.iter().filter(|other| normal(other) != normal(&text)) {
                prop_assert_ne!(check(other), Ok(normal(&text)));
            }
            prop_assert!(upper == text || normal(&upper) != normal(&text));
        }
    }

    /// 15 characters or more of any script, some composed of several.
    fn any_password() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 15..120)
            .prop_map(|characters| characters.into_iter().collect::<String>())
            .prop_filter("long enough in either form", |text: &String| {
                text.len() <= LONGEST && text.nfc().count() >= SHORTEST
            })
    }
}
