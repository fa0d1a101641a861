//! The page about proxies names the existing examples.

use std::collections::BTreeSet;
use std::path::Path;

use super::fixture::example;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_page_names_every_configuration_and_no_other() {
    let page = read("docs/proxies.md");
    let start = "](../examples/proxies/";
    let named: BTreeSet<_> = page
        .match_indices(start)
        .map(|(at, _)| page[at + start.len()..].split(')').next().unwrap())
        .map(str::to_owned)
        .collect();
    let there: BTreeSet<_> = std::fs::read_dir(example("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(named, there);
    assert!(there.len() >= 3, "{there:?}");
    for name in there {
        let text = read(&format!("examples/proxies/{name}"));
        assert!(text.contains("docs/proxies.md"), "{name}");
    }
    assert!(read("README.md").contains("](docs/proxies.md)"));
}
