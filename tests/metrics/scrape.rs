//! The metrics page of the real program, as the reference parser reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::common::{ISSUER, Place, Server, program};

const OPENMETRICS: &str = "application/openmetrics-text";

#[derive(Debug, Deserialize)]
pub struct Family {
    pub name: String,
    pub r#type: String,
    pub help: String,
    samples: Vec<(String, BTreeMap<String, String>, String)>,
}

impl Family {
    /// Returns the labels of the samples, without the bounds of buckets.
    pub fn labels(&self) -> BTreeSet<String> {
        let labels = self.samples.iter().flat_map(|(_, labels, _)| labels.keys());
        labels.filter(|label| *label != "le").cloned().collect()
    }
}

/// A metrics page, as text and parsed.
pub struct Page {
    pub text: String,
    pub families: Vec<Family>,
}

impl Page {
    /// Returns the sum of the samples with this name and these labels, or `None` if there are none.
    pub fn read(&self, name: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        let samples = self.families.iter().flat_map(|family| &family.samples);
        let has = |labels: &BTreeMap<String, String>| {
            let has = |(label, value): &(&str, &str)| {
                labels.get(*label).is_some_and(|known| known == value)
            };
            wanted.iter().all(has)
        };
        let found = samples.filter(|(sample, labels, _)| sample == name && has(labels));
        let values: Vec<f64> = found.map(|(.., value)| value.parse().unwrap()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Returns the values of a label.
    pub fn values(&self, label: &str) -> BTreeSet<String> {
        let samples = self.families.iter().flat_map(|family| &family.samples);
        let values = samples.filter_map(|(_, labels, _)| labels.get(label));
        values.cloned().collect()
    }
}

/// The program with an operators' port.
pub struct Watched {
    pub server: Server,
    pub metrics: String,
    pub http: reqwest::Client,
}

impl Watched {
    pub fn start(place: &Place, settings: &[(&str, &str)]) -> Self {
        let mut command = program();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
            .args(["--metrics-listen", "127.0.0.1:0"])
            .envs(settings.iter().copied())
            .current_dir(place.path());
        let server = Server::start(command);
        let log = server.log();
        let said = log.split_once("metrics are at ").unwrap().1;
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        Self {
            metrics: said.lines().next().unwrap().to_owned(),
            server,
            http,
        }
    }

    pub async fn text(&self, accept: &str) -> String {
        let request = self.http.get(&self.metrics).header("accept", accept);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let content_type = answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(content_type.starts_with(accept), "{content_type}");
        answer.text().await.unwrap()
    }

    /// Fetches the page, and asserts that it is valid in both formats.
    pub async fn scrape(&self) -> Page {
        let text = self.text("text/plain").await;
        let openmetrics = self.text(OPENMETRICS).await;
        let read = parse(&text, &openmetrics);
        let [families, strict] = ["text", "openmetrics"]
            .map(|format| serde_json::from_value::<Vec<Family>>(read[format].clone()).unwrap());
        for family in families.iter().chain(&strict) {
            assert!(!family.help.is_empty(), "{family:?}");
            let known = ["counter", "gauge", "histogram"].contains(&&*family.r#type);
            assert!(known, "{family:?}");
            if family.r#type == "counter" {
                let total = |(name, ..): &(String, _, _)| name.ends_with("_total");
                assert!(family.samples.iter().all(total), "{family:?}");
            }
            if family.r#type == "histogram" {
                assert!(family.name.ends_with("_seconds"), "{family:?}");
            }
        }
        let names = |families: &[Family]| -> BTreeSet<String> {
            families.iter().map(|family| family.name.clone()).collect()
        };
        assert_eq!(names(&families), names(&strict));
        Page { text, families }
    }
}

fn parse(text: &str, openmetrics: &str) -> serde_json::Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(root.join("target/interop/venv/bin/python"))
        .arg("-B")
        .arg(root.join("tests/metrics/parse.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|cause| panic!("{cause}; run scripts/test-setup first"));
    let job = json!({ "text": text, "openmetrics": openmetrics });
    let mut input = child.stdin.take().unwrap();
    input.write_all(job.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{talk}\n{openmetrics}");
    serde_json::from_slice(&output.stdout).unwrap()
}
