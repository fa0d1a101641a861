//! docs/metrics.md lists every metric, and docs/grafana.json queries no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use metrics_util::debugging::DebuggingRecorder;
use serde_json::Value;
use waxseal::Verifier;

use super::common::{ISSUER, Place};
use super::scrape::Watched;

fn read(page: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    fs::read_to_string(docs.join(page)).unwrap()
}

/// A row of the page's table: the type, the labels, and the place that exports the metric.
type Row = (String, BTreeSet<String>, String);

/// Returns the metrics that the page documents.
fn documented() -> BTreeMap<String, Row> {
    let page = read("metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `waxseal_"));
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, metric, kind, labels, place, ..] = cells.as_slice() else {
            panic!("no row: {line}");
        };
        let words = |cell: &str| -> BTreeSet<String> {
            let words = cell.split('`').skip(1).step_by(2);
            words.map(str::to_owned).collect()
        };
        let row = ((*kind).to_owned(), words(labels), (*place).to_owned());
        (words(metric).pop_first().unwrap(), row)
    };
    // Rows with fewer columns belong to the table of alerts below it.
    let of_table = rows.filter(|line| line.matches('|').count() == 6);
    of_table.map(row).collect()
}

/// Returns the names of the metrics documented for `place`.
fn documented_for(place: &str) -> BTreeSet<String> {
    let here = documented().into_iter();
    let here = here.filter(|(_, (.., known))| known == place || known == "both");
    here.map(|(name, _)| name).collect()
}

#[tokio::test]
async fn the_page_lists_exactly_what_the_program_exports() {
    let place = Place::new();
    place.add_user("alice");
    let watched = Watched::start(&place, &[]);
    watched.server.login(&watched.http, "alice").await;
    let page = watched.scrape().await;
    let documented = documented();
    let mut exported = BTreeSet::new();
    for family in &page.families {
        let total = if family.r#type == "counter" {
            "_total"
        } else {
            ""
        };
        let name = format!("{}{total}", family.name);
        let row = documented.get(&name);
        let (kind, labels, _) = row.unwrap_or_else(|| panic!("{name} is not documented"));
        assert_eq!((kind, labels), (&family.r#type, &family.labels()), "{name}");
        exported.insert(name);
    }
    assert!(exported.len() > 20);
    assert_eq!(exported, documented_for("service"));
    // The page also names every value that the labels have so far.
    let text = read("metrics.md");
    for label in ["verdict", "outcome", "kind", "scope", "reason"] {
        for value in page.values(label) {
            assert!(text.contains(&format!("`{value}`")), "{label}: {value}");
        }
    }
}

#[tokio::test]
async fn the_page_lists_exactly_what_a_remote_verifier_records() {
    let recorder = DebuggingRecorder::new();
    let _guard = metrics::set_default_local_recorder(&recorder);
    // Nothing answers there.
    let client = "client-01a20636-65df-7d0c-a454-25cc62cdf196";
    let verifier = Verifier::remote(ISSUER, client, "wxs_x")
        .at("http://127.0.0.1:1")
        .start()
        .unwrap();
    verifier.measure();
    let recorded = recorder.snapshotter().snapshot().into_vec();
    let recorded = recorded
        .into_iter()
        .map(|(key, ..)| key.key().name().to_owned());
    let mut wanted = documented_for("remote");
    // A metric that has a new name is recorded under the old one too, for one release.
    wanted.insert("waxseal_remote_questions_total".to_owned());
    assert_eq!(recorded.collect::<BTreeSet<_>>(), wanted);
}

/// Collects every expression of the dashboard.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| queries(value, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if ["expr", "definition"].contains(&&**name) => {
                        found.push(text.clone());
                    }
                    value => queries(value, found),
                }
            }
        }
        _ => {}
    }
}

/// Returns the metrics that a text names, without the suffixes of histograms.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let words = words.filter(|word| word.starts_with("waxseal_"));
    let base = |word: &str| {
        let ends = ["_bucket", "_sum", "_count"].iter();
        let base = ends.filter_map(|end| word.strip_suffix(end)).next();
        base.unwrap_or(word).to_owned()
    };
    words.map(base).collect()
}

#[test]
fn the_dashboard_shows_exactly_the_documented_metrics() {
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 39);
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(
        variables
            .iter()
            .any(|variable| variable["type"] == "datasource")
    );
    let panels = dashboard["panels"].as_array().unwrap();
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{panel}");
    }
    let mut found = Vec::new();
    queries(&dashboard, &mut found);
    let asked: BTreeSet<_> = found.iter().flat_map(|query| named(query)).collect();
    let documented: BTreeSet<_> = documented().into_keys().collect();
    assert_eq!(asked, documented);
}

#[test]
fn the_alerts_use_documented_metrics() {
    let documented: BTreeSet<_> = documented().into_keys().collect();
    let page = read("metrics.md");
    let alerts = page.split_once("## What to alert on").unwrap().1;
    let asked = named(alerts.split_once("## In a program").unwrap().0);
    assert!(asked.len() > 8, "{asked:?}");
    assert!(asked.is_subset(&documented), "{asked:?}");
}
