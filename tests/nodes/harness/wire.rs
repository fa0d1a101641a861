//! What a wire does to the bytes between two processes.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::super::common::wire::{Delay, State, Wire};

const PATIENCE: Duration = Duration::from_secs(30);
/// The timeout for bytes that are known not to arrive. No result depends on its length.
const SHORT: Duration = Duration::from_millis(200);

/// A server that echoes each byte and reports that it has received it.
struct Echo {
    wire: Wire,
    heard: tokio::sync::mpsc::UnboundedReceiver<u8>,
}

impl Echo {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Wire::to_port(listener.local_addr().unwrap().port()).await;
        let (tell, heard) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let tell = tell.clone();
                tokio::spawn(async move {
                    while let Ok(byte) = stream.read_u8().await {
                        let _ = tell.send(byte);
                        let _ = stream.write_u8(byte).await;
                    }
                });
            }
        });
        Self { wire, heard }
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.wire.port)).await
    }

    async fn hears(&mut self) -> Option<u8> {
        timeout(PATIENCE, self.heard.recv()).await.unwrap()
    }
}

async fn is_silent(stream: &mut TcpStream) {
    let read = timeout(SHORT, stream.read_u8()).await;
    assert!(read.is_err(), "nothing comes through: {read:?}");
}

async fn gives(stream: &mut TcpStream, byte: u8) {
    let read = timeout(PATIENCE, stream.read_u8()).await.unwrap();
    assert_eq!(read.unwrap(), byte);
}

async fn answers(stream: &mut TcpStream, byte: u8) {
    stream.write_u8(byte).await.unwrap();
    gives(stream, byte).await;
}

#[tokio::test]
async fn a_whole_wire_carries_both_ways_and_ends_with_either_end() {
    let echo = Echo::new().await;
    let mut stream = echo.connect().await.unwrap();
    for byte in 0..100 {
        answers(&mut stream, byte).await;
    }
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    assert_eq!(echo.wire.connections(), 1);
}

#[tokio::test]
async fn a_cut_resets_connections_and_refuses_new_ones() {
    let echo = Echo::new().await;
    let mut stream = echo.connect().await.unwrap();
    answers(&mut stream, 1).await;
    echo.wire.set(State::Cut);
    let read = timeout(PATIENCE, stream.read_u8()).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let refused = async || {
        let kind = echo.connect().await.err().map(|cause| cause.kind());
        kind == Some(ErrorKind::ConnectionRefused)
    };
    let mut seen = false;
    for _ in 0..1000 {
        seen = seen || refused().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        if seen {
            break;
        }
    }
    assert!(seen);
    echo.wire.set(State::Whole);
    for _ in 0..1000 {
        if let Ok(mut stream) = echo.connect().await {
            return answers(&mut stream, 2).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it stays cut");
}

#[tokio::test]
async fn a_cut_that_is_over_before_anybody_looks_has_reset_connections_all_the_same() {
    let echo = Echo::new().await;
    let mut stream = echo.connect().await.unwrap();
    answers(&mut stream, 1).await;
    echo.wire.set(State::Cut);
    echo.wire.set(State::Whole);
    let read = timeout(PATIENCE, stream.read_u8()).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_held_wire_is_silent_and_what_was_sent_comes_late() {
    let mut echo = Echo::new().await;
    let mut stream = echo.connect().await.unwrap();
    answers(&mut stream, 1).await;
    assert_eq!(echo.hears().await, Some(1));
    echo.wire.set(State::Held);
    stream.write_u8(2).await.unwrap();
    let mut new = echo.connect().await.unwrap();
    new.write_u8(3).await.unwrap();
    is_silent(&mut stream).await;
    is_silent(&mut new).await;
    assert!(
        echo.heard.try_recv().is_err(),
        "the server has heard nothing"
    );
    echo.wire.set(State::Whole);
    gives(&mut stream, 2).await;
    gives(&mut new, 3).await;
}

#[tokio::test]
async fn answers_can_be_held_alone_and_then_lost() {
    let mut echo = Echo::new().await;
    let mut stream = echo.connect().await.unwrap();
    echo.wire.set(State::AnswersHeld);
    stream.write_u8(1).await.unwrap();
    assert_eq!(echo.hears().await, Some(1));
    is_silent(&mut stream).await;
    echo.wire.set(State::Whole);
    gives(&mut stream, 1).await;

    echo.wire.set(State::AnswersHeld);
    stream.write_u8(2).await.unwrap();
    assert_eq!(echo.hears().await, Some(2));
    echo.wire.set(State::Cut);
    let read = timeout(PATIENCE, stream.read_u8()).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn questions_can_be_held_alone() {
    let mut echo = Echo::new().await;
    let mut stream = echo.connect().await.unwrap();
    answers(&mut stream, 1).await;
    assert_eq!(echo.hears().await, Some(1));
    echo.wire.set(State::QuestionsHeld);
    stream.write_u8(2).await.unwrap();
    is_silent(&mut stream).await;
    assert!(echo.heard.try_recv().is_err());
    echo.wire.set(State::Whole);
    gives(&mut stream, 2).await;
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "a real wire is measured on the real clock"
)]
async fn a_slow_wire_is_late_each_way() {
    let echo = Echo::new().await;
    let mut stream = echo.connect().await.unwrap();
    let late = Duration::from_millis(50);
    for (questions, delayed) in [(Delay::of(late), 2), (Delay::NONE, 1)] {
        let answers_late = Delay {
            at_least: late,
            at_most: 2 * late,
        };
        echo.wire.set(State::Slow {
            questions,
            answers: answers_late,
        });
        let began = std::time::Instant::now();
        answers(&mut stream, 1).await;
        assert!(began.elapsed() >= delayed * late, "{:?}", began.elapsed());
    }
    echo.wire.set(State::Slow {
        questions: Delay::up_to(late),
        answers: Delay::NONE,
    });
    answers(&mut stream, 2).await;
}

#[tokio::test]
async fn a_wire_breaks_in_the_middle_of_an_answer() {
    let echo = Echo::new().await;
    let mut old = echo.connect().await.unwrap();
    answers(&mut old, 0).await;
    echo.wire.set(State::BreaksAfter(3));
    let mut new = echo.connect().await.unwrap();
    for stream in [&mut old, &mut new] {
        stream.write_all(&[1, 2, 3, 4, 5]).await.unwrap();
        let mut heard = Vec::new();
        // Whether the end is a reset or not, the bytes before it have arrived.
        let _ = timeout(PATIENCE, stream.read_to_end(&mut heard))
            .await
            .unwrap();
        assert_eq!(heard, [1, 2, 3]);
    }
    echo.wire.set(State::Whole);
    answers(&mut echo.connect().await.unwrap(), 9).await;
}

#[tokio::test]
async fn a_wire_can_lead_somewhere_else() {
    let (first, mut second) = (Echo::new().await, Echo::new().await);
    first.wire.lead_to(&second.wire.url);
    answers(&mut first.connect().await.unwrap(), 7).await;
    assert_eq!(second.hears().await, Some(7));
    first.wire.lead_to_port(1);
    let mut stream = first.connect().await.unwrap();
    let read = timeout(PATIENCE, stream.read_u8()).await.unwrap();
    assert!(read.is_err(), "nobody is there");
}
