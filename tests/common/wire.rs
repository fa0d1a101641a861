//! A proxy between two processes on loopback that a test can cut, block and slow down at any time.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use waxseal::random::{OsRandom, Random};

use super::ports;

/// The delay of a chunk, chosen at random between the two bounds for each chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    pub at_least: Duration,
    pub at_most: Duration,
}

impl Delay {
    pub const NONE: Self = Self::of(Duration::ZERO);

    pub const fn of(time: Duration) -> Self {
        Self {
            at_least: time,
            at_most: time,
        }
    }

    pub const fn up_to(time: Duration) -> Self {
        Self {
            at_least: Duration::ZERO,
            at_most: time,
        }
    }

    fn choose(self) -> Duration {
        let mut bytes = [0; 4];
        OsRandom::new().fill(&mut bytes);
        let part = f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX);
        self.at_least + self.at_most.saturating_sub(self.at_least).mul_f64(part)
    }
}

/// The state of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Passes everything on.
    Whole,
    /// Resets open connections and refuses new ones.
    Cut,
    /// Keeps connections open, new ones too, but passes nothing on. Data sent meanwhile arrives late, once the wire is
    /// whole again, as after packet loss.
    Held,
    /// Passes requests on at once, and answers late, as in `Held`.
    AnswersHeld,
    /// Passes answers on at once, and requests late, as in `Held`.
    QuestionsHeld,
    /// Passes everything on, with a delay for each chunk.
    Slow { questions: Delay, answers: Delay },
    /// Breaks each connection after this many bytes of answers.
    BreaksAfter(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Questions,
    Answers,
}

impl State {
    fn lets_through(self, way: Way) -> bool {
        match self {
            Self::Held | Self::Cut => false,
            Self::AnswersHeld => way == Way::Questions,
            Self::QuestionsHeld => way == Way::Answers,
            Self::Whole | Self::Slow { .. } | Self::BreaksAfter(_) => true,
        }
    }

    fn delay(self, way: Way) -> Duration {
        match self {
            Self::Slow { questions, answers } => match way {
                Way::Questions => questions.choose(),
                Way::Answers => answers.choose(),
            },
            _ => Duration::ZERO,
        }
    }
}

/// The wire's setting. The counters reveal a change that was undone before a task could see it.
#[derive(Clone, Copy, Debug)]
struct Setting {
    state: State,
    target: SocketAddr,
    sets: usize,
    cuts: usize,
}

/// The wire. Dropping it stops the proxy.
pub struct Wire {
    pub url: String,
    pub port: u16,
    setting: Arc<watch::Sender<Setting>>,
    taken: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Wire {
    /// Creates a wire to the server at `url`.
    pub async fn to(url: &str) -> Self {
        Self::to_address(address(url)).await
    }

    /// Creates a wire to the server on `port`.
    pub async fn to_port(port: u16) -> Self {
        Self::to_address(SocketAddr::from(([127, 0, 0, 1], port))).await
    }

    async fn to_address(target: SocketAddr) -> Self {
        let port = ports::free();
        let listener = listen(port).await;
        let setting = Arc::new(watch::Sender::new(Setting {
            state: State::Whole,
            target,
            sets: 0,
            cuts: 0,
        }));
        let taken = Arc::<AtomicUsize>::default();
        let task = tokio::spawn(run(
            listener,
            port,
            Arc::clone(&setting),
            Arc::clone(&taken),
        ));
        Self {
            url: format!("http://127.0.0.1:{port}"),
            port,
            setting,
            taken,
            task,
        }
    }

    /// Directs new connections to the server at `url`.
    pub fn lead_to(&self, url: &str) {
        let target = address(url);
        self.setting.send_modify(|setting| setting.target = target);
    }

    /// Directs new connections to the server on `port`.
    pub fn lead_to_port(&self, port: u16) {
        self.setting
            .send_modify(|setting| setting.target.set_port(port));
    }

    pub fn set(&self, state: State) {
        self.setting.send_modify(|setting| {
            setting.state = state;
            setting.sets += 1;
            setting.cuts += usize::from(state == State::Cut);
        });
    }

    /// Returns the number of connections accepted so far.
    pub fn connections(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn address(url: &str) -> SocketAddr {
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// Listens on a port that this process held a moment ago or that was free.
async fn listen(port: u16) -> TcpListener {
    for _ in 0..1000 {
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("port {port} is taken");
}

async fn run(
    first: TcpListener,
    port: u16,
    setting: Arc<watch::Sender<Setting>>,
    taken: Arc<AtomicUsize>,
) {
    let mut watched = setting.subscribe();
    let mut carried = JoinSet::new();
    let mut first = Some(first);
    loop {
        let whole = watched.wait_for(|setting| setting.state != State::Cut);
        let cuts = whole.await.unwrap().cuts;
        let listener = match first.take() {
            Some(listener) => listener,
            None => listen(port).await,
        };
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (near, _) = accepted.unwrap();
                    taken.fetch_add(1, Ordering::SeqCst);
                    carried.spawn(carry(near, setting.subscribe(), cuts));
                }
                _ = watched.wait_for(|setting| setting.cuts != cuts) => break,
                Some(_) = carried.join_next() => {}
            }
        }
    }
}

/// Carries one connection until it ends or is cut.
async fn carry(mut near: TcpStream, setting: watch::Receiver<Setting>, cuts: usize) {
    let mut watched = setting.clone();
    let cut = watched.wait_for(|setting| setting.cuts != cuts);
    tokio::pin!(cut);
    let mut opened = setting.clone();
    let reached = tokio::select! {
        _ = &mut cut => None,
        reached = reach(&mut opened) => reached.ok(),
    };
    let Some(mut far) = reached else {
        let _ = near.set_zero_linger();
        return;
    };
    // A long request must not wait for the acknowledgement of its first half.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ended = {
        let (questions, to_near) = near.split();
        let (answers, to_far) = far.split();
        let both = async {
            tokio::try_join!(
                pass(questions, to_far, Way::Questions, setting.clone()),
                pass(answers, to_near, Way::Answers, setting.clone()),
            )
        };
        tokio::select! {
            // Polled first: held data must not slip through when the wire is cut.
            biased;
            _ = &mut cut => Err(ErrorKind::ConnectionReset.into()),
            ended = both => ended.map(|_| ()),
        }
    };
    // A reset must not discard the part of a broken answer that has arrived.
    if ended.is_err_and(|cause| cause.kind() != ErrorKind::UnexpectedEof) {
        let _ = (near.set_zero_linger(), far.set_zero_linger());
    }
}

async fn reach(setting: &mut watch::Receiver<Setting>) -> io::Result<TcpStream> {
    let open = setting.wait_for(|setting| setting.state.lets_through(Way::Questions));
    let target = open.await.map_err(io::Error::other)?.target;
    TcpStream::connect(target).await
}

async fn pass(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: Way,
    mut setting: watch::Receiver<Setting>,
) -> io::Result<()> {
    let mut chunk = vec![0; 16 * 1024];
    let (mut sets, mut passed) = (0, 0);
    loop {
        let read = from.read(&mut chunk).await;
        let delay = setting.borrow().state.delay(way);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        // The end of a stream is held like any byte.
        let open = setting.wait_for(|setting| setting.state.lets_through(way));
        let now = *open.await.map_err(io::Error::other)?;
        let read = read?;
        if read == 0 {
            return to.shutdown().await;
        }
        if now.sets != sets {
            (sets, passed) = (now.sets, 0);
        }
        if let (State::BreaksAfter(limit), Way::Answers) = (now.state, way)
            && passed + read >= limit
        {
            to.write_all(&chunk[..limit - passed]).await?;
            return Err(ErrorKind::UnexpectedEof.into());
        }
        to.write_all(&chunk[..read]).await?;
        passed += read;
    }
}
