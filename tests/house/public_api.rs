//! The public API as rustdoc shows it is the one in `docs/public-api.txt`, and each type in it has a visible path.

mod source;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proc_macro2::{Delimiter, TokenTree};

use super::root;
use source::{Impl, Item, Marks, Modules, below, read};
use text::{paths, text};

/// Where the list is, below the root.
const LIST: &str = "docs/public-api.txt";

const HEAD: &str = "\
# What rustdoc shows of the library with the feature server. An item in brackets needs that feature.
# tests/house/public_api.rs compares this list with the source, and says how to renew it.
";

/// The crates whose types are in signatures: a breaking version of one of them is a breaking version of this library.
const FOREIGN: [&str; 9] = [
    "axum",
    "futures_util",
    "ipnet",
    "secrecy",
    "serde",
    "std",
    "tower_layer",
    "tower_service",
    "zeroize",
];

/// What a path of the source names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Named {
    Module(String),
    /// A module's item, or a variant or an associated item of it.
    Item(String, String),
    Foreign(String),
    /// A type parameter, or a name of the prelude.
    Other,
}

/// The crate, and the visible path of each of its visible items.
struct Api {
    modules: Modules,
    visible: BTreeMap<(String, String), String>,
}

impl Api {
    fn new(modules: Modules) -> Self {
        let mut api = Self {
            modules,
            visible: BTreeMap::new(),
        };
        let mut visible = BTreeMap::new();
        for (path, module) in api.shown() {
            for item in module.items.iter().filter(|item| is_shown(&item.marks)) {
                let key = (path.clone(), item.name.clone());
                visible.insert(key, below(path, &item.name));
            }
        }
        for (path, module) in api.shown() {
            for import in module
                .imports
                .iter()
                .filter(|import| is_shown(&import.marks))
            {
                if let Named::Item(home, name) = api.named(path, &import.path)
                    && is_shown(&api.item(&home, &name).marks)
                {
                    let shown = below(path, &import.name);
                    visible.entry((home, name)).or_insert(shown);
                }
            }
        }
        api.visible = visible;
        api
    }

    /// The modules that rustdoc shows.
    fn shown(&self) -> impl Iterator<Item = (&String, &source::Module)> {
        self.modules.iter().filter(|(path, _)| {
            let parts: Vec<_> = path.split("::").collect();
            (0..=parts.len()).all(|length| {
                let module = &self.modules[&parts[..length].join("::")];
                is_shown(&module.marks)
            })
        })
    }

    fn item(&self, home: &str, name: &str) -> &Item {
        let items = &self.modules[home].items;
        items.iter().find(|item| item.name == name).unwrap()
    }

    /// The features that an item of this module needs.
    fn features_of(&self, home: &str) -> Vec<String> {
        let parts: Vec<_> = home.split("::").collect();
        let modules = (1..=parts.len()).map(|length| parts[..length].join("::"));
        let features = modules.filter_map(|path| self.modules.get(&path));
        features
            .flat_map(|module| module.marks.features.clone())
            .collect()
    }

    /// What a path means in a module.
    fn named(&self, module: &str, path: &[String]) -> Named {
        let Some((first, rest)) = path.split_first() else {
            return Named::Other;
        };
        let start = match first.as_str() {
            "crate" => Named::Module(String::new()),
            "self" => Named::Module(module.to_owned()),
            "super" => {
                let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
                Named::Module(parent.to_owned())
            }
            name => match self.found(module, name) {
                Named::Other if !rest.is_empty() && name.starts_with(char::is_lowercase) => {
                    Named::Foreign(name.to_owned())
                }
                found => found,
            },
        };
        rest.iter().fold(start, |so_far, name| match so_far {
            Named::Module(module) if name == "super" => self.named(&module, &["super".to_owned()]),
            Named::Module(module) => self.found(&module, name),
            other => other,
        })
    }

    /// What a name means in a module.
    fn found(&self, module: &str, name: &str) -> Named {
        let child = below(module, name);
        let here = &self.modules[module];
        if self.modules.contains_key(&child) {
            Named::Module(child)
        } else if here.items.iter().any(|item| item.name == name) {
            Named::Item(module.to_owned(), name.to_owned())
        } else if let Some(import) = here.imports.iter().find(|import| import.name == name) {
            match import.path.as_slice() {
                // `use http;` and its like would be found again and again.
                [only] if only == name => Named::Foreign(name.to_owned()),
                path => self.named(module, path),
            }
        } else {
            Named::Other
        }
    }

    /// The lines of the list, and what is wrong with the API.
    fn lines(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let mut lines = Lines {
            api: self,
            lines: BTreeSet::new(),
            wrong: BTreeSet::new(),
        };
        for (path, module) in self.shown() {
            if !path.is_empty() {
                lines.add(path, "mod", &self.features_of(path));
            }
            for import in module
                .imports
                .iter()
                .filter(|import| is_shown(&import.marks))
            {
                let shown = below(path, &import.name);
                if let Named::Item(home, name) = self.named(path, &import.path)
                    && let Some(first) = self.visible.get(&(home, name))
                    && *first != shown
                {
                    let features = [self.features_of(path), import.marks.features.clone()];
                    lines.add(&shown, &format!("use {first}"), &features.concat());
                }
            }
        }
        for ((home, name), shown) in &self.visible {
            lines.add_item(home, shown, self.item(home, name));
        }
        for (home, module) in &self.modules {
            for implementation in &module.impls {
                lines.add_impl(home, implementation);
            }
        }
        (lines.lines, lines.wrong)
    }
}

const fn is_shown(marks: &Marks) -> bool {
    marks.is_public && !marks.is_hidden
}

struct Lines<'a> {
    api: &'a Api,
    lines: BTreeSet<String>,
    wrong: BTreeSet<String>,
}

impl Lines<'_> {
    fn add(&mut self, path: &str, what: &str, features: &[String]) {
        // The feature `server` has the other two.
        let feature = ["server", "axum", "remote"]
            .into_iter()
            .find(|known| features.iter().any(|feature| feature == known));
        let feature = feature.map_or_else(String::new, |feature| format!(" [{feature}]"));
        self.lines
            .insert(format!("waxseal::{path}{feature}: {what}"));
    }

    fn add_item(&mut self, home: &str, shown: &str, item: &Item) {
        let features = [self.api.features_of(home), item.marks.features.clone()].concat();
        let mut what = text(&declaration(&item.tokens));
        if item.marks.is_non_exhaustive {
            what.push_str(", non-exhaustive");
        } else if what.starts_with("struct")
            && item.members.iter().any(|field| !field.marks.is_public)
        {
            what.push_str(", private fields");
        }
        if !item.marks.derives.is_empty() {
            what.push_str(", derives ");
            what.push_str(&item.marks.derives.join(", "));
        }
        self.add(shown, &what, &features);
        if !what.starts_with("struct") {
            self.check(home, shown, &item.tokens);
        }
        let (is_struct, is_enum) = (what.starts_with("struct"), what.starts_with("enum"));
        for member in item.members.iter().filter(|member| is_shown(&member.marks)) {
            let tokens = text(&member.tokens);
            let what = match (is_struct, is_enum) {
                (true, _) => format!("field {tokens}"),
                (_, true) => format!("variant {tokens}"),
                _ => tokens,
            };
            let path = below(shown, &member.name);
            self.add(
                &path,
                &what,
                &[features.as_slice(), &member.marks.features].concat(),
            );
            // A variant may have the name of a type.
            self.check(home, &path, &member.tokens[usize::from(is_enum)..]);
        }
    }

    fn add_impl(&mut self, home: &str, implementation: &Impl) {
        let Named::Item(place, name) = self.api.named(home, &implementation.of) else {
            return;
        };
        let Some(shown) = self.api.visible.get(&(place, name)) else {
            return;
        };
        let features = [self.api.features_of(home), implementation.features.clone()].concat();
        if implementation.is_of_trait {
            // An impl of a hidden trait, or for a hidden type, is of no use to others.
            if self.hidden_in(home, &implementation.head).is_empty() {
                self.add(shown, &text(&implementation.head), &features);
                self.check(home, shown, &implementation.head);
            }
            return;
        }
        for member in implementation
            .members
            .iter()
            .filter(|member| is_shown(&member.marks))
        {
            let path = below(shown, &member.name);
            let features = [features.as_slice(), &member.marks.features].concat();
            self.add(&path, &text(&declaration(&member.tokens)), &features);
            self.check(home, &path, &member.tokens);
        }
    }

    /// Checks that each type in these tokens of a signature has a visible path, or is of a crate that may be named.
    fn check(&mut self, home: &str, shown: &str, tokens: &[TokenTree]) {
        for hidden in self.hidden_in(home, tokens) {
            self.wrong.insert(format!(
                "{shown} names {hidden}, which rustdoc does not show"
            ));
        }
        for path in paths(tokens) {
            if let Named::Foreign(name) = self.api.named(home, &path)
                && !FOREIGN.contains(&name.as_str())
            {
                self.wrong
                    .insert(format!("{shown} names a type of the crate {name}"));
            }
        }
    }

    /// The types of the library in these tokens that have no visible path.
    fn hidden_in(&self, home: &str, tokens: &[TokenTree]) -> Vec<String> {
        let paths = paths(tokens).into_iter();
        let hidden = paths.filter_map(|path| match self.api.named(home, &path) {
            Named::Item(place, name) if self.api.item(&place, &name).is_type => {
                let key = (place, name);
                (!self.api.visible.contains_key(&key)).then(|| below(&key.0, &key.1))
            }
            _ => None,
        });
        hidden.collect()
    }
}

/// The declaration of an item without the fields of a tuple struct, which have lines of their own.
fn declaration(tokens: &[TokenTree]) -> Vec<TokenTree> {
    let is_struct = text(&tokens[..1]) == "struct";
    let is_fields = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis);
    let tokens = tokens.iter();
    tokens
        .take_while(|token| !(is_struct && is_fields(token)))
        .cloned()
        .collect()
}

#[test]
fn public_api_is_as_it_is_written_down() {
    let api = Api::new(read(&root().join("src")));
    let (lines, wrong) = api.lines();
    assert!(lines.len() > 200, "the test reads the source");
    assert!(wrong.is_empty(), "{wrong:#?}");
    let place = root().join(LIST);
    if std::env::var_os("WAXSEAL_RENEW").is_some() {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&place, format!("{HEAD}{text}")).unwrap();
    }
    let written = fs::read_to_string(&place).unwrap_or_default();
    let written = written.lines().filter(|line| !line.starts_with('#'));
    let written: BTreeSet<_> = written.map(str::to_owned).collect();
    let gone: Vec<_> = written.difference(&lines).collect();
    let new: Vec<_> = lines.difference(&written).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "The public API differs from {LIST}. Gone: {gone:#?} New: {new:#?} docs/stability.md says what may change. If this \
         is meant, run: WAXSEAL_RENEW=1 cargo test --locked --test house public_api"
    );
}
