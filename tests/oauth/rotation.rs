//! Secret rotation without an outage: two secrets are valid at once, never three.

use waxseal::account::client::{Changed, ClientChange};

use super::common::TestServer;
use super::fixture::{Service, add_client, ask, change, digest, new_secret, refused, token};

async fn good(server: &TestServer, client: &Service, secrets: &[&str]) -> Vec<bool> {
    let mut good = Vec::new();
    for secret in secrets {
        let client = Service {
            id: client.id,
            secret: (*secret).to_owned(),
        };
        let answer = ask(server, &client, &[]).await;
        if answer.status != 200 {
            refused(secret, &answer, 401, "invalid_client");
        }
        good.push(answer.status == 200);
    }
    good
}

#[tokio::test]
async fn two_secrets_are_good_at_once_and_a_third_drops_the_oldest() {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "", &[]).await;
    let before = token(&server, &client).await;
    let (second, kept) = new_secret();
    let (third, _) = new_secret();
    let all = [client.secret.as_str(), &second, &third];
    assert_eq!(good(&server, &client, &all).await, [true, false, false]);

    let added = change(&server, client.id, ClientChange::AddSecret(kept)).await;
    assert_eq!(added, Changed::Done);
    assert_eq!(good(&server, &client, &all).await, [true, true, false]);
    let third_kept = digest(&third);
    change(&server, client.id, ClientChange::AddSecret(third_kept)).await;
    assert_eq!(good(&server, &client, &all).await, [false, true, true]);
    let server = server.restart(|_| {}).await;
    assert_eq!(good(&server, &client, &all).await, [false, true, true]);

    change(&server, client.id, ClientChange::FinishRotation).await;
    assert_eq!(good(&server, &client, &all).await, [false, false, true]);
    // Repeating it changes nothing.
    change(&server, client.id, ClientChange::FinishRotation).await;
    assert_eq!(good(&server, &client, &all).await, [false, false, true]);
    assert_eq!(
        server.verify(&before).await,
        200,
        "tokens outlive the secret"
    );
}

#[tokio::test]
async fn every_change_of_a_deleted_client_reports_it_unknown() {
    let server = TestServer::new().await;
    let client = add_client(&server, "billing", "", &[]).await;
    change(&server, client.id, ClientChange::Delete).await;
    let (_, kept) = new_secret();
    for wanted in [
        ClientChange::AddSecret(kept),
        ClientChange::FinishRotation,
        ClientChange::Disable,
        ClientChange::Enable,
        ClientChange::EndTokens,
        ClientChange::Delete,
    ] {
        assert_eq!(change(&server, client.id, wanted).await, Changed::Unknown);
    }
}
