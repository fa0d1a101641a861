//! Rules for new passwords.

use secrecy::SecretString;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::disguise::{cores, is_trivial, readings};
use super::{BadPassword, MIN_CHARS, Password, common};

/// How many characters of a password are judged. The cost grows faster than linearly, and no list has longer passwords.
const JUDGED_CHARS: usize = 40;

/// The number of zxcvbn guesses below which a password is common. The lists in zxcvbn have about 30,000 passwords and
/// 60,000 words and names, and the usual variations of these stay below it.
const COMMON_GUESSES: u64 = 1_000_000;

/// The minimum length, in characters, of a word that counts inside a longer password. A shorter word counts only if the
/// password is made from nothing else.
const WORD_CHARS: usize = 3;

/// The minimum number of characters besides context words, common words and trivial parts.
const OWN_CHARS: usize = 4;

/// The rules for new passwords: length, common and breached passwords, and context words such as the username, which
/// attackers try first (NIST SP 800-63B-4, section 3.1.1.2). There are no composition rules.
#[derive(Clone, Debug)]
pub struct PasswordRules {
    words: Vec<String>,
}

/// The rules of a service without forbidden words or an issuer name.
impl Default for PasswordRules {
    fn default() -> Self {
        Self::new("", &[])
    }
}

impl PasswordRules {
    /// Creates the rules of the service with that issuer URL. They also refuse passwords made from the issuer's host
    /// name or from a `forbidden` word.
    #[doc(hidden)]
    #[must_use]
    pub fn new(issuer: &str, forbidden: &[String]) -> Self {
        let mut words = vec!["waxseal".to_owned()];
        words.extend(host_words(issuer));
        words.extend(forbidden.iter().flat_map(|word| variants(word)));
        Self { words }
    }

    /// Accepts a new password for the user with that name.
    ///
    /// # Errors
    /// [`BadPassword`] says which rule refuses the password.
    pub fn choose(&self, text: SecretString, username: &str) -> Result<Password, BadPassword> {
        let password = Password::presented(text)?;
        let text = password.form();
        if text.chars().count() < MIN_CHARS {
            return Err(BadPassword::TooShort);
        }
        let judged: Zeroizing<String> = Zeroizing::new(text.chars().take(JUDGED_CHARS).collect());
        let mut words = variants(username);
        words.extend(self.words.iter().cloned());
        let mut known: Vec<_> = words.iter().map(String::as_str).collect();
        known.push(username);
        // Compatibility forms, such as fullwidth letters, are a further disguise.
        let plain: Zeroizing<Vec<char>> = Zeroizing::new(
            judged
                .as_str()
                .nfkc()
                .flat_map(char::to_lowercase)
                .collect(),
        );
        if is_expected(&plain, &words) {
            return Err(BadPassword::Expected);
        }
        if is_common(&plain) || zxcvbn::zxcvbn(&judged, &known).guesses() < COMMON_GUESSES {
            return Err(BadPassword::TooCommon);
        }
        Ok(password)
    }
}

/// Returns the words of the host in a URL, without the top-level domain and numbers.
fn host_words(url: &str) -> Vec<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.starts_with('[') {
        return Vec::new();
    }
    let host = authority.split(':').next().unwrap_or_default();
    let labels: Vec<_> = host.split('.').collect();
    let named = match labels.as_slice() {
        [name] => std::slice::from_ref(name),
        [names @ .., _top] => names,
        [] => &[],
    };
    named.iter().flat_map(|label| variants(label)).collect()
}

/// Returns the word without separators, its parts that are long enough, and each of these without trailing digits.
/// Longer words come first. Variants without letters are left out.
fn variants(word: &str) -> Vec<String> {
    let word = word.to_lowercase();
    let parts = word.split(|c: char| !c.is_alphanumeric());
    let joined: String = word.chars().filter(|c| c.is_alphanumeric()).collect();
    let mut words = vec![joined];
    words.extend(parts.filter(|part| is_long(part)).map(str::to_owned));
    let bare = words
        .iter()
        .map(|word| word.trim_end_matches(char::is_numeric));
    let bare: Vec<_> = bare
        .filter(|word| is_long(word))
        .map(str::to_owned)
        .collect();
    words.extend(bare);
    words.retain(|word| word.chars().any(char::is_alphabetic));
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words.dedup();
    words
}

fn is_long(word: &str) -> bool {
    word.chars().count() >= WORD_CHARS
}

/// Returns whether the text is a common password or a disguise of one.
fn is_common(text: &[char]) -> bool {
    let has = |text: &[char]| {
        let text: Zeroizing<String> = Zeroizing::new(text.iter().collect());
        common::contains(&text)
    };
    let is_word =
        |core: &[char]| core.len() >= WORD_CHARS && core.iter().all(|c| c.is_alphabetic());
    cores(text).any(|core| {
        let mut readings = readings(core).into_iter();
        (core.len() >= MIN_CHARS && has(core)) || readings.any(|word| is_word(&word) && has(&word))
    })
}

/// Returns whether the text is made from context words alone, apart from a disguise and a few other characters.
fn is_expected(text: &[char], words: &[String]) -> bool {
    let words: Vec<Vec<char>> = words.iter().map(|word| word.chars().collect()).collect();
    let disguised: Vec<_> = words.iter().flat_map(|word| readings(word)).collect();
    let is_word = |core: &[char]| {
        let mut readings = readings(core).into_iter();
        readings.any(|word| {
            let reversed: Vec<_> = word.iter().rev().copied().collect();
            disguised.contains(&word) || disguised.contains(&reversed)
        })
    };
    if cores(text).any(is_word) {
        return true;
    }
    let [first, second] = readings(text);
    [text, &first, &second].into_iter().any(|reading| {
        let rest = without(text, reading, &words);
        rest.is_some_and(|rest| own_chars(&rest) < OWN_CHARS)
    })
}

/// Returns the pieces of `text` that remain without the words found in its `reading`. `None` if it has no such word.
fn without<'a>(text: &'a [char], reading: &[char], words: &[Vec<char>]) -> Option<Vec<&'a [char]>> {
    let mut covered = vec![false; text.len()];
    for word in words.iter().filter(|word| word.len() >= WORD_CHARS) {
        for (at, window) in reading.windows(word.len()).enumerate() {
            if window == word.as_slice() {
                covered[at..at + word.len()].fill(true);
            }
        }
    }
    if !covered.contains(&true) {
        return None;
    }
    let mut pieces = Vec::new();
    let mut start = 0;
    for run in covered.chunk_by(|one, next| one == next) {
        if !run[0] {
            pieces.push(&text[start..start + run.len()]);
        }
        start += run.len();
    }
    Some(pieces)
}

/// Counts the characters of the pieces that are neither trivial nor part of a common word. Only the first common word
/// is left out: two words chosen at random are not trivial.
fn own_chars(pieces: &[&[char]]) -> usize {
    let own = pieces.iter().filter(|piece| !is_trivial(&[piece]));
    let (common, others): (Vec<&[char]>, Vec<&[char]>) = own.partition(|piece| is_common(piece));
    let length = |pieces: &[&[char]]| pieces.iter().map(|piece| piece.len()).sum::<usize>();
    length(&others) + length(common.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> PasswordRules {
        PasswordRules::new(
            "https://auth.acme-corp.example:8443/x",
            &["Roadrunner".to_owned()],
        )
    }

    fn judge(text: &str, username: &str) -> Result<(), BadPassword> {
        rules().choose(SecretString::from(text), username).map(drop)
    }

    #[test]
    fn common_passwords_are_refused_in_their_disguises() {
        for common in [
            "Admin@123",
            "Welcome2024!",
            "Test@12345",
            "Password1!",
            "P@ssw0rd2024",
            "Pa$$w0rd!!",
            "Qwerty123!",
            "Summer2025!",
            "Changeme123!",
            "L3tm31n2024",
            "!!Welcome1!!",
            "Company@2023",
            "Iloveyou#1",
            "ｐａｓｓｗｏｒｄ1",
            "hello12345678",
            "1q2w3e4r5t6y",
        ] {
            assert_eq!(
                judge(common, "wilhelmina"),
                Err(BadPassword::TooCommon),
                "{common}"
            );
        }
    }

    #[test]
    fn words_of_the_context_are_refused_in_their_disguises() {
        for (text, username) in [
            ("bob@12345", "bob"),
            ("B0b2024!", "bob"),
            ("bobbobbob", "bob"),
            ("bob-admin-2024", "bob"),
            ("bob@12345", "bob42"),
            ("b0b42!!2024", "b0b42"),
            ("Jane.Doe1990", "jane.doe@example.org"),
            ("janedoe!!", "jane.doe@example.org"),
            ("Doe12345!", "jane.doe@example.org"),
            ("animlehliw1!", "wilhelmina"),
            ("W1lh3lm1n4!", "wilhelmina"),
            ("Waxseal2024!", "bob"),
            ("w@xse@l#1234", "bob"),
            ("Acme2024!", "bob"),
            ("AcmeCorp#1", "bob"),
            ("acme-corp-2024", "bob"),
            ("acmebob123!", "bob"),
            ("R0@drunner99", "bob"),
            ("waxsealpassword", "bob"),
            ("jo@12345678", "jo"),
        ] {
            assert_eq!(judge(text, username), Err(BadPassword::Expected), "{text}");
        }
    }

    #[test]
    fn a_password_with_enough_of_its_own_may_have_such_words() {
        for (text, username) in [
            ("correct horse battery bob staple", "bob"),
            ("correct horse battery", "alice"),
            ("bob likes 7 violet umbrellas", "bob"),
            ("bobsleigh-vortex7", "bob"),
            ("Kestrel4821?vane", "alice"),
            ("my acme badge is in the drawer", "alice"),
            ("vgxqkzpw", "alice"),
            ("PDpGbFXXoEfaIZEyC6wEYQ", "admin"),
            ("the-quick-roadrunner-jumps", "the"),
            ("aaronic-zebra-9", "a"),
        ] {
            assert_eq!(judge(text, username), Ok(()), "{text}");
        }
    }

    #[test]
    fn an_issuer_without_a_name_adds_no_words() {
        for (url, words) in [
            ("http://127.0.0.1:8080", vec![]),
            ("http://[::1]:8080", vec![]),
            ("http://localhost:8080", vec!["localhost"]),
            ("https://auth.example", vec!["auth"]),
            ("https://id.acme.co.uk/auth/", vec!["id", "acme", "co"]),
            ("", vec![]),
        ] {
            assert_eq!(host_words(url), words, "{url}");
        }
    }
}
