//! Libraries in other languages verify Waxseal's tokens with its JWKS, and Waxseal judges theirs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use waxseal::key::Format;

use super::common::{ISSUER, Place, Server, program, signing_pem};

const AUDIENCE: &str = "https://service.example";

/// Runs a script with a job, and returns its findings.
pub type Script = fn(&Value) -> Value;

fn installed(file: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/interop")
        .join(file);
    assert!(
        path.exists(),
        "{} is missing; run scripts/test-setup first",
        path.display()
    );
    path
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/foreign/interop")
        .join(name)
}

pub fn python(name: &str, job: &Value) -> Value {
    installed("venv/installed.txt");
    let mut command = Command::new(installed("venv/bin/python"));
    run(command.arg("-B").arg(script(name)), job)
}

pub fn node(name: &str, job: &Value) -> Value {
    let packages = installed("node/installed.json");
    let mut job = job.clone();
    job["packages"] = json!(packages.parent().unwrap());
    // Debian 12's Node hides Web Crypto behind this flag; later versions accept the flag without needing it.
    let webcrypto = "--experimental-global-webcrypto";
    run(Command::new("node").arg(webcrypto).arg(script(name)), &job)
}

fn pyjwt(job: &Value) -> Value {
    python("verify.py", job)
}

fn jose(job: &Value) -> Value {
    node("verify.mjs", job)
}

fn pyseto(job: &Value) -> Value {
    python("verify_paseto.py", job)
}

fn paseto_ts(job: &Value) -> Value {
    node("verify_paseto.mjs", job)
}

fn run(command: &mut Command, job: &Value) -> Value {
    let mut child = command
        // The server is on this machine, out of a proxy's reach.
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|cause| panic!("{command:?}: {cause}; run scripts/test-setup first"));
    let mut input = child.stdin.take().unwrap();
    input.write_all(job.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn serve(place: &Place, settings: [&str; 2]) -> Server {
    let mut command = program();
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--issuer", ISSUER])
        .args(["--audience", AUDIENCE])
        .args(settings)
        .current_dir(place.path());
    Server::start(command)
}

async fn both_ways(algorithm: &str, foreign: Script, refusals: &[(&str, &str)]) {
    let place = Place::new();
    place.add_user("alice");
    let server = serve(&place, ["--algorithm", algorithm]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = server.login(&client, "alice").await;
    assert_eq!(server.verify(&client, &token).await, 200);

    let job = json!({
        "jwks_url": format!("{}/.well-known/jwks.json", server.url),
        "token": token,
        "pem": signing_pem(&place.path().join("keys"), Format::Jwt),
        "algorithm": algorithm,
        "issuer": ISSUER,
        "audience": AUDIENCE,
    });
    let found = foreign(&job);

    assert_eq!(found["header"]["typ"], "at+jwt");
    assert_eq!(found["header"]["alg"], algorithm);
    assert_eq!(found["claims"]["iss"], ISSUER);
    assert_eq!(found["claims"]["aud"], AUDIENCE);
    for (what, why) in refusals {
        assert_eq!(found["refused"][what], *why, "{what}: {found}");
    }

    let signed = |typ: &str| found["signed"][typ].as_str().unwrap();
    assert_ne!(signed("at+jwt"), token);
    // The three differ only in `typ`.
    assert_eq!(server.verify(&client, signed("at+jwt")).await, 200);
    assert_eq!(server.verify(&client, signed("JWT")).await, 401);
    assert_eq!(server.verify(&client, signed("none")).await, 401);
}

const PYJWT_REFUSES: [(&str, &str); 3] = [
    ("audience", "InvalidAudienceError"),
    ("issuer", "InvalidIssuerError"),
    ("signature", "InvalidSignatureError"),
];

const JOSE_REFUSES: [(&str, &str); 4] = [
    ("audience", "ERR_JWT_CLAIM_VALIDATION_FAILED aud"),
    ("issuer", "ERR_JWT_CLAIM_VALIDATION_FAILED iss"),
    ("signature", "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"),
    ("typ", "ERR_JWT_CLAIM_VALIDATION_FAILED typ"),
];

#[tokio::test]
async fn pyjwt_and_waxseal_agree_on_eddsa() {
    both_ways("EdDSA", pyjwt, &PYJWT_REFUSES).await;
}

#[tokio::test]
async fn pyjwt_and_waxseal_agree_on_es256() {
    both_ways("ES256", pyjwt, &PYJWT_REFUSES).await;
}

#[tokio::test]
async fn jose_and_waxseal_agree_on_eddsa() {
    both_ways("EdDSA", jose, &JOSE_REFUSES).await;
}

#[tokio::test]
async fn jose_and_waxseal_agree_on_es256() {
    both_ways("ES256", jose, &JOSE_REFUSES).await;
}

/// Both libraries know only the format, not issuers or audiences.
async fn both_ways_of_paseto(foreign: Script, refusals: &[(&str, &str)]) {
    let place = Place::new();
    place.add_user("alice");
    let server = serve(&place, ["--token-format", "paseto"]);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = server.login(&client, "alice").await;
    assert_eq!(server.verify(&client, &token).await, 200);

    let found = foreign(&json!({
        "paserks_url": format!("{}/.well-known/paserks.json", server.url),
        "token": token,
        "pem": signing_pem(&place.path().join("keys"), Format::Paseto),
    }));

    let kid = found["footer"]["kid"].as_str().unwrap();
    assert!(kid.starts_with("k4.pid."), "{kid}");
    assert_eq!(found["footer"].as_object().unwrap().len(), 1);
    assert_eq!(found["claims"]["iss"], ISSUER);
    assert_eq!(found["claims"]["aud"], AUDIENCE);
    for (what, why) in refusals {
        assert_eq!(found["refused"][what], *why, "{what}: {found}");
    }

    // The same claims and the same key in each case.
    let signed = |how: &str| found["signed"][how].as_str().unwrap();
    assert_eq!(server.verify(&client, signed("footer")).await, 200);
    for how in ["no footer", "wrong kid", "another key's kid", "assertion"] {
        assert_eq!(server.verify(&client, signed(how)).await, 401, "{how}");
    }
}

const PYSETO_REFUSES: [(&str, &str); 4] = [
    ("signature", "VerifyError"),
    ("footer", "VerifyError"),
    ("assertion", "VerifyError"),
    ("successor", "VerifyError"),
];

const PASETO_TS_REFUSES: [(&str, &str); 4] = [
    ("signature", "ERR_PASETO_SIGNATURE_INVALID"),
    ("footer", "ERR_PASETO_SIGNATURE_INVALID"),
    ("assertion", "ERR_PASETO_SIGNATURE_INVALID"),
    ("successor", "ERR_PASETO_SIGNATURE_INVALID"),
];

#[tokio::test]
async fn pyseto_and_waxseal_agree() {
    both_ways_of_paseto(pyseto, &PYSETO_REFUSES).await;
}

#[tokio::test]
async fn paseto_ts_and_waxseal_agree() {
    both_ways_of_paseto(paseto_ts, &PASETO_TS_REFUSES).await;
}
