//! What the service behind a proxy must not receive, and what browsers are told over TLS.

use std::path::Path;

use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::caddy::CADDY;
use super::common::{TestServer, certificate};
use super::curl::{OWN_PAGE, Request};
use super::envoy::ENVOY;
use super::fixture::{Edge, Fixture, Kind};
use super::nginx::{self, NGINX};
use super::service::Seen;

/// Returns the cookies that arrived, in order.
fn cookies(seen: &Seen) -> Vec<&str> {
    let lines = seen.headers.get_all("cookie").iter();
    let pairs = lines.flat_map(|line| line.to_str().unwrap().split(';'));
    pairs
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .collect()
}

pub fn the_service_gets_no_session(kind: &Kind) {
    let fixture = Fixture::new(kind);
    let (bearer, _) = fixture.login_for_bearer();
    let session = format!("__Host-Http-waxseal={}", fixture.login_for_cookie());
    let own = ["theme=dark", "a__Host-Http-waxseal=mine", "lang=en"];
    let [first, second, third] = own;
    for (name, lines) in [
        ("alone", vec![session.clone()]),
        ("first", vec![[&session, first, second, third].join("; ")]),
        (
            "in the middle",
            vec![[first, second, &session, third].join("; ")],
        ),
        ("last", vec![[first, second, third, &session].join("; ")]),
        (
            "with odd spaces",
            vec![[first, second, third, &format!("\t {session}")].join(";")],
        ),
        (
            "in a line of its own",
            vec![[first, second, third].join("; "), session.clone()],
        ),
    ] {
        let request = lines
            .iter()
            .fold(Request::get().header(OWN_PAGE), |request, line| {
                request.header(format!("Cookie: {line}"))
            });
        let (_, seen) = fixture.passes(name, "/api/a", &request);
        assert_eq!(seen.identity()[0], "session", "{name}");
        let expected = if name == "alone" { &[] } else { &own[..] };
        assert_eq!(cookies(&seen), expected, "{name}: {seen:?}");
    }
    let request = Request::get().bearer(&bearer).header("Cookie: theme=dark");
    let (_, seen) = fixture.passes("bearer", "/api/a", &request);
    assert!(!seen.headers.contains_key("authorization"), "{seen:?}");
    assert_eq!(cookies(&seen), ["theme=dark"]);
    // Waxseal itself receives both.
    let own = fixture.send("/session", &Request::get().bearer(&bearer));
    assert_eq!(own.status, 200, "{own:?}");
}

fn certificate_in(folder: &Path) -> [String; 2] {
    certificate::make(folder, 1).map(|path| path.display().to_string())
}

/// The same proxies with TLS, added as each configuration describes.
const WITH_TLS: [Kind; 3] = [
    Kind {
        scheme: "https",
        change: |text, folder, _| {
            nginx::within_folder(text, folder);
            let [certificate, key] = certificate_in(folder);
            let (before, after) = text.split_once("\n        listen ").unwrap();
            let (address, after) = after.split_once(';').unwrap();
            *text = format!(
                "{before}\nlisten {address} ssl;\nssl_certificate {certificate};\nssl_certificate_key {key};{after}"
            );
        },
        ..NGINX
    },
    Kind {
        scheme: "https",
        change: |text, folder, ip| {
            (CADDY.change)(text, folder, ip);
            let [certificate, key] = certificate_in(folder);
            let site = text.replacen("\nhttp://", "\nhttps://", 1);
            let tls = format!("\n\ttls {certificate} {key}\n\tbind ");
            // Without HTTPS redirects, which would listen on a shared port. The certificate is for another host.
            *text = format!(
                "{{\n\tauto_https off\n\tdefault_sni localhost\n}}\n{}",
                site.replacen("\n\tbind ", &tls, 1)
            );
        },
        ..CADDY
    },
    Kind {
        scheme: "https",
        change: |text, folder, _| {
            let [certificate, key] = certificate_in(folder);
            let tls = format!(
                "filter_chains:\n    - transport_socket: {{ name: tls, typed_config: {{ \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext, common_tls_context: {{ tls_certificates: [{{ certificate_chain: {{ filename: {certificate} }}, private_key: {{ filename: {key} }} }}] }} }} }}\n      filters:"
            );
            *text = text.replacen("filter_chains:\n    - filters:", &tls, 1);
        },
        ..ENVOY
    },
];

/// Waxseal's own issuer is an https:// URL here, so its answers have the header too.
#[test]
fn over_tls_browsers_are_told_once_to_use_it_alone() {
    let runtime = Runtime::new().unwrap();
    let (server, token) = runtime.block_on(async {
        let server = TestServer::new().await;
        server.add_user("alice").await;
        let token = server.login("alice").await;
        (server, token)
    });
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = server.router.clone();
    runtime.spawn(async { axum::serve(listener, router).await.unwrap() });
    for kind in &WITH_TLS {
        let edge = Edge::start(kind, &address);
        let good = Request::get().bearer(&token);
        for (path, request, status) in [
            ("/livez", Request::get(), 200),
            ("/api/a", good, 200),
            ("/api/a", Request::get(), 401),
        ] {
            let answer = edge.send(path, &request);
            assert_eq!(
                answer.status, status,
                "{} {path}: {answer:?}",
                kind.configuration
            );
            assert_eq!(
                answer.all("strict-transport-security"),
                ["max-age=31536000"],
                "{} {path}",
                kind.configuration
            );
        }
    }
    // Over plain HTTP the proxy must not send the header (RFC 6797, section 7.2).
    for kind in [NGINX, CADDY, ENVOY] {
        let edge = Edge::start(&kind, &address);
        let answer = edge.send("/api/a", &Request::get().bearer(&token));
        assert_eq!(
            answer.all("strict-transport-security"),
            [""; 0],
            "{}",
            kind.configuration
        );
    }
}
