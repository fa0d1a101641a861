//! A wire between two processes, on loopback, that can be cut and held.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the wire does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It carries.
    Whole,
    /// Connections break, and new ones are closed at once.
    Cut,
    /// Connections stay open, and nothing comes through.
    Held,
}

/// The wire; it is taken away when this is dropped.
pub struct Wire {
    pub url: String,
    state: Arc<watch::Sender<State>>,
    target: Arc<watch::Sender<SocketAddr>>,
    task: JoinHandle<()>,
}

impl Wire {
    /// A wire to the server at `url`.
    pub async fn to(url: &str) -> Self {
        let target = Arc::new(watch::Sender::new(address(url)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(watch::Sender::new(State::Whole));
        let (states, targets) = (Arc::clone(&state), Arc::clone(&target));
        let task = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let target = *targets.borrow();
                tokio::spawn(carry(near, target, states.subscribe()));
            }
        });
        Self {
            url,
            state,
            target,
            task,
        }
    }

    /// New connections go to the server at `url`.
    pub fn lead_to(&self, url: &str) {
        self.target.send_replace(address(url));
    }

    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut near: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>) {
    if *state.borrow_and_update() == State::Held {
        let _ = state.wait_for(|state| *state != State::Held).await;
        return;
    }
    let Ok(mut far) = TcpStream::connect(target).await else {
        return;
    };
    let mut changed = state.clone();
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = changed.wait_for(|state| *state != State::Whole) => {}
    }
    // What was under way when it was held stays open, and dumb, until it is let go.
    let _ = state.wait_for(|state| *state != State::Held).await;
}
