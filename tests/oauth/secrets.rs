//! Secrets never appear in answers or in the log.

use serde_json::json;
use waxseal::account::client::ClientChange;
use waxseal::key::Algorithm;

use super::common::heard::Heard;
use super::common::{Answer, TestServer};
use super::fixture::{
    add_client, add_keyed_client, ask, assertion, assertion_claims, basic, change, form,
    new_secret, present, send, send_as,
};
use super::forger::parts;

#[tokio::test]
async fn answers_and_log_lines_contain_no_secret() {
    let log = Heard::from(tracing::Level::TRACE);
    let server = TestServer::new().await;
    server.add_user("alice").await;
    let session = server.login("alice").await;
    let client = add_client(&server, "billing", "orders:read", &[]).await;
    let (keyed, key) = add_keyed_client(&server, "keyed", Algorithm::EdDsa).await;
    let (second, kept) = new_secret();
    change(&server, client.id, ClientChange::AddSecret(kept)).await;
    let signed = assertion(&key, "EdDSA", &assertion_claims(&server, keyed, "a"));
    let mut late = assertion_claims(&server, keyed, "b");
    late["exp"] = json!(17);
    let late = assertion(&key, "EdDSA", &late);
    let (id, secret) = (client.id.to_string(), client.secret.as_str());

    let granted = ask(&server, &client, &[]).await;
    let token = granted.json()["access_token"].as_str().unwrap().to_owned();
    let mut answers: Vec<Answer> = vec![
        ask(&server, &client, &[("scope", "admin")]).await,
        ask(&server, &client, &[("client_secret", secret)]).await,
        present(&server, &signed, &[]).await,
        present(&server, &signed, &[]).await,
        present(&server, &late, &[]).await,
    ];
    // This endpoint's answer contains a token by design.
    answers.remove(2);
    let wrong = basic(&id, &format!("{secret}x"));
    answers.push(send(&server, "/oauth/token", &[("authorization", &wrong)], "").await);
    let body = form(&[("client_id", &id), ("client_secret", secret)]);
    answers.push(send(&server, "/oauth/token", &[], &body).await);
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        for token in [&token, &session, "garbage"] {
            answers.push(send_as(&server, &client, path, &[("token", token)]).await);
        }
    }
    answers.push(server.get("/verify", &token).await);

    let heard = log.text();
    assert!(
        heard.contains("a client was refused"),
        "the log says something"
    );
    let basic = client.basic();
    for (what, hidden) in [
        ("secret", secret),
        ("second secret", &second),
        ("header", &basic["Basic ".len()..]),
        ("assertion", parts(&signed)[2]),
        ("expired assertion", parts(&late)[2]),
        ("token", parts(&token)[2]),
        ("session", parts(&session)[2]),
    ] {
        assert!(!heard.contains(hidden), "the log has the {what}");
        for answer in &answers {
            let body = String::from_utf8_lossy(&answer.body);
            assert!(!body.contains(hidden), "{what}: {answer:?}");
            let headers = format!("{:?}", answer.headers);
            assert!(!headers.contains(hidden), "{what}: {answer:?}");
        }
    }
    let client = server
        .waxseal
        .clients()
        .start_client(client.id)
        .await
        .unwrap();
    let shown = format!("{client:?}");
    for secret in client.client.unwrap().secrets {
        let bytes = secret.bytes();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert!(!shown.contains(&hex) && !shown.contains(&format!("{bytes:?}")));
    }
}
