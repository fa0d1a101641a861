//! Counts the instructions of the hot path with valgrind. The counts are the same on a busy machine as on an idle one,
//! so a change can be refused because verification got slower, and never because of noise.
//!
//! Without arguments it compares with `baseline.json`, and fails if any count grew by more than 5 %. With `--save` it
//! rewrites that file. Another compiler's output is not a regression: with one, it only reports.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use waxseal::encoding::base64url;
use waxseal::id::{Lineage, UserId};
use waxseal::key::{Format, SigningKey, pem_from_jwk};
use waxseal::keyring::{Keyring, SharedKeyring};
use waxseal::policy::{Policy, Timeouts};
use waxseal::random::SeededRandom;
use waxseal::revocation::freshness::Freshness;
use waxseal::revocation::internals;
use waxseal::revocation::list::RevocationList;
use waxseal::revocation::{ALL, Reason, Revocation, Target};
use waxseal::time::{Clock, ManualClock, Timestamp};
use waxseal::token;
use waxseal::verifier::Verifier;
use waxseal::{claims::Claims, session};

/// How much growth counts as a regression, in percent.
const MORE: u64 = 5;
const ISSUER: &str = "https://issuer.example";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// Live revocations.
const ENTRIES: i64 = 1000;
/// The key of RFC 8037, appendix A.1. It is fixed, because the cost of a signature check depends on the key and the
/// text.
const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// The operations to count: the name, and how many calls each count averages over.
const WORK: [(&str, u64); 6] = [
    ("signature", 50),
    ("first verification", 50),
    ("first of a PASETO", 50),
    ("repeated verification", 5000),
    ("signing", 50),
    ("signing a PASETO", 50),
];

/// The fixture of a counted process.
struct World {
    key: SigningKey,
    claims: Claims,
    token: String,
    plain: Verifier,
    remembering: Verifier,
}

impl World {
    fn new(format: Format) -> Self {
        let random = SeededRandom::new(3);
        let pem = pem_from_jwk(KEY.as_bytes()).unwrap();
        let key = SigningKey::from_pem(pem.as_bytes(), format).unwrap();
        let keyring = Keyring::from_verifying_keys([key.public().clone()]).unwrap();
        let policy = Policy::new(ISSUER, ISSUER, Timeouts::default()).unwrap();
        let list = RevocationList::new();
        for seq in 1..=ENTRIES {
            internals::apply(
                &list,
                &Revocation {
                    seq,
                    target: Target::Session(Lineage::new(NOW, &random)),
                    from: ALL,
                    grace_until: None,
                    spared: None,
                    expires_at: NOW.plus(Duration::from_secs(9000)),
                    reason: Reason::Logout,
                    at: NOW,
                },
            );
        }
        let clock = Arc::new(ManualClock::at(NOW));
        let freshness = Freshness::new(Duration::from_secs(3600));
        internals::prove(&freshness, clock.uptime());
        let remembering = Verifier::new(
            Arc::new(SharedKeyring::new(keyring)),
            vec![format],
            policy.clone(),
            Arc::new(list),
            Arc::new(freshness),
            clock,
        );
        let (user, lineage) = (UserId::new(NOW, &random), Lineage::new(NOW, &random));
        let claims = session::begin(&policy, user, lineage, NOW, &random);
        let token = token::sign(&claims, &key).unwrap();
        remembering.verify(&token).unwrap();
        Self {
            plain: remembering.with_token_cache(0),
            remembering,
            key,
            claims,
            token,
        }
    }

    /// Runs an operation in the counted process.
    fn work(&self, what: &str, times: u64) {
        let (signed, signature) = self.token.rsplit_once('.').unwrap();
        let signature = base64url::decode(signature.as_bytes()).unwrap();
        let public = UnparsedPublicKey::new(&ED25519, self.key.public().public_bytes());
        for _ in 0..times {
            match what {
                "signature" => public
                    .verify(black_box(signed.as_bytes()), &signature)
                    .unwrap(),
                "first verification" | "first of a PASETO" => {
                    drop(self.plain.verify(black_box(&self.token)).unwrap());
                }
                "repeated verification" => {
                    drop(self.remembering.verify(black_box(&self.token)).unwrap());
                }
                "signing" | "signing a PASETO" => {
                    drop(token::sign(black_box(&self.claims), &self.key).unwrap());
                }
                other => panic!("{other}"),
            }
        }
    }
}

/// Returns the instructions of a process that calls the operation this many times.
fn run(what: &str, times: u64) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(env::current_exe().unwrap())
        .args([what, &times.to_string()])
        .output()
        .expect("valgrind must be installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let counted = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    counted.expect(&said).1.trim().parse().unwrap()
}

/// Returns the instructions of one call.
fn count(what: &str, times: u64) -> u64 {
    (run(what, times + 1) - run(what, 1)) / times
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("-V").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [what, times] = &arguments[..] {
        let format = match what.ends_with("PASETO") {
            true => Format::Paseto,
            false => Format::Jwt,
        };
        World::new(format).work(what, times.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json");
    let counts: BTreeMap<_, _> = WORK
        .iter()
        .map(|(what, times)| (*what, count(what, *times)))
        .collect();
    if arguments == ["--save"] {
        let saved = json!({ "compiler": compiler(), "instructions": counts });
        fs::write(&file, format!("{saved:#}\n")).unwrap();
    }
    let saved: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let comparable = saved["compiler"] == compiler().as_str();
    if !comparable {
        println!(
            "LEFT OUT: the baseline is {}'s, and this is {}",
            saved["compiler"],
            compiler()
        );
    }
    let mut more = false;
    for (what, count) in counts {
        let before = saved["instructions"][what].as_u64().unwrap();
        let worse = count * 100 > before * (100 + MORE);
        more |= worse;
        let verdict = if worse { "MORE THAN 5 % MORE" } else { "" };
        println!("{what:<24} {count:>9} instructions, {before:>9} before {verdict}");
    }
    if more && comparable {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
