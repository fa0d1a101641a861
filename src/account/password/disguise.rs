//! Disguises of words: letters written as digits and symbols, and digits and symbols put around a word.

use std::iter;

/// The maximum number of runs of digits or symbols around a word for the text to count as a disguise of the word.
const RUNS: usize = 4;

/// Returns the readings of a text in which digits and symbols stand for letters (`p@55w0rd`). `1`, `!` and `|` are an
/// `i` in the first reading and an `l` in the second. Readings have as many characters as the text.
pub(super) fn readings(text: &[char]) -> [Vec<char>; 2] {
    ['i', 'l'].map(|one| text.iter().map(|c| letter(*c, one)).collect())
}

const fn letter(c: char, one: char) -> char {
    match c {
        '@' | '4' => 'a',
        '8' => 'b',
        '3' => 'e',
        '9' => 'g',
        '1' | '!' | '|' => one,
        '0' => 'o',
        '$' | '5' => 's',
        '7' | '+' => 't',
        other => other,
    }
}

/// Returns the words that `text` may be made from: the text without trivial prefixes and suffixes. The text itself
/// comes first.
pub(super) fn cores(text: &[char]) -> impl Iterator<Item = &[char]> {
    let is_letter = |c: &char| c.is_alphabetic();
    let first = text.iter().position(is_letter).unwrap_or(0);
    let last = text.iter().rposition(is_letter);
    let behind = last.map_or(text.len(), |last| last + 1);
    (0..=first).flat_map(move |start| {
        let ends = (behind..=text.len()).rev();
        let ends = ends.filter(move |end| {
            let around = [&text[..start], &text[*end..]];
            is_trivial(&around)
        });
        ends.map(move |end| &text[start..end])
    })
}

/// Returns whether attackers try these texts around every word: a few digits, a year, a sequence such as `12345`, a few
/// symbols, and combinations of these.
pub(super) fn is_trivial(around: &[&[char]]) -> bool {
    let runs: Vec<_> = around.iter().flat_map(|text| runs(text)).collect();
    runs.len() <= RUNS && runs.into_iter().all(is_trivial_run)
}

/// Splits a text at the boundaries between digits, letters and other characters.
fn runs(text: &[char]) -> impl Iterator<Item = &[char]> {
    let mut rest = text;
    iter::from_fn(move || {
        let kind = kind(*rest.first()?);
        let length = rest.iter().take_while(|c| self::kind(**c) == kind).count();
        let (run, behind) = rest.split_at(length);
        rest = behind;
        Some(run)
    })
}

#[derive(PartialEq, Eq)]
enum CharacterKind {
    Digit,
    Symbol,
    Letter,
}

fn kind(c: char) -> CharacterKind {
    match c {
        '0'..='9' => CharacterKind::Digit,
        _ if c.is_ascii_punctuation() || c.is_whitespace() => CharacterKind::Symbol,
        _ => CharacterKind::Letter,
    }
}

fn is_trivial_run(run: &[char]) -> bool {
    let run: Vec<_> = run.iter().map(|c| digit_of_key(*c)).collect();
    if run.iter().any(|c| kind(*c) == CharacterKind::Letter) {
        return false;
    }
    // A pattern at one end, and at most three more characters or another pattern.
    let without_pattern = |rest: &[char]| rest.len() <= 3 || is_pattern(rest);
    run.len() <= 3
        || is_pattern(&run)
        || (3..run.len()).any(|at| {
            let (before, behind) = run.split_at(at);
            let (start, end) = run.split_at(run.len() - at);
            (is_pattern(before) && without_pattern(behind))
                || (is_pattern(end) && without_pattern(start))
        })
}

/// Returns the digit on the same key of a US keyboard: `!@#` is typed like `123`.
fn digit_of_key(c: char) -> char {
    let at = ")!@#$%^&*(".chars().position(|key| key == c);
    let digit = at.and_then(|at| char::from_digit(u32::try_from(at).ok()?, 10));
    digit.unwrap_or(c)
}

/// Returns whether the run is a year, one repeated character, or digits that rise or fall by one (0 follows 9).
fn is_pattern(run: &[char]) -> bool {
    let same = run.windows(2).all(|pair| pair[0] == pair[1]);
    let digits: Option<Vec<_>> = run.iter().map(|c| c.to_digit(10)).collect();
    let Some(digits) = digits else {
        return same;
    };
    let steps = |up: u32| {
        let mut pairs = digits.windows(2);
        pairs.all(|pair| pair[1] == (pair[0] + up) % 10)
    };
    let year = matches!(digits.as_slice(), [1, 9, _, _] | [2, 0, _, _]);
    same || year || steps(1) || steps(9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    #[test]
    fn padding_around_words_is_told_from_random_characters() {
        for trivial in [
            "",
            "1",
            "42",
            "007",
            "123",
            "12345",
            "1234567890",
            "0987",
            "2024",
            "1999!",
            "@123",
            "@12345",
            "!!!!!!",
            "2024123",
            "12024",
            "@2024!",
            "#1",
            " 1",
            "!@#$%",
            "111111",
        ] {
            assert!(is_trivial(&[&chars(trivial)]), "{trivial}");
        }
        for chosen in [
            "4821", "74193", "x", "ü", "!7?3.9-", "#4821", "48219376", "?!.;", "9_4_7",
        ] {
            assert!(!is_trivial(&[&chars(chosen)]), "{chosen}");
        }
        assert!(is_trivial(&[&chars("!!1"), &chars("2024!")]));
        assert!(!is_trivial(&[&chars("!1!"), &chars("2024!")]));
    }

    #[test]
    fn words_are_read_through_their_disguise() {
        let read = |text: &str| -> Vec<String> {
            let text = chars(text);
            let cores = cores(&text).flat_map(readings);
            cores.map(|core| core.into_iter().collect()).collect()
        };
        for (text, word) in [
            ("admin", "admin"),
            ("admin@123", "admin"),
            ("2024welcome!", "welcome"),
            ("p@$$w0rd!", "password"),
            ("pa$$2024", "pass"),
            ("@dm1n123", "admin"),
            ("b0b2024!", "bob"),
            ("he110!!", "hello"),
            ("4ll4n1", "allan"),
        ] {
            assert!(
                read(text).contains(&word.to_owned()),
                "{text}: {:?}",
                read(text)
            );
        }
        // Four digits without a pattern are not trivial.
        assert!(!read("word4821").contains(&"word".to_owned()));
    }
}
