//! Strict JSON against serde_json, with the same rules applied to its values: equal verdicts, equal values.

use proptest::prelude::*;

use super::checks::others::json::{ours, theirs};

/// JSON texts, some with a part that is not quite JSON.
fn nearly_json() -> impl Strategy<Value = String> {
    let space = || {
        prop_oneof![
            100 => Just(String::new()),
            20 => "[ \t\n\r]{0,2}",
            1 => "\u{a0}|\u{c}|,",
        ]
    };
    let text = || {
        prop_oneof![
            40 => "\"[a-z]{0,20}\"",
            10 => "\"[ !#-\\[\\]-~ä€𝄞\\x7f]{0,20}\"",
            10 => "\"([a-z]{0,9}(\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-cA-C][0-9a-fA-F]{3}|\\\\ud8[0-9a-f]{2}\\\\ud[c-f][0-9a-f]{2})){0,3}\"",
            5 => "\"[a-b]\"",
            1 => "\"[ -~ä\\x00-\\x20]{0,20}\"",
            1 => "\"(\\\\[a-zA-Z]|\\\\u[0-9a-f]{3,4}|\\\\ud[0-9a-f]{3}){1,2}\"",
        ]
    };
    let number = prop_oneof![
        20 => "-?(0|[1-9][0-9]{0,19})",
        20 => "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        10 => any::<i64>().prop_map(|number| number.to_string()),
        10 => any::<u64>().prop_map(|number| number.to_string()),
        1 => "-?[0-9]{0,3}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,4})?",
        1 => "[-+.eE0-9]{1,5}",
    ];
    let word = prop_oneof![
        10 => "true|false|null",
        1 => "tru|nulll|True|NaN|Infinity|'a'|/\\*\\*/1|",
    ];
    let leaf = prop_oneof![4 => text(), 4 => number, 1 => word];
    let value = leaf.prop_recursive(10, 40, 4, move |value| {
        let list = |open: &'static str, close: &'static str, items: BoxedStrategy<Vec<String>>| {
            let end =
                prop_oneof![40 => Just(close), 1 => Just(""), 1 => Just(",]"), 1 => Just(",}")];
            (items, space(), end).prop_map(move |(items, space, end)| {
                format!("{open}{space}{}{space}{end}", items.join(","))
            })
        };
        let member = (text(), space(), value.clone())
            .prop_map(|(key, space, value)| format!("{space}{key}{space}:{space}{value}{space}"));
        prop_oneof![
            list("[", "]", prop::collection::vec(value, 0..4).boxed()),
            list("{", "}", prop::collection::vec(member, 0..4).boxed()),
        ]
    });
    let end = prop_oneof![10 => space(), 1 => ",|\\}|\\{\\}".prop_map(String::from)];
    (space(), text(), value, end)
        .prop_map(|(space, key, value, end)| format!("{space}{{{key}:{value}}}{end}"))
}

// The fuzz target `json` makes the same comparison with millions of texts by night.
proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn near_json_gets_the_verdict_of_serde(json in nearly_json()) {
        prop_assert_eq!(ours(json.as_bytes()), theirs(json.as_bytes()), "{}", json);
    }

    #[test]
    fn json_with_one_changed_byte_gets_the_verdict_of_serde(
        json in nearly_json(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut json = json.into_bytes();
        let at = at.index(json.len());
        json[at] = byte;
        prop_assert_eq!(ours(&json), theirs(&json), "{}", String::from_utf8_lossy(&json));
    }
}

/// The generated texts are valid JSON often enough for a meaningful comparison.
#[test]
fn near_json_is_accepted_and_refused_often_enough() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut good = 0;
    for _ in 0..1000 {
        let json = nearly_json().new_tree(&mut runner).unwrap().current();
        good += usize::from(ours(json.as_bytes()).is_some());
    }
    assert!((300..900).contains(&good), "{good} of 1000");
}

/// Every byte at every position of the words in which the parser reads a text.
#[test]
fn every_byte_in_every_place_of_a_text() {
    for length in 0..24 {
        for at in 0..length {
            for byte in 0..=255 {
                let mut json = [b"{\"a\":\"", vec![b'x'; length].as_slice(), b"\"}"].concat();
                json[6 + at] = byte;
                assert_eq!(ours(&json), theirs(&json), "{byte} at {at} of {length}");
            }
        }
    }
}

/// An empty array counts as one more level, an empty object does not.
#[test]
fn every_depth() {
    for depth in 0..12 {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for inmost in ["1", "[]", "{}", "[1]", "{\"a\":1}", "[[]]", "[{}]"] {
                let json = format!(
                    "{{\"a\":{}{inmost}{}}}",
                    open.repeat(depth),
                    close.repeat(depth)
                );
                assert_eq!(ours(json.as_bytes()), theirs(json.as_bytes()), "{json}");
            }
        }
    }
}
