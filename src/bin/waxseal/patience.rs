//! The idle timeout of connections.
//!
//! hyper's own timeout for a request's head makes a timer for each request, which costs a tenth of a whole request.
//! This module has one timer for each connection. At each tick it only checks what happened since the last one.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready as ready_or_pending};
use std::time::Duration;

use axum_server::accept::Accept;
use hyper::Request;
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior};
use tower::Service;

use crate::connections::{Admitted, AdmittedConnection};

const TICK: Duration = Duration::from_secs(4);

/// A connection ends after this many ticks without activity: 12 to 16 seconds.
const TICKS: u32 = 4;

/// Up to this many bytes are copied and written as one piece, which costs less than a gathering write. For more bytes
/// a gathering write costs less. hyper could copy all that it writes, but would keep a buffer as large as the largest.
const SMALL: usize = 1024;

/// The maximum time that a connection may be silent.
#[cfg(test)]
const MOST: Duration = TICK.saturating_mul(TICKS);

/// Ends connections whose clients send no request, or no complete one, or take no answer: 12 to 16 seconds after the
/// last answer, and as long again after a request began to arrive. A request that is being answered has a limit of its
/// own.
#[derive(Clone, Copy, Debug)]
pub struct IdleTimeoutAcceptor;

impl<S> Accept<Admitted, S> for IdleTimeoutAcceptor {
    type Stream = TimedStream<TcpStream>;
    type Service = RequestTracker<S>;
    type Future = Ready<io::Result<(TimedStream<TcpStream>, RequestTracker<S>)>>;

    fn accept(&self, Admitted { stream, place }: Admitted, service: S) -> Self::Future {
        // Otherwise an answer waits until the client has acknowledged the one before (RFC 9293, section 3.7.4). Linux
        // delays the acknowledgement by 40 ms, and 500 ms are allowed (RFC 1122, section 4.2.3.2).
        if let Err(cause) = stream.set_nodelay(true) {
            return ready(Err(cause));
        }
        let activity = Arc::<Activity>::default();
        let service = RequestTracker {
            service,
            activity: Arc::clone(&activity),
        };
        ready(Ok((
            TimedStream::new(stream, activity, Some(place)),
            service,
        )))
    }
}

/// The requests of a connection, and the number of ticks without activity.
#[derive(Debug, Default)]
struct Activity {
    /// Whether there was a request. Before it, nothing that is written is an answer: in HTTP/2 it is the server's own
    /// PING.
    asked: AtomicBool,
    /// The number of requests that are being answered.
    in_flight: AtomicU32,
    ticks: AtomicU32,
}

impl Activity {
    fn reset(&self) {
        self.ticks.store(0, Ordering::Relaxed);
    }

    /// Counts a tick. Returns whether the client's time is over.
    fn tick(&self) -> bool {
        if self.in_flight.load(Ordering::Relaxed) > 0 {
            self.reset();
            return false;
        }
        self.ticks.fetch_add(1, Ordering::Relaxed) + 1 >= TICKS
    }
}

/// A request that is being answered. It is dropped when the answer is ready or no longer wanted.
#[derive(Debug)]
struct InFlight(Arc<Activity>);

impl InFlight {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.asked.store(true, Ordering::Relaxed);
        activity.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.reset();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that fails with a timeout when its client is silent for too long.
#[derive(Debug)]
pub struct TimedStream<I> {
    stream: I,
    activity: Arc<Activity>,
    /// Whether a part of a request has arrived that is not answered yet.
    began: bool,
    ticks: Interval,
    /// The place is freed after the stream is closed: fields are dropped in their order.
    _place: Option<AdmittedConnection>,
}

impl<I> TimedStream<I> {
    fn new(stream: I, activity: Arc<Activity>, place: Option<AdmittedConnection>) -> Self {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick of an interval is immediate.
        ticks.reset();
        Self {
            stream,
            activity,
            began: false,
            ticks,
            _place: place,
        }
    }

    fn wait<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        loop {
            ready_or_pending!(self.ticks.poll_tick(context));
            if self.activity.tick() {
                tracing::debug!("a silent client was disconnected");
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
    }

    fn wrote(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(written) => {
                if self.activity.asked.load(Ordering::Relaxed) {
                    self.activity.reset();
                    self.began = false;
                }
                Poll::Ready(written)
            }
            Poll::Pending => self.wait(context),
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for TimedStream<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                // More bytes of the same request do not count as activity: they could go on forever.
                if !self.began {
                    self.began = true;
                    self.activity.reset();
                }
                Poll::Ready(read)
            }
            Poll::Pending => self.wait(context),
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for TimedStream<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut piece = [0; SMALL];
        if let Some(length) = gather(slices, &mut piece) {
            return self.poll_write(context, &piece[..length]);
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Copies the slices to `piece`. Returns their total length, or `None` if there is no room.
fn gather(slices: &[io::IoSlice<'_>], piece: &mut [u8; SMALL]) -> Option<usize> {
    let mut at = 0;
    for slice in slices {
        let end = at + slice.len();
        piece.get_mut(at..end)?.copy_from_slice(slice);
        at = end;
    }
    Some(at)
}

/// The service that answers a connection's requests. It counts those in flight.
#[derive(Clone, Debug)]
pub struct RequestTracker<S> {
    service: S,
    activity: Arc<Activity>,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for RequestTracker<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    /// Counts the request as in flight. Its head has arrived, so from now on the client waits for the server.
    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let in_flight = InFlight::new(&self.activity);
        Answering {
            answer: self.service.call(request),
            in_flight,
        }
    }
}

pin_project! {
    /// The future of an answer.
    #[derive(Debug)]
    pub struct Answering<F> {
        #[pin]
        answer: F,
        in_flight: InFlight,
    }
}

impl<F: Future> Future for Answering<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.project().answer.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::net::TcpListener;
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::connections::{ConnectionMetrics, Connections};

    fn connection(buffer: usize) -> (DuplexStream, TimedStream<DuplexStream>, Arc<Activity>) {
        let (client, server) = duplex(buffer);
        let activity = Arc::<Activity>::default();
        (
            client,
            TimedStream::new(server, Arc::clone(&activity), None),
            activity,
        )
    }

    async fn is_given_up<T: std::fmt::Debug>(what: impl Future<Output = io::Result<T>>) -> bool {
        match timeout(MOST * 3, what).await {
            Ok(Err(error)) => error.kind() == io::ErrorKind::TimedOut,
            Ok(Ok(_)) | Err(_) => false,
        }
    }

    #[tokio::test]
    async fn vectored_writes_arrive_in_order_after_partial_writes() {
        let bytes: Vec<u8> = (0..=255).cycle().take(SMALL + 1).collect();
        for length in [0, 1, SMALL - 1, SMALL, SMALL + 1] {
            for [first, second] in [[0, 0], [0, length], [length / 3, length / 2]] {
                for room in [7, 2 * SMALL] {
                    let (mut client, mut server, _) = connection(room);
                    let (all, taken) = (&bytes[..length], length.min(room));
                    let parts = [&all[..first], &all[first..second], &all[second..]];
                    let parts = parts.map(io::IoSlice::new);
                    assert_eq!(server.write_vectored(&parts).await.unwrap(), taken);
                    drop(server);
                    let mut arrived = Vec::new();
                    client.read_to_end(&mut arrived).await.unwrap();
                    assert_eq!(arrived, all[..taken]);
                }
            }
        }
    }

    #[tokio::test]
    async fn an_answer_waits_for_no_acknowledgement() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (_client, accepted) = tokio::join!(client, listener.accept());
        let (stream, peer) = accepted.unwrap();
        let place = Connections::new(1, &[], ConnectionMetrics::default()).admit(peer.ip());
        let place = place.unwrap();
        let (watched, _) = IdleTimeoutAcceptor
            .accept(Admitted { stream, place }, ())
            .await
            .unwrap();
        assert!(watched.stream.nodelay().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_times_out() {
        let (_client, mut server, _) = connection(64);
        assert!(is_given_up(server.read_u8()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_a_request_byte_by_byte_times_out() {
        let (mut client, mut server, _) = connection(64);
        let sends = async move {
            for _ in 0..1000 {
                client.write_u8(b'x').await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
        };
        let mut whole = [0; 1000];
        tokio::select! {
            given_up = is_given_up(server.read_exact(&mut whole)) => assert!(given_up),
            () = sends => panic!("all of it was read"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_request_has_the_whole_timeout() {
        let (mut client, mut server, activity) = connection(64);
        for _ in 0..5 {
            drop(InFlight::new(&activity));
            // The client is silent for almost too long, and then sends two halves of a request that are as far apart.
            let halves = async {
                sleep(Duration::from_secs(11)).await;
                client.write_u8(1).await.unwrap();
                sleep(Duration::from_secs(11)).await;
                client.write_u8(2).await.unwrap();
            };
            let mut whole = [0; 2];
            let (_, read) = tokio::join!(halves, server.read_exact(&mut whole));
            read.unwrap();
            server.write_all(&whole).await.unwrap();
            client.read_exact(&mut whole).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_does_not_time_out_while_its_answer_is_made() {
        let (mut client, mut server, activity) = connection(64);
        client.write_u8(1).await.unwrap();
        server.read_u8().await.unwrap();
        let (answer, other) = (InFlight::new(&activity), InFlight::new(&activity));
        // hyper continues to read, to detect that the client has gone, and may write before the answer is ready.
        server.write_u8(1).await.unwrap();
        assert!(timeout(MOST * 10, server.read_u8()).await.is_err());
        drop(other);
        assert!(timeout(MOST * 10, server.read_u8()).await.is_err());
        drop(answer);
        server.write_u8(1).await.unwrap();
        assert!(is_given_up(server.read_u8()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn writes_before_a_request_do_not_extend_the_timeout() {
        let (mut client, mut server, _) = connection(64);
        let speaks = async {
            loop {
                sleep(Duration::from_secs(1)).await;
                client.write_u8(1).await.unwrap();
                client.read_u8().await.unwrap();
            }
        };
        let answers = async {
            loop {
                server.read_u8().await?;
                server.write_u8(1).await?;
            }
        };
        tokio::select! {
            given_up = is_given_up::<()>(answers) => assert!(given_up),
            () = speaks => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_times_out_and_a_slow_reader_does_not() {
        let (mut client, mut server, activity) = connection(64);
        drop(InFlight::new(&activity));
        let takes = async {
            for _ in 0..100 {
                sleep(Duration::from_secs(3)).await;
                client.read_exact(&mut [0; 10]).await.unwrap();
            }
        };
        let answer = [0; 1000];
        let (written, ()) = tokio::join!(server.write_all(&answer), takes);
        written.unwrap();
        assert!(is_given_up(server.write_all(&answer)).await);
    }
}
