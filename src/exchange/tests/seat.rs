//! Exchanges that the thread which asks carries itself, and the way of their connection between the threads. Its event loop is played
//! by the test.

use super::*;
use crate::exchange::event_loop::{Carrier, Next};

impl Client {
    pub(super) fn begins(&self, exchange: ExchangeId) -> Begin {
        Begin {
            exchange,
            bodiless: false,
            idempotent: true,
            reused: exchange > 1,
            says_close: false,
            guarded: false,
            is_fetch: false,
            in_loop: true,
            is_alone: true,
            max_header_size: 16 * 1024,
        }
    }

    /// An exchange that the I/O thread carries, after which the connection may leave.
    async fn round(&self, exchange: ExchangeId, peer: &mut TcpStream) {
        self.mailbox.push(Input::Begin(self.begins(exchange)));
        self.write(GET, true);
        expect(peer, GET).await;
        peer.write_all(HELLO).await.unwrap();
        self.recorder.line(&format!("{exchange} 200")).await;
    }

    /// A connection that has left.
    pub(super) async fn away() -> (Self, TcpListener, TcpStream, Arc<dyn Carrier>) {
        let (client, listener, mut peer) = Self::connect().await;
        client.round(1, &mut peer).await;
        client.round(2, &mut peer).await;
        let seat = client.recorder.watched.seat().await;
        (client, listener, peer, seat)
    }

    /// What its thread does to send a request.
    fn send(&self, seat: &Arc<dyn Carrier>, exchange: ExchangeId, bytes: &'static str) -> Next {
        assert!(seat.begin(self.begins(exchange)));
        let write = Input::Write {
            bytes: Bytes::from_static(bytes.as_bytes()),
            end: true,
            want_ack: false,
        };
        assert!(seat.input(write).is_none());
        seat.turn(false, false).unwrap()
    }

    async fn is_watched(&self) -> bool {
        tokio::task::yield_now().await;
        self.recorder.watched.seat.lock().unwrap().is_some()
    }
}

/// What its event loop does when bytes come, until the exchange is over or leaves.
pub(super) async fn receive(seat: &Arc<dyn Carrier>) -> Next {
    loop {
        match seat.turn(true, false).unwrap() {
            Next::Waits => tokio::time::sleep(Duration::from_millis(1)).await,
            next => return next,
        }
    }
}

#[test]
fn exchanges_that_follow_each_other_are_carried_where_they_are_asked_for() {
    run(async {
        let (client, _listener, mut peer, seat) = Client::away().await;
        for exchange in 3..6 {
            assert_eq!(client.send(&seat, exchange, GET), Next::Waits);
            expect(&mut peer, GET).await;
            peer.write_all(HELLO).await.unwrap();
            assert_eq!(receive(&seat).await, Next::Rests);
            let last = client.log().await.pop().unwrap();
            assert_eq!(last, format!("{exchange} 200 hello end"));
        }
        assert!(client.is_watched().await);
        assert_eq!(client.close().await, CloseReason::UserAbort);
        assert_closed(&mut peer).await;
    });
}

#[test]
fn a_connection_that_rests_between_its_exchanges_does_not_leave() {
    run(async {
        let (client, _listener, mut peer) = Client::connect().await;
        client.round(1, &mut peer).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        client.round(2, &mut peer).await;
        assert!(!client.is_watched().await);
        client.close().await;
    });
}

#[test]
fn every_split_of_a_response_ends_the_same_wherever_its_connection_is_by_then() {
    let raw = b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n";
    run(async {
        for split in 0..raw.len() {
            for is_recalled in [false, true] {
                let (client, _listener, mut peer, seat) = Client::away().await;
                peer.set_nodelay(true).unwrap();
                assert_eq!(client.send(&seat, 3, GET), Next::Waits);
                expect(&mut peer, GET).await;
                peer.write_all(&raw[..split]).await.unwrap();
                assert_eq!(seat.turn(true, false).unwrap(), Next::Waits);
                if is_recalled {
                    client.recall();
                    assert_eq!(seat.turn(true, false).unwrap(), Next::IsGone);
                    peer.write_all(&raw[split..]).await.unwrap();
                } else {
                    peer.write_all(&raw[split..]).await.unwrap();
                    assert_eq!(receive(&seat).await, Next::Rests);
                }
                let end = client.recorder.line("3 end").await;
                assert_eq!(end, "3 end X-Sum|1");
                let log = client.log().await.join("\n");
                assert!(log.contains("3 103 ") && log.contains("3 200 "), "{log}");
                client.close().await;
            }
        }
    });
}

#[test]
fn what_is_more_than_a_thread_carries_leaves_it_and_goes_on() {
    run(async {
        // The rest of an upload, and a body that is large.
        let (client, _listener, mut peer, seat) = Client::away().await;
        assert!(seat.begin(client.begins(3)));
        let (head, body) = POST.split_at(POST.len() - 2);
        let write = |bytes: &'static str, end| Input::Write {
            bytes: Bytes::from_static(bytes.as_bytes()),
            end,
            want_ack: false,
        };
        assert!(seat.input(write(head, false)).is_none());
        assert_eq!(seat.turn(false, false).unwrap(), Next::Leaves);
        assert!(!seat.begin(client.begins(4)), "it is leaving");
        client.recall();
        client.mailbox.push(write(body, true));
        expect(&mut peer, POST).await;
        let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1 << 20);
        peer.write_all(large.as_bytes()).await.unwrap();
        client.recorder.line("3 200").await;
        peer.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
        while *client.recorder.received.lock().unwrap() < (1 << 20) {
            client.mailbox.push(Input::Ack(1 << 16));
            tokio::task::yield_now().await;
        }
        client.close().await;
    });
}

#[test]
fn a_response_that_takes_its_time_is_waited_for_on_the_io_thread() {
    run(async {
        let (client, _listener, mut peer, seat) = Client::away().await;
        assert_eq!(client.send(&seat, 3, GET), Next::Waits);
        client.recorder.line("resumes 3").await;
        assert_eq!(seat.turn(true, false).unwrap(), Next::IsGone);
        peer.write_all(HELLO).await.unwrap();
        client.recorder.line("3 200 hello end").await;
        client.close().await;
    });
}

#[test]
fn what_happens_to_an_idle_connection_that_is_away_is_seen_in_time() {
    run(async {
        let (client, _listener, peer, seat) = Client::away().await;
        client.leased.set(false);
        drop(peer);
        // Nobody looks at it where it is.
        assert_eq!(client.task.await.unwrap(), CloseReason::PeerClosed);
        assert_eq!(seat.turn(true, false).unwrap(), Next::IsGone);
    });
}

#[test]
fn a_request_for_a_connection_that_has_ended_goes_to_a_fresh_one() {
    run(async {
        let (client, listener, peer, seat) = Client::away().await;
        reset(peer);
        while client.send_if_fit(&seat) != Next::Leaves {
            tokio::task::yield_now().await;
        }
        client.recall();
        let (mut fresh, _) = listener.accept().await.unwrap();
        expect(&mut fresh, GET).await;
        fresh.write_all(HELLO).await.unwrap();
        client.recorder.line("3 200 hello end").await;
        client.close().await;
    });
}

impl Client {
    /// A request, once a look would show that the connection has ended.
    fn send_if_fit(&self, seat: &Arc<dyn Carrier>) -> Next {
        let has_news = self.owner.has_news();
        match has_news {
            Some(true) => self.send(seat, 3, GET),
            _ => Next::Rests,
        }
    }
}

#[test]
fn what_was_written_is_told_before_the_connection_leaves() {
    run(async {
        let (client, _listener, mut peer) = Client::connect().await;
        client.round(1, &mut peer).await;
        client.mailbox.push(Input::Begin(client.begins(2)));
        let (head, body) = POST.split_at(POST.len() - 2);
        client.write(head, false);
        expect(&mut peer, head).await;
        // It answers before it has all.
        peer.write_all(HELLO).await.unwrap();
        client.recorder.line("2 200").await;
        client.write(body, true);
        expect(&mut peer, body).await;
        client.recorder.watched.seat().await;
        let told = format!("2 written {}", POST.len());
        assert!(client.log().await.contains(&told));
        assert!(!client.mailbox.ack_pending.get());
        client.close().await;
    });
}

#[test]
fn a_reminder_of_written_bytes_brings_nothing_back() {
    run(async {
        let (client, _listener, _peer, _seat) = Client::away().await;
        client.mailbox.push(Input::Tick);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(client.is_watched().await);
        client.close().await;
    });
}

#[test]
fn commands_that_come_to_the_io_thread_bring_the_connection_back() {
    run(async {
        let (client, _listener, mut peer, seat) = Client::away().await;
        client.round(3, &mut peer).await;
        assert_eq!(seat.turn(true, false).unwrap(), Next::IsGone);
        client.close().await;
    });
}

#[test]
fn a_thread_that_ends_tells_what_is_under_way_elsewhere() {
    run(async {
        let (client, _listener, mut peer, seat) = Client::away().await;
        assert_eq!(client.send(&seat, 3, GET), Next::Waits);
        client.task.abort();
        client
            .recorder
            .line("3 failed early ERR_KEEPWIRE_ENGINE")
            .await;
        expect(&mut peer, GET).await;
        assert_closed(&mut peer).await;
    });
}

#[test]
fn two_threads_at_one_connection_lose_no_exchange() {
    run(async {
        let (client, _listener, mut peer, _) = Client::away().await;
        let answers = tokio::task::spawn_local(async move {
            let mut buffer = vec![0; GET.len()];
            while peer.read_exact(&mut buffer).await.is_ok() {
                peer.write_all(HELLO).await.unwrap();
            }
        });
        // How many are carried here depends on who gets the processor: the loop ends by their
        // number, so that a busy machine changes nothing but how long it takes.
        let (mut carried, mut exchange) = (0, 2);
        while carried < 200 {
            exchange += 1;
            assert!(exchange < 50_000, "{carried} of {exchange}");
            let seat = client.recorder.watched.seat.lock().unwrap().clone();
            let seat = seat.filter(|seat| seat.begin(client.begins(exchange)));
            let Some(seat) = seat else {
                client.mailbox.push(Input::Begin(client.begins(exchange)));
                client.write(GET, true);
                client
                    .recorder
                    .line(&format!("{exchange} 200 hello end"))
                    .await;
                continue;
            };
            carried += 1;
            // Another thread, in whose middle the connection is recalled now and then.
            let other = std::thread::spawn(move || {
                let write = Input::Write {
                    bytes: Bytes::from_static(GET.as_bytes()),
                    end: true,
                    want_ack: false,
                };
                if let Some(input) = seat.input(write) {
                    return Some(input);
                }
                let mut next = seat.turn(false, false).unwrap();
                while next == Next::Waits {
                    std::thread::yield_now();
                    next = seat.turn(true, false).unwrap();
                }
                assert!(matches!(next, Next::Rests | Next::IsGone), "{next:?}");
                None
            });
            if exchange % 3 == 0 {
                for _ in 0..exchange % 7 {
                    std::thread::yield_now();
                }
                client.recall();
            }
            while !other.is_finished() {
                tokio::task::yield_now().await;
            }
            if let Some(input) = other.join().unwrap() {
                client.mailbox.push(input);
            }
            client
                .recorder
                .line(&format!("{exchange} 200 hello end"))
                .await;
        }
        let log = client.log().await;
        for exchange in 3..=exchange {
            let line = format!("{exchange} 200 hello end");
            assert_eq!(log.iter().filter(|other| **other == line).count(), 1);
        }
        client.close().await;
        answers.abort();
    });
}

#[test]
fn a_panic_ends_its_connection_and_nobody_goes_on_with_it() {
    run(async {
        let (client, _listener, mut peer, seat) = Client::away().await;
        assert_eq!(client.send(&seat, 3, GET), Next::Waits);
        expect(&mut peer, GET).await;
        peer.write_all(HELLO).await.unwrap();
        crate::faults::inject(crate::faults::FaultPoint::Head);
        let failed = loop {
            match seat.turn(true, false) {
                Ok(_) => tokio::task::yield_now().await,
                Err(failure) => break failure,
            }
        };
        assert_eq!(failed.code, "ERR_KEEPWIRE_ENGINE");
        // Whoever asked hears of it before anybody hears of the connection's end, should the I/O thread look after it just now.
        client.mailbox.wake();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!client.task.is_finished());
        assert_closed(&mut peer).await;
        client.recall();
        let recorder = Arc::clone(&client.recorder);
        assert_eq!(client.task.await.unwrap(), CloseReason::Error);
        let log = recorder.log.lock().unwrap().join("\n");
        assert!(!log.contains("resumes 3"), "{log}");
    });
}

#[test]
fn who_looks_gives_up_in_time_whatever_comes_meanwhile() {
    run(async {
        let (client, _listener, mut peer, seat) = Client::away().await;
        peer.set_nodelay(true).unwrap();
        assert_eq!(client.send(&seat, 3, GET), Next::Waits);
        expect(&mut peer, GET).await;
        assert_eq!(seat.looked(Duration::from_secs(60)), Next::Waits);
        tokio::time::sleep(Duration::from_millis(2)).await;
        peer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
            .await
            .unwrap();
        assert_eq!(seat.turn(true, false).unwrap(), Next::Waits);
        assert_eq!(seat.looked(Duration::from_millis(1)), Next::Leaves);
        assert_eq!(seat.looked(Duration::from_secs(60)), Next::IsGone);
        client.recall();
        client.recorder.line("resumes 3").await;
        client.close().await;
    });
}

#[test]
fn a_body_that_nobody_reads_is_not_waited_for_where_it_was_asked_for() {
    run(async {
        let (client, _listener, mut peer, seat) = Client::away().await;
        peer.set_nodelay(true).unwrap();
        assert_eq!(client.send(&seat, 3, GET), Next::Waits);
        expect(&mut peer, GET).await;
        peer.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await
            .unwrap();
        let mut turns = Vec::new();
        for _ in 0..20 {
            peer.write_all("1\r\nx\r\n".repeat(100).as_bytes())
                .await
                .unwrap();
            turns.push(seat.turn(true, false).unwrap());
            if turns.last() != Some(&Next::Waits) {
                break;
            }
        }
        assert_eq!(turns.pop(), Some(Next::Leaves), "{turns:?} before");
        client.close().await;
    });
}

/// Large, but not too large to be read where it was asked for.
const BODY: usize = 1024 * 1024;

/// A response has begun to come whose body has so many bytes, chunked if none are given, and is written on another task.
async fn large(length: Option<usize>) -> (Client, TcpListener, Arc<dyn Carrier>) {
    let (client, listener, mut peer, seat) = Client::away().await;
    assert_eq!(client.send(&seat, 3, GET), Next::Waits);
    expect(&mut peer, GET).await;
    tokio::task::spawn_local(async move {
        let framing = length.map_or("Transfer-Encoding: chunked".to_owned(), |length| {
            format!("Content-Length: {length}")
        });
        let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
        peer.write_all(head.as_bytes()).await.unwrap();
        if let Some(length) = length {
            drop(peer.write_all(&vec![b'x'; length]).await);
        } else {
            let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
            while peer.write_all(chunk.as_bytes()).await.is_ok() {}
        }
        // Until the client closes.
        drop(peer.read(&mut [0]).await);
    });
    (client, listener, seat)
}

impl Client {
    fn received(&self) -> usize {
        *self.recorder.received.lock().unwrap()
    }

    /// The I/O thread has the connection back, and goes on until so much has come altogether.
    async fn goes_on(self, received: usize) {
        self.recall();
        while self.received() < received {
            self.mailbox.push(Input::Ack(1 << 16));
            tokio::task::yield_now().await;
        }
        self.close().await;
    }

    /// What its thread does when bytes come: it reads them all at once. What comes of the exchange, and how much came.
    async fn read_here(&self, seat: &Arc<dyn Carrier>) -> (Next, usize) {
        let mut acknowledged = 0;
        let mut has_news = true;
        loop {
            match seat.turn(has_news, true).unwrap() {
                Next::Waits => {}
                next => return (next, self.received()),
            }
            let received = self.received();
            // Who acknowledges something has it go on; else something has to come.
            has_news = received == acknowledged;
            if has_news {
                tokio::task::yield_now().await;
            } else {
                assert!(seat.input(Input::Ack(received - acknowledged)).is_none());
                acknowledged = received;
            }
        }
    }
}

#[test]
fn a_body_is_read_where_it_was_asked_for_if_nothing_else_is_carried_there() {
    run(async {
        let (client, _listener, seat) = large(Some(BODY)).await;
        let before = client.received();
        assert_eq!(client.read_here(&seat).await, (Next::Rests, before + BODY));
        client.close().await;
    });
}

#[test]
fn a_body_that_is_very_large_leaves_as_soon_as_that_is_known() {
    run(async {
        let (client, _listener, seat) = large(Some(4 * BODY)).await;
        let (next, received) = client.read_here(&seat).await;
        assert_eq!(next, Next::Leaves);
        assert!(received < BODY, "{received}");
        client.close().await;

        let (client, _listener, seat) = large(None).await;
        let (next, received) = client.read_here(&seat).await;
        assert_eq!(next, Next::Leaves);
        assert!((2 * BODY..3 * BODY).contains(&received), "{received}");
        client.close().await;
    });
}

#[test]
fn a_body_beside_which_another_exchange_begins_goes_on_on_the_io_thread() {
    run(async {
        let (client, _listener, seat) = large(Some(BODY)).await;
        let before = client.received();
        let mut acknowledged = before;
        while client.received() < before + BODY / 2 {
            assert_eq!(seat.turn(true, true).unwrap(), Next::Waits);
            let received = client.received();
            assert!(seat.input(Input::Ack(received - acknowledged)).is_none());
            acknowledged = received;
            tokio::task::yield_now().await;
        }
        assert_eq!(seat.turn(true, false).unwrap(), Next::Leaves);
        client.goes_on(before + BODY).await;
    });
}

#[test]
fn a_body_whose_reader_pauses_leaves_after_a_while_whatever_waits_to_be_read() {
    run(async {
        let (client, _listener, seat) = large(Some(BODY)).await;
        let before = client.received();
        while client.received() < before + RESPONSE_WINDOW {
            assert_eq!(seat.turn(true, true).unwrap(), Next::Waits);
            tokio::task::yield_now().await;
        }
        // Nobody has read any of it, so no more is.
        let told = client.received();
        assert_eq!(seat.turn(true, true).unwrap(), Next::Waits);
        assert_eq!(client.received(), told);
        // More comes meanwhile, and is not read either.
        while seat.turn(true, true).unwrap() == Next::Waits {
            assert_eq!(client.received(), told);
            tokio::task::yield_now().await;
        }
        client.recorder.line("resumes 3").await;
        client.goes_on(before + BODY).await;
    });
}

#[test]
fn a_body_in_very_short_chunks_leaves_before_it_holds_its_thread_up() {
    run(async {
        let (client, _listener, mut peer, seat) = Client::away().await;
        assert_eq!(client.send(&seat, 3, GET), Next::Waits);
        expect(&mut peer, GET).await;
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let flood = head.to_owned() + &"1\r\nx\r\n".repeat(2_000);
        peer.write_all(flood.as_bytes()).await.unwrap();
        let before = client.received();
        let (next, received) = client.read_here(&seat).await;
        assert_eq!(next, Next::Leaves);
        assert!(received - before < 1_000, "{received}");
        client.close().await;
    });
}

#[test]
fn who_is_told_to_leave_does_so_once() {
    run(async {
        let (client, _listener, seat) = large(Some(BODY)).await;
        assert_eq!(seat.turn(true, true).unwrap(), Next::Waits);
        assert_eq!(seat.leave(), Next::Leaves);
        assert_eq!(seat.leave(), Next::IsGone);
        assert_eq!(seat.turn(true, true).unwrap(), Next::IsGone);
        client.recall();
        client.recorder.line("resumes 3").await;
        client.close().await;
    });
}
