//! TLS termination in the program, as openssl and curl see it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::common::{PASSWORD, Place, Server, certificate, program};

/// A certificate and its key.
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
    folder: TempDir,
}

impl Pair {
    fn new(days: u32) -> Self {
        let folder = TempDir::new().unwrap();
        let [certificate, key] = certificate::make(folder.path(), days);
        Self {
            certificate,
            key,
            folder,
        }
    }
}

fn mode(mode: u32) -> fs::Permissions {
    fs::Permissions::from_mode(mode)
}

fn serve(place: &Place, certificate: &Path, key: &Path) -> Command {
    let mut command = program();
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--metrics-listen",
            "127.0.0.1:0",
        ])
        .arg("--tls-cert")
        .arg(certificate)
        .arg("--tls-key")
        .arg(key)
        .current_dir(place.path());
    command
}

fn address(server: &Server) -> &str {
    server.url.strip_prefix("https://").unwrap()
}

fn curl(pair: &Pair, arguments: &[&str]) -> Output {
    Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "60",
            "--cacert",
        ])
        .arg(&pair.certificate)
        .args(arguments)
        .output()
        .unwrap()
}

/// Returns openssl's report of a handshake.
fn handshake(server: &Server, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", address(server)])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let [said, errors] =
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    said + &errors
}

/// Returns the certificate that the server presents now, as PEM.
fn served(server: &Server) -> String {
    let said = handshake(server, &[]);
    let (_, rest) = said.split_once("-----BEGIN CERTIFICATE-----").expect(&said);
    let (middle, _) = rest.split_once("-----END CERTIFICATE-----").unwrap();
    format!("-----BEGIN CERTIFICATE-----{middle}-----END CERTIFICATE-----\n")
}

#[test]
fn tls_1_2_and_1_3_with_http_2_are_accepted_and_nothing_older() {
    let (place, pair) = (Place::new(), Pair::new(30));
    place.add_user("alice");
    let server = Server::start(serve(&place, &pair.certificate, &pair.key));
    let url = format!("{}/livez", server.url);
    let version = [
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_version} %{http_code}",
    ];
    for (arguments, expected) in [
        (&["--tls-max", "1.2"][..], "2 200"),
        (&["--tlsv1.3"], "2 200"),
        (&["--http1.1"], "1.1 200"),
    ] {
        let output = curl(&pair, &[arguments, &version, &[&url]].concat());
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            expected,
            "{output:?}"
        );
    }
    for (arguments, words) in [
        (&["-alpn", "h2,http/1.1"][..], "ALPN protocol: h2"),
        (&["-tls1_2"], "TLSv1.2"),
        (&["-tls1_3"], "TLSv1.3"),
        // The client would accept these; the server refuses them.
        (
            &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
            "alert handshake failure",
        ),
        (
            &["-tls1_2", "-cipher", "AES128-SHA@SECLEVEL=0"],
            "alert handshake failure",
        ),
    ] {
        let said = handshake(&server, arguments);
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    // The default issuer is an https:// URL.
    let body = json!({ "username": "alice", "password": PASSWORD }).to_string();
    let login = curl(&pair, &["--json", &body, &format!("{}/login", server.url)]);
    let answer: Value = serde_json::from_slice(&login.stdout).unwrap();
    let token = answer["access_token"].as_str().unwrap();
    let claims: Value =
        serde_json::from_str(&place.ok(&["token", "inspect", "--json"], token)).unwrap();
    assert_eq!(claims["claims"]["iss"], "https://127.0.0.1:0");
    // Plain HTTP gets no answer on this port.
    let plain = curl(&pair, &[&server.url.replace("https", "http")]);
    assert!(
        !plain.status.success() && plain.stdout.is_empty(),
        "{plain:?}"
    );
}

/// A connection that stays open.
struct Kept {
    client: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Kept {
    fn open(server: &Server) -> Self {
        let mut client = Command::new("openssl")
            .args(["s_client", "-quiet", "-connect", address(server)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            questions: client.stdin.take().unwrap(),
            answers: BufReader::new(client.stdout.take().unwrap()),
            client,
        }
    }

    fn is_alive(&mut self) -> bool {
        let asked = self
            .questions
            .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut line = String::new();
        let mut lines = Vec::new();
        while asked.is_ok() && self.answers.read_line(&mut line).unwrap() > 2 {
            lines.push(std::mem::take(&mut line));
        }
        lines.first().is_some_and(|first| first.contains(" 200 "))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// Files changed the way Kubernetes changes a Secret: they are links into a folder, and the link to that folder is
/// swapped.
struct Mounted(TempDir);

impl Mounted {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["cert.pem", "key.pem"] {
            symlink(Path::new("..data").join(name), folder.path().join(name)).unwrap();
        }
        Self(folder)
    }

    fn swap(&self, version: &str, certificate: &Path, key: &Path) {
        let folder = self.0.path().join(version);
        fs::create_dir(&folder).unwrap();
        fs::copy(certificate, folder.join("cert.pem")).unwrap();
        fs::copy(key, folder.join("key.pem")).unwrap();
        let next = self.0.path().join("..next");
        symlink(&folder, &next).unwrap();
        fs::rename(next, self.0.path().join("..data")).unwrap();
    }
}

fn days_left(server: &Server) -> f64 {
    let log = server.log();
    let (_, rest) = log.split_once("metrics are at ").unwrap();
    let url = rest.split_whitespace().next().unwrap();
    let page = Command::new("curl")
        .args(["--silent", "--noproxy", "*", url])
        .output()
        .unwrap();
    let page = String::from_utf8(page.stdout).unwrap();
    let metric = "waxseal_tls_certificate_expiry_seconds ";
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(metric))
        .expect(&page);
    line.parse::<f64>().unwrap() / 86_400.0
}

#[test]
fn changed_files_are_used_without_a_restart_and_a_broken_pair_is_not() {
    let (old, new) = (Pair::new(30), Pair::new(60));
    let (place, mounted) = (Place::new(), Mounted::new());
    mounted.swap("v1", &old.certificate, &old.key);
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| mounted.0.path().join(name));
    let server = Server::start(serve(&place, &certificate, &key));
    let [old_pem, new_pem] =
        [&old, &new].map(|pair| fs::read_to_string(&pair.certificate).unwrap());
    assert_eq!(served(&server), old_pem);
    assert!((29.9..=30.0).contains(&days_left(&server)));
    let mut kept = Kept::open(&server);
    assert!(kept.is_alive());

    mounted.swap("v2", &new.certificate, &old.key);
    assert!(
        server.says("does not match the certificate"),
        "{}",
        server.log()
    );
    assert_eq!(served(&server), old_pem);
    assert!(kept.is_alive());

    mounted.swap("v3", &new.certificate, &new.key);
    assert!(
        server.says("the new certificate is in use"),
        "{}",
        server.log()
    );
    assert_eq!(served(&server), new_pem);
    assert!((59.9..=60.0).contains(&days_left(&server)));
    assert!(kept.is_alive(), "a connection outlives its certificate");
    let log = server.log();
    assert_eq!(log.matches(" ERROR ").count(), 1, "{log}");
}

#[test]
fn files_that_cannot_be_served_refuse_to_start_and_are_named() {
    let (one, other) = (Pair::new(30), Pair::new(30));
    let open = one.folder.path().join("open.pem");
    fs::copy(&one.key, &open).unwrap();
    fs::set_permissions(&open, mode(0o644)).unwrap();
    let empty = one.folder.path().join("empty.pem");
    fs::write(&empty, "nothing\n").unwrap();
    fs::set_permissions(&empty, mode(0o600)).unwrap();
    let locked = one.folder.path().join("locked.pem");
    let encrypted = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-passout", "pass:secret", "-in"])
        .arg(&one.key)
        .arg("-out")
        .arg(&locked)
        .status();
    assert!(encrypted.unwrap().success());
    fs::set_permissions(&locked, mode(0o600)).unwrap();
    let missing = one.folder.path().join("missing.pem");
    for (certificate, key, words) in [
        (&missing, &one.key, "missing.pem: No such file"),
        (&one.certificate, &missing, "missing.pem: No such file"),
        (&one.folder.path().to_owned(), &one.key, "it is not a file"),
        (&empty, &one.key, "empty.pem: it has no certificate"),
        (&one.certificate, &empty, "empty.pem: it has no private key"),
        (&one.certificate, &locked, "it has a passphrase"),
        (
            &one.certificate,
            &other.key,
            "does not match the certificate",
        ),
        (&one.certificate, &open, "chmod 600"),
    ] {
        let place = Place::new();
        let Err(said) = Server::try_start(serve(&place, certificate, key)) else {
            panic!("it serves {certificate:?} with {key:?}");
        };
        assert!(said.contains(words), "{words}: {said}");
        assert!(
            !place.path().join("data").exists(),
            "it has made nothing yet"
        );
    }
    for [set, missing] in [["--tls-cert", "tls_key"], ["--tls-key", "tls_cert"]] {
        let output = Place::new().run(&["serve", set, "x.pem"], "");
        let mut said = String::new();
        (&output.stderr[..]).read_to_string(&mut said).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(missing), "{said}");
    }
}
