//! Tokens as text, spaced as `cargo fmt` does on one line.

use proc_macro2::{Delimiter, TokenTree};

/// The character of a punctuation token.
pub fn punct(token: &TokenTree) -> Option<char> {
    match token {
        TokenTree::Punct(punct) => Some(punct.as_char()),
        _ => None,
    }
}

/// The text of an identifier or a keyword.
pub fn name_of(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Ident(ident) => Some(ident.to_string()),
        _ => None,
    }
}

/// The path that the tokens begin with.
pub fn path_of(tokens: &[TokenTree]) -> Vec<String> {
    let mut path = Vec::new();
    for token in tokens {
        match (name_of(token), punct(token)) {
            (Some(name), _) => path.push(name),
            (None, Some(':')) => {}
            _ => break,
        }
    }
    path
}

/// All paths in the tokens, those in groups included.
pub fn paths(tokens: &[TokenTree]) -> Vec<Vec<String>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                found.extend(paths(&inner));
            }
            TokenTree::Ident(ident) => {
                let mut path = vec![ident.to_string()];
                while let [colon, second, TokenTree::Ident(next), ..] = &tokens[at + 1..]
                    && (punct(colon), punct(second)) == (Some(':'), Some(':'))
                {
                    path.push(next.to_string());
                    at += 3;
                }
                found.push(path);
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The tokens without attributes as single words, such as `::` and `'a`.
fn words(tokens: &[TokenTree], out: &mut Vec<String>) {
    let mut rest = tokens.iter().peekable();
    while let Some(token) = rest.next() {
        match token {
            TokenTree::Group(group) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::None => ("", ""),
                };
                out.push(open.to_owned());
                words(&inner, out);
                out.push(close.to_owned());
            }
            TokenTree::Punct(mark) => {
                let next = rest.peek().copied();
                match (mark.as_char(), next.and_then(punct)) {
                    ('#', None) if matches!(next, Some(TokenTree::Group(_))) => {
                        rest.next();
                    }
                    ('\'', _) => {
                        let name = rest.next().and_then(name_of).unwrap_or_default();
                        out.push(format!("'{name}"));
                    }
                    (':', Some(':')) | ('-' | '=', Some('>')) => {
                        let second = rest.next().and_then(punct).unwrap_or_default();
                        out.push(format!("{}{second}", mark.as_char()));
                    }
                    (mark, _) => out.push(mark.to_string()),
                }
            }
            other => out.push(other.to_string()),
        }
    }
}

/// The tokens without attributes as text.
pub fn text(tokens: &[TokenTree]) -> String {
    let mut all = Vec::new();
    words(tokens, &mut all);
    let mut out = String::new();
    let mut before = "";
    for (at, word) in all.iter().map(String::as_str).enumerate() {
        let closes = [")", "]", ">"].contains(&word);
        if word == ","
            && all
                .get(at + 1)
                .is_some_and(|next| [")", ">", "]", "}"].contains(&next.as_str()))
        {
            continue;
        }
        let is_word = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
        let called =
            (is_word(before) && !["mut", "dyn", "for", "where"].contains(&before)) || before == ">";
        let glued = closes
            || before.is_empty()
            || [",", ";", ":", "::", ".", "?"].contains(&word)
            || ["(", "[", "<", "&", "::", "$"].contains(&before)
            || (["(", "<", "!"].contains(&word) && called);
        if !glued {
            out.push(' ');
        }
        out.push_str(word);
        before = word;
    }
    out.trim_end_matches(',').replace("(mut self", "(self")
}
