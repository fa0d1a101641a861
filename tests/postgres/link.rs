//! The connection to a database on another machine: no password is sent before the certificate is verified.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use super::common::postgres::Postgres;
use super::common::{Place, program};
use super::fixture::{is_secret, nodes};

/// The message with which a client requests TLS (PostgreSQL, "Message Formats", SSLRequest).
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// AuthenticationCleartextPassword.
const SEND_CLEARTEXT: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];

/// ErrorResponse: the password is wrong.
const WRONG: &[u8] = b"E\0\0\0\x1aSFATAL\0C28P01\0Mwrong\0\0";

/// A server that claims to have no TLS, and asks for the password in clear text.
struct Downgrade {
    port: u16,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Downgrade {
    fn start() -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keeps = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let said = hear(stream.unwrap());
                keeps.lock().unwrap().push(said);
            }
        });
        Self { port, heard }
    }

    /// Takes what each client has sent so far.
    fn heard(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

/// Returns everything that a client sends in a dialogue that asks for its password.
fn hear(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let mut part = [0; 1024];
    for answer in [&b"N"[..], &SEND_CLEARTEXT, WRONG] {
        let length = stream.read(&mut part).unwrap_or(0);
        said.extend_from_slice(&part[..length]);
        if length == 0 || stream.write_all(answer).is_err() {
            break;
        }
    }
    said
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

fn list_users(place: &Path, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = program();
    command.args(["user", "list"]).current_dir(place);
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    is_secret(&said);
    (output.status.code(), said)
}

#[test]
fn a_server_that_refuses_tls_gets_no_password() {
    let place = Place::new();
    let server = Downgrade::start();
    let address = |mode: &str| {
        let port = server.port;
        format!("postgres://waxseal:an%3Aopen%40sea@0.0.0.0:{port}/waxseal{mode}")
    };
    let refused = [
        "sslmode=verify-full",
        "sslrootcert",
        "WAXSEAL_DATABASE_INSECURE=yes",
    ];
    for mode in [
        "",
        "?sslmode=disable",
        "?sslmode=prefer",
        "?sslmode=require",
    ] {
        let url = address(mode);
        let (code, said) = list_users(place.path(), &[("WAXSEAL_DATABASE", &url)]);
        assert_eq!(code, Some(2), "{mode}: {said}");
        for words in refused {
            assert!(said.contains(words), "{mode}, {words}: {said}");
        }
        let migrate = program()
            .args(["migrate", "--to", &url])
            .current_dir(place.path())
            .output()
            .unwrap();
        assert_eq!(migrate.status.code(), Some(2), "{migrate:?}");
        assert_eq!(server.heard(), Vec::<Vec<u8>>::new(), "{mode}");
    }
    // PostgreSQL's environment variables are subject to the same rule as the URL.
    let bare = address("");
    let by_variable = |mode| [("WAXSEAL_DATABASE", bare.as_str()), ("PGSSLMODE", mode)];
    let (code, said) = list_users(place.path(), &by_variable("require"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("sslmode=require"), "{said}");
    let host = [
        ("WAXSEAL_DATABASE", "postgres:///waxseal"),
        ("PGHOST", "0.0.0.0"),
    ];
    assert_eq!(list_users(place.path(), &host).0, Some(2));

    let secured = address("?sslmode=verify-full");
    let insecure = address("?sslmode=require");
    for variables in [
        &[("WAXSEAL_DATABASE", secured.as_str())][..],
        &by_variable("verify-full"),
        &[
            ("WAXSEAL_DATABASE", insecure.as_str()),
            ("WAXSEAL_DATABASE_INSECURE", "yes"),
        ],
    ] {
        let (code, said) = list_users(place.path(), variables);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("server does not support TLS"), "{said}");
        assert_eq!(server.heard(), [SSL_REQUEST], "{variables:?}");
    }

    // An explicit opt-in permits it.
    let prefer = address("?sslmode=prefer");
    let variables = [
        ("WAXSEAL_DATABASE", prefer.as_str()),
        ("WAXSEAL_DATABASE_INSECURE", "yes"),
    ];
    let (code, said) = list_users(place.path(), &variables);
    assert_eq!(code, Some(1), "{said}");
    let heard = server.heard();
    assert!(heard.iter().any(|said| contains(said, "an:open@sea")));
}

/// A CA, and a certificate that it signed for `localhost`, made with openssl.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let script = "
            ec='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'
            openssl req -x509 $ec -keyout ca.key -out ca.pem -subj /CN=ca \
              -addext basicConstraints=critical,CA:TRUE
            openssl req $ec -keyout server.key -out server.csr -subj /CN=db
            echo subjectAltName=DNS:localhost >names
            openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
              -days 2 -extfile names -out server.pem
        ";
        let mut command = Command::new("sh");
        let made = command.args(["-ec", script]).current_dir(folder.path());
        let output = made.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Self(folder)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn certificate(&self) -> String {
        self.0.path().join("ca.pem").display().to_string()
    }
}

#[test]
fn a_certificate_is_checked_for_its_ca_and_its_host() {
    let database = Postgres::start();
    let (ours, foreign) = (Authority::new(), Authority::new());
    database.use_tls(&ours.read("server.pem"), &ours.read("server.key"));
    let nodes = nodes(&database, 1, &[]);
    let named = database.url().replace("@127.0.0.1:", "@localhost:");
    let (ca, other) = (ours.certificate(), foreign.certificate());
    for (url, mode, ca, wrong) in [
        (&named, "verify-full", Some(&ca), None),
        (&named, "verify-ca", Some(&ca), None),
        (&named, "verify-full", None, Some("add sslrootcert=")),
        (&named, "verify-ca", Some(&other), Some("add sslrootcert=")),
        (&database.url(), "verify-ca", Some(&ca), None),
        (
            &database.url(),
            "verify-full",
            Some(&ca),
            Some("is for another host"),
        ),
    ] {
        let ca = ca.map(|path| format!("&sslrootcert={path}"));
        let url = format!("{url}?sslmode={mode}{}", ca.unwrap_or_default());
        let mut command = nodes.0[0].command(&["user", "list"]);
        let output = command.env("WAXSEAL_DATABASE", &url).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        is_secret(&said);
        match wrong {
            None => assert!(output.status.success(), "{url}: {said}"),
            Some(words) => {
                assert_eq!(output.status.code(), Some(1), "{url}: {said}");
                assert!(said.contains(words), "{url}: {said}");
                assert!(!said.contains("cannot be reached yet"), "at once: {said}");
            }
        }
    }
}
