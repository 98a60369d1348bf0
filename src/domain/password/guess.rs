//! What is guessed first: common passwords, and what a program makes up before it tries the rest.

use super::{BadPassword, SHORTEST_WITH_SECOND_FACTOR};

/// Real passwords in lower case, one a line, in byte order, all of them ASCII. Where they come from
/// and under which licence: `SOURCES.md` beside it.
const COMMON: &str = include_str!("common.txt");

/// What lies side by side, on a keyboard or in the alphabet.
const ROWS: &[&str] = &[
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "!@#$%^&*()",
];

/// Of so many characters each at least, on average, the rows of a password are nothing but rows. In
/// a sentence they have less than one and a half.
const ROW: usize = 3;

/// Refuses what is guessed first. `text` is in lower case.
pub(super) fn check(text: &str) -> Result<(), BadPassword> {
    if is_common(text) {
        return Err(BadPassword::Common);
    }
    if is_common(core(text)) {
        return Err(BadPassword::CommonWithin);
    }
    let characters: Vec<char> = text.chars().collect();
    if is_repetition(&characters) {
        return Err(BadPassword::Repetition);
    }
    if is_rows(&characters) {
        return Err(BadPassword::Rows);
    }
    Ok(())
}

/// Without what people put around a word to make it pass: digits, signs and spaces.
fn core(text: &str) -> &str {
    text.trim_matches(|c: char| !c.is_alphabetic())
}

/// Whether it stands in the list. A binary search in the text itself, which so needs no memory and
/// no time at the start.
fn is_common(text: &str) -> bool {
    let (mut list, wanted) = (COMMON.as_bytes(), text.as_bytes());
    while !list.is_empty() {
        let (before, after) = list.split_at(list.len() / 2);
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let length = after.iter().position(|byte| *byte == b'\n');
        let end = length.map_or(list.len(), |length| before.len() + length);
        let line = list.get(start..end).unwrap_or_default();
        match line.cmp(wanted) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => list = list.get(end + 1..).unwrap_or_default(),
            std::cmp::Ordering::Greater => list = list.get(..start).unwrap_or_default(),
        }
    }
    false
}

/// Whether it is a short piece over and over, or a common password; the last time may be cut off.
fn is_repetition(characters: &[char]) -> bool {
    let repeats = |piece: usize| {
        let shifted = characters.get(piece..).unwrap_or_default();
        characters.iter().zip(shifted).all(|(a, b)| a == b)
    };
    let Some(length) = (1..=characters.len() / 2).find(|piece| repeats(*piece)) else {
        return false;
    };
    let piece: String = characters.iter().take(length).collect();
    length < SHORTEST_WITH_SECOND_FACTOR || is_common(&piece) || is_common(core(&piece))
}

/// Whether it is nothing but rows of neighbours, forwards, backwards, or one key held down.
fn is_rows(characters: &[char]) -> bool {
    let goes_on = |pair: &&[char]| matches!(pair, [a, b] if a == b || are_neighbours(*a, *b));
    let within = characters.windows(2).filter(goes_on).count();
    let rows = characters.len() - within;
    rows * ROW <= characters.len()
}

fn are_neighbours(a: char, b: char) -> bool {
    let side_by_side = |row: &&str| {
        let after = row.chars().skip(1);
        row.chars().zip(after).any(|pair| pair == (a, b) || pair == (b, a))
    };
    ROWS.iter().any(side_by_side)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r42_the_list_is_sorted_and_long_enough_and_every_line_of_it_is_found() {
        let lines: Vec<&str> = COMMON.lines().collect();
        assert!(lines.is_sorted_by(|a, b| a < b), "a binary search needs that");
        let lengths = |least: usize| lines.iter().filter(|line| line.len() >= least).count();
        assert!(lengths(15) >= 3_000, "{} of 15 characters", lengths(15));
        assert!(lengths(8) - lengths(15) >= 3_000);
        for line in &lines {
            assert!(is_common(line), "{line}");
            assert!(line.len() >= 8 && line.is_ascii() && *line == line.to_lowercase(), "{line}");
            assert!(!is_common(&format!("{line}\u{1}")) && !is_common(&format!("\u{1}{line}")));
        }
        for other in ["", "\n", "\n\n", lines[0].get(1..).unwrap(), "zzzzzzzzzzzzzzzzzzzzzzzz\n"] {
            assert!(!is_common(other), "{other:?}");
        }
        assert!(!is_common(&format!("{}\n{}", lines[0], lines[1])));
    }

    #[test]
    fn r42_what_is_guessed_first_is_refused_and_a_sentence_is_not() {
        for (text, why) in [
            ("happilyeverafter", BadPassword::Common),
            ("password1", BadPassword::Common),
            ("12-password-2026!", BadPassword::CommonWithin),
            ("manchesterunited1878!", BadPassword::CommonWithin),
            ("k7qk7qk7qk7qk7q", BadPassword::Repetition),
            ("k7q-x k7q-x k7q-x", BadPassword::Repetition),
            ("password1!password1!", BadPassword::Repetition),
            ("               ", BadPassword::Repetition),
            ("öööööööööööööööö", BadPassword::Repetition),
            ("hjklöhjklöhjklöh", BadPassword::Repetition),
            ("abcdefghjklmnopq", BadPassword::Rows),
            ("lkjhgfdsapoiuytr", BadPassword::Rows),
            ("aaaabbbbcccczzzz", BadPassword::Rows),
            ("890456poiasd!@#qwe", BadPassword::Rows),
        ] {
            assert_eq!(check(text), Err(why), "{text}");
        }
        for good in [
            "the cat sat on the mat",
            "my first post office key",
            "qwerty is a keyboard",
            "purple-otter-violin purple-otter-violin",
            "wüste hunde bellen laut",
            "841092736150284",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }
}
