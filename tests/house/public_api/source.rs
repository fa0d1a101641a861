//! Reads the source of the library as far as its public API needs: modules, items, imports and impls. Bodies of functions
//! are not read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::text::{name_of, path_of, punct, text};

/// The modules by their path, such as `http::problem`. The path of the crate itself is empty.
pub type Modules = BTreeMap<String, Module>;

#[derive(Debug, Default)]
pub struct Module {
    pub marks: Marks,
    pub items: Vec<Item>,
    pub imports: Vec<Import>,
    pub impls: Vec<Impl>,
}

/// What attributes and the visibility say about an item.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    pub is_public: bool,
    pub is_hidden: bool,
    pub is_non_exhaustive: bool,
    pub features: Vec<String>,
    pub derives: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Item {
    pub name: String,
    pub marks: Marks,
    pub is_type: bool,
    /// The declaration without attributes and bodies.
    pub tokens: Vec<TokenTree>,
    /// The fields of a struct, the variants of an enum, the items of a trait.
    pub members: Vec<Item>,
}

/// One name that a `use` brings into a module.
#[derive(Debug)]
pub struct Import {
    pub marks: Marks,
    pub name: String,
    pub path: Vec<String>,
}

#[derive(Debug)]
pub struct Impl {
    pub features: Vec<String>,
    /// The tokens before the braces.
    pub head: Vec<TokenTree>,
    pub is_of_trait: bool,
    /// The path of the type.
    pub of: Vec<String>,
    pub members: Vec<Item>,
}

/// A macro that declares items, with `$name` for the name in an invocation.
type Macros = BTreeMap<String, TokenStream>;

/// Reads the library in this folder.
pub fn read(folder: &Path) -> Modules {
    let mut modules = Modules::new();
    let marks = Marks {
        is_public: true,
        ..Marks::default()
    };
    read_module(folder, "", marks, &mut modules);
    modules
}

fn read_module(folder: &Path, path: &str, marks: Marks, modules: &mut Modules) {
    let file = file_of(folder, path);
    let source = fs::read_to_string(&file).unwrap();
    let tokens: TokenStream = source.parse().unwrap();
    let mut module = Module {
        marks,
        ..Module::default()
    };
    let (mut children, mut macros) = (Vec::new(), Macros::new());
    read_items(tokens, &mut module, &mut children, &mut macros);
    modules.insert(path.to_owned(), module);
    for (name, marks) in children {
        read_module(folder, &below(path, &name), marks, modules);
    }
}

fn file_of(folder: &Path, path: &str) -> PathBuf {
    if path.is_empty() {
        return folder.join("lib.rs");
    }
    let base = folder.join(path.replace("::", "/"));
    let file = base.with_extension("rs");
    if file.exists() {
        file
    } else {
        base.join("mod.rs")
    }
}

/// The path of a name in a module.
pub fn below(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        _ => format!("{path}::{name}"),
    }
}

fn read_items(
    tokens: TokenStream,
    module: &mut Module,
    children: &mut Vec<(String, Marks)>,
    macros: &mut Macros,
) {
    let mut reader = Reader::of(tokens);
    while let Some(marks) = reader.marks() {
        let is_test = marks.is_none();
        let marks = marks.unwrap_or_default();
        let head = reader.head();
        let body = reader.body();
        let words: Vec<_> = head.iter().map_while(name_of).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            _ if is_test => {}
            ["mod", name] => children.push(((*name).to_owned(), marks)),
            ["use", ..] => {
                for (path, name) in leaves(&head[1..], Vec::new()) {
                    let marks = marks.clone();
                    module.imports.push(Import { marks, name, path });
                }
            }
            ["impl", ..] => module.impls.push(implementation(marks, head, body)),
            ["macro_rules"] => {
                let name = name_of(&head[2]).unwrap();
                macros.insert(name, body.unwrap().stream());
            }
            words => {
                let kinds = ["struct", "enum", "trait", "fn", "const", "static", "type"];
                // `const fn` is a function.
                let Some(at) = words.iter().rposition(|word| kinds.contains(word)) else {
                    let called = words.first().and_then(|name| macros.get(*name)).cloned();
                    let arguments = body.or_else(|| group_in(&head));
                    if let (Some(rules), Some(arguments)) = (called, arguments) {
                        let declared = expanded(rules, arguments.stream());
                        read_items(declared.unwrap_or_default(), module, children, macros);
                    }
                    continue;
                };
                let members = match (words[at], body) {
                    ("struct", body) => body
                        .or_else(|| group_in(&head))
                        .map_or_else(Vec::new, |body| fields(body.stream())),
                    ("enum", Some(body)) => variants(body.stream()),
                    ("trait", Some(body)) => declared_in(body.stream(), true),
                    _ => Vec::new(),
                };
                module.items.push(Item {
                    name: words[at + 1].to_owned(),
                    marks,
                    is_type: ["struct", "enum", "trait", "type"].contains(&words[at]),
                    tokens: head,
                    members,
                });
            }
        }
    }
}

/// The last group of a head, such as the fields of a tuple struct.
fn group_in(head: &[TokenTree]) -> Option<Group> {
    head.iter().rev().find_map(|token| match token {
        TokenTree::Group(group) => Some(group.clone()),
        _ => None,
    })
}

/// What an invocation of a macro declares, if the macro has a `$name` that is not repeated.
fn expanded(rules: TokenStream, arguments: TokenStream) -> Option<TokenStream> {
    let mut rules = rules.into_iter();
    let TokenTree::Group(matcher) = rules.next()? else {
        return None;
    };
    let body = rules.find_map(|token| match token {
        TokenTree::Group(group) => Some(group.stream()),
        _ => None,
    })?;
    let matcher: Vec<_> = matcher.stream().into_iter().collect();
    let has_name = matcher
        .windows(2)
        .any(|pair| punct(&pair[0]) == Some('$') && name_of(&pair[1]).as_deref() == Some("name"));
    let mut invocation = Reader::of(arguments);
    let attributes = invocation.attributes();
    let name = invocation.next().filter(|_| has_name)?;
    Some(substituted(body, &attributes, &name))
}

fn substituted(body: TokenStream, attributes: &[TokenTree], name: &TokenTree) -> TokenStream {
    let mut out = Vec::new();
    let mut rest = body.into_iter().peekable();
    while let Some(token) = rest.next() {
        match (&token, rest.peek()) {
            (dollar, Some(TokenTree::Ident(ident))) if punct(dollar) == Some('$') => {
                if ident == "name" {
                    out.push(name.clone());
                }
                rest.next();
            }
            // The repetition of the attributes, and its asterisk.
            (dollar, Some(TokenTree::Group(_))) if punct(dollar) == Some('$') => {
                out.extend_from_slice(attributes);
                rest.next();
                rest.next();
            }
            (TokenTree::Group(group), _) => {
                let inner = substituted(group.stream(), attributes, name);
                out.push(Group::new(group.delimiter(), inner).into());
            }
            _ => out.push(token),
        }
    }
    out.into_iter().collect()
}

fn implementation(marks: Marks, head: Vec<TokenTree>, body: Option<Group>) -> Impl {
    let mut start = 1;
    if head.get(1).and_then(punct) == Some('<') {
        let mut depth = 0;
        start += head[1..]
            .iter()
            .zip(&head)
            .position(|(token, before)| {
                match punct(token) {
                    Some('<') => depth += 1,
                    Some('>') if punct(before) != Some('-') => depth -= 1,
                    _ => {}
                }
                depth == 0
            })
            .unwrap()
            + 1;
    }
    let is_for = |token: &TokenTree| name_of(token).as_deref() == Some("for");
    let of_trait = head.iter().position(is_for);
    let members = body.map(|body| declared_in(body.stream(), of_trait.is_some()));
    Impl {
        features: marks.features,
        is_of_trait: of_trait.is_some(),
        of: path_of(&head[of_trait.map_or(start, |at| at + 1)..]),
        members: members.unwrap_or_default(),
        head,
    }
}

/// The functions, constants and types in a trait or an impl.
fn declared_in(body: TokenStream, are_public: bool) -> Vec<Item> {
    let (mut module, mut none) = (Module::default(), Vec::new());
    read_items(body, &mut module, &mut none, &mut Macros::new());
    for item in &mut module.items {
        item.marks.is_public |= are_public;
    }
    module.items
}

fn fields(body: TokenStream) -> Vec<Item> {
    let fields = listed(body).into_iter().enumerate();
    let field = |(index, (marks, tokens)): (usize, (Marks, Vec<TokenTree>))| {
        let is_named = tokens.get(1).and_then(punct) == Some(':')
            && tokens.get(2).and_then(punct) != Some(':');
        let name = name_of(&tokens[0]).filter(|_| is_named);
        Item {
            name: name.unwrap_or_else(|| index.to_string()),
            marks,
            is_type: false,
            tokens: tokens[if is_named { 2 } else { 0 }..].to_vec(),
            members: Vec::new(),
        }
    };
    fields.map(field).collect()
}

fn variants(body: TokenStream) -> Vec<Item> {
    let variant = |(marks, tokens): (Marks, Vec<TokenTree>)| Item {
        name: name_of(&tokens[0]).unwrap(),
        marks: Marks {
            is_public: true,
            ..marks
        },
        is_type: false,
        tokens,
        members: Vec::new(),
    };
    listed(body).into_iter().map(variant).collect()
}

/// The parts of a list with commas, each with its marks.
fn listed(body: TokenStream) -> Vec<(Marks, Vec<TokenTree>)> {
    let mut reader = Reader::of(body);
    let mut parts = Vec::new();
    while let Some(marks) = reader.marks() {
        let (mut tokens, mut depth) = (Vec::new(), 0);
        while let Some(token) = reader.next() {
            match punct(&token) {
                Some(',') if depth == 0 => break,
                Some('<') => depth += 1,
                Some('>') if tokens.last().and_then(punct) != Some('-') => depth -= 1,
                _ => {}
            }
            tokens.push(token);
        }
        parts.extend(marks.map(|marks| (marks, tokens)));
    }
    parts
}

/// The names that a `use` brings in, each with its path.
fn leaves(tokens: &[TokenTree], before: Vec<String>) -> Vec<(Vec<String>, String)> {
    let mut path = before;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => {
                let parts = listed(group.stream()).into_iter();
                return parts
                    .flat_map(|(_, tokens)| leaves(&tokens, path.clone()))
                    .collect();
            }
            TokenTree::Ident(ident) if ident == "as" => {
                return vec![(path, name_of(&tokens[at + 1]).unwrap())];
            }
            TokenTree::Ident(ident) => path.push(ident.to_string()),
            _ => {}
        }
    }
    if path.len() > 1 && path.last().is_some_and(|name| name == "self") {
        path.pop();
    }
    let name = path.last().cloned().unwrap_or_default();
    vec![(path, name)]
}

/// Takes tokens one after the other.
struct Reader {
    tokens: Vec<TokenTree>,
    at: usize,
}

impl Reader {
    fn of(tokens: TokenStream) -> Self {
        let tokens = tokens.into_iter().collect();
        Self { tokens, at: 0 }
    }

    fn next(&mut self) -> Option<TokenTree> {
        let token = self.tokens.get(self.at).cloned()?;
        self.at += 1;
        Some(token)
    }

    /// Takes the attributes, inner ones included.
    fn attributes(&mut self) -> Vec<TokenTree> {
        let start = self.at;
        while self.tokens.get(self.at).and_then(punct) == Some('#') {
            let is_inner = self.tokens.get(self.at + 1).and_then(punct) == Some('!');
            self.at += if is_inner { 3 } else { 2 };
        }
        self.tokens[start..self.at].to_vec()
    }

    /// Takes attributes and visibility. `Some(None)` is for an item that this library does not have when it is used, and
    /// `None` for the end.
    fn marks(&mut self) -> Option<Option<Marks>> {
        let (mut marks, mut is_there) = (Marks::default(), true);
        for attribute in self.attributes() {
            let TokenTree::Group(group) = attribute else {
                continue;
            };
            let words: Vec<_> = group.stream().into_iter().collect();
            let all = text(&words);
            match name_of(&words[0]).as_deref() {
                Some("doc") => marks.is_hidden |= all == "doc(hidden)",
                Some("non_exhaustive") => marks.is_non_exhaustive = true,
                Some("derive") => {
                    let names = all.trim_start_matches("derive(").trim_end_matches(')');
                    marks.derives.extend(names.split(", ").map(str::to_owned));
                }
                Some("cfg") => {
                    is_there &= !all.contains("test") && !all.contains("not(");
                    let features = all.split('"').skip(1).step_by(2);
                    let features = features.filter(|_| all.contains("feature"));
                    marks.features.extend(features.map(str::to_owned));
                }
                _ => {}
            }
        }
        self.tokens.get(self.at)?;
        if name_of(&self.tokens[self.at]).as_deref() == Some("pub") {
            self.at += 1;
            let scope = self.tokens.get(self.at);
            let is_limited = matches!(scope, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
            // A field of a tuple struct may have a type in parentheses. None here has.
            self.at += usize::from(is_limited);
            marks.is_public = !is_limited;
        }
        Some(is_there.then_some(marks))
    }

    /// Takes the tokens up to the body of an item, or its semicolon.
    fn head(&mut self) -> Vec<TokenTree> {
        let (start, mut has_value) = (self.at, false);
        let first = self.tokens.get(self.at).and_then(name_of);
        let second = self.tokens.get(self.at + 1).and_then(name_of);
        let is_value = match (first.as_deref(), second.as_deref()) {
            (Some("const"), Some(word)) => !["fn", "async", "unsafe"].contains(&word),
            (Some("static" | "type" | "use"), _) => true,
            _ => false,
        };
        while let Some(token) = self.tokens.get(self.at) {
            let is_body =
                matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
            if punct(token) == Some(';') || (is_body && !is_value) {
                break;
            }
            has_value |= punct(token) == Some('=');
            self.at += 1;
        }
        let mut head = self.tokens[start..self.at].to_vec();
        if has_value && first.as_deref() == Some("const") {
            let value = head.iter().position(|token| punct(token) == Some('='));
            head.truncate(value.unwrap_or(head.len()));
        }
        head
    }

    /// Takes the body of an item, or its semicolon.
    fn body(&mut self) -> Option<Group> {
        match self.next() {
            Some(TokenTree::Group(group)) => Some(group),
            _ => None,
        }
    }
}
