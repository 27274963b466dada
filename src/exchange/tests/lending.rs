//! Pieces of request bodies that the thread which asks sends from where JavaScript has them.

use super::seat::receive;
use super::*;
use crate::exchange::event_loop::Next;
use crate::exchange::mailbox::Piece;

const LARGE: usize = 1024 * 1024;
const ACCEPTED: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

thread_local! {
    /// How many bytes of them were copied.
    static COPIED: Cell<usize> = const { Cell::new(0) };
}

/// The same, since the last time this was asked.
fn copied() -> usize {
    COPIED.take()
}

fn copy(bytes: &[u8]) -> Bytes {
    COPIED.set(COPIED.get() + bytes.len());
    Bytes::copy_from_slice(bytes)
}

fn piece(bytes: &[u8], end: bool) -> Piece<'_> {
    Piece {
        bytes,
        end,
        want_ack: true,
        copy,
    }
}

fn head(length: usize) -> String {
    format!("POST /x HTTP/1.1\r\nContent-Length: {length}\r\n\r\n")
}

fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

impl Client {
    /// Begins a request that may not be sent twice, as far as its head.
    fn begins_to_post(&self, seat: &Arc<dyn Carrier>, exchange: ExchangeId, length: usize) {
        let begin = Begin {
            idempotent: false,
            ..self.begins(exchange)
        };
        assert!(seat.begin(begin));
        let head = Input::Write {
            bytes: head(length).into(),
            end: false,
            want_ack: false,
        };
        assert!(seat.input(head).is_none());
    }
}

/// Reads a request with this body.
async fn expect_post(peer: &mut TcpStream, expected: &[u8]) {
    expect(peer, &head(expected.len())).await;
    let mut got = vec![0; expected.len()];
    peer.read_exact(&mut got).await.unwrap();
    assert!(got == expected, "the body is another one");
}

fn end() -> Input {
    Input::Write {
        bytes: Bytes::new(),
        end: true,
        want_ack: false,
    }
}

#[test]
fn what_the_kernel_takes_at_once_is_not_copied() {
    run(async {
        let (client, _listener, mut peer, seat) = Client::away().await;
        let body = body(32 * 1024);
        for (exchange, is_whole) in [(3, true), (4, false)] {
            client.begins_to_post(&seat, exchange, body.len());
            assert!(seat.lend(&piece(&body, is_whole)).unwrap());
            if !is_whole {
                // Its end is a command of its own, which comes in the same turn of its thread.
                assert_eq!(seat.turn(false, true).unwrap(), Next::Waits);
                assert!(seat.input(end()).is_none());
            }
            assert_eq!(seat.turn(false, true).unwrap(), Next::Waits);
            expect_post(&mut peer, &body).await;
            let written = head(body.len()).len() + body.len();
            client
                .recorder
                .line(&format!("{exchange} written {written}"))
                .await;
            peer.write_all(ACCEPTED).await.unwrap();
            assert_eq!(receive(&seat).await, Next::Rests);
            client.recorder.line(&format!("{exchange} 204")).await;
        }
        assert_eq!(copied(), 0);
        client.close().await;
    });
}

#[test]
fn what_the_kernel_does_not_take_is_copied_and_goes_on_on_the_io_thread() {
    run(async {
        for is_whole in [true, false] {
            let (client, _listener, mut peer, seat) = Client::away().await;
            let body = body(2 * LARGE);
            let mut exchange = 3;
            loop {
                client.begins_to_post(&seat, exchange, body.len());
                assert!(seat.lend(&piece(&body, is_whole)).unwrap());
                if copied() > 0 {
                    break;
                }
                // The peer answers before it reads: that much the kernel has to keep.
                assert!(is_whole || seat.input(end()).is_none());
                assert_eq!(seat.turn(false, true).unwrap(), Next::Waits);
                peer.write_all(ACCEPTED).await.unwrap();
                assert_eq!(receive(&seat).await, Next::Rests);
                exchange += 1;
            }
            assert_eq!(seat.turn(false, true).unwrap(), Next::Leaves);
            client.recall();
            if !is_whole {
                client.mailbox.push(end());
            }
            for _ in 3..=exchange {
                expect_post(&mut peer, &body).await;
            }
            peer.write_all(ACCEPTED).await.unwrap();
            client.recorder.line(&format!("{exchange} 204")).await;
            client.close().await;
        }
    });
}

#[test]
fn what_is_left_of_a_request_that_was_answered_before_is_sent_by_the_io_thread() {
    run(async {
        let (client, _listener, mut peer, seat) = Client::away().await;
        let body = body(2 * LARGE);
        for exchange in 3.. {
            client.begins_to_post(&seat, exchange, body.len());
            assert!(seat.lend(&piece(&body, true)).unwrap());
            peer.write_all(ACCEPTED).await.unwrap();
            let next = receive(&seat).await;
            let length = head(body.len()).len() + body.len();
            let written = format!("{exchange} written {length}");
            if next == Next::Rests {
                assert!(client.log().await.contains(&written));
                continue;
            }
            assert_eq!(next, Next::Leaves);
            client.recorder.line(&format!("{exchange} 204")).await;
            client.recall();
            for _ in 3..=exchange {
                expect_post(&mut peer, &body).await;
            }
            client.recorder.line(&written).await;
            break;
        }
        client.close().await;
    });
}

#[test]
fn a_piece_is_copied_if_it_may_have_to_be_sent_again() {
    run(async {
        let (client, listener, mut peer, seat) = Client::away().await;
        let body = body(32 * 1024);
        assert!(seat.begin(client.begins(3)));
        let head = Input::Write {
            bytes: head(body.len()).into(),
            end: false,
            want_ack: false,
        };
        assert!(seat.input(head).is_none());
        assert!(seat.lend(&piece(&body, true)).unwrap());
        assert_eq!(copied(), body.len());
        assert_eq!(seat.turn(false, true).unwrap(), Next::Waits);
        expect_post(&mut peer, &body).await;
        // The server was about to close it.
        drop(peer);
        assert_eq!(receive(&seat).await, Next::Leaves);
        client.recall();
        let (mut peer, _) = listener.accept().await.unwrap();
        expect_post(&mut peer, &body).await;
        peer.write_all(ACCEPTED).await.unwrap();
        client.recorder.line("3 204").await;
        client.close().await;
    });
}

#[test]
fn a_piece_for_a_connection_that_has_ended_goes_to_a_fresh_one() {
    run(async {
        for ends in [drop as fn(TcpStream), reset] {
            let (client, listener, peer, seat) = Client::away().await;
            ends(peer);
            while client.owner.has_news() != Some(true) {
                tokio::task::yield_now().await;
            }
            let body = body(LARGE);
            client.begins_to_post(&seat, 3, body.len());
            assert!(seat.lend(&piece(&body, true)).unwrap());
            assert_eq!(seat.turn(false, true).unwrap(), Next::Leaves);
            client.recall();
            let (mut peer, _) = listener.accept().await.unwrap();
            expect_post(&mut peer, &body).await;
            peer.write_all(ACCEPTED).await.unwrap();
            client.recorder.line("3 204").await;
            client.close().await;
        }
    });
}

#[test]
fn who_makes_one_piece_after_another_is_left_to_the_io_thread() {
    run(async {
        let (client, _listener, mut peer, seat) = Client::away().await;
        let body = body(2 * 32 * 1024);
        let (first, second) = body.split_at(32 * 1024);
        client.begins_to_post(&seat, 3, body.len());
        assert!(seat.lend(&piece(first, false)).unwrap());
        assert_eq!(seat.turn(false, true).unwrap(), Next::Waits);
        assert_eq!(copied(), 0);
        assert!(seat.lend(&piece(second, false)).unwrap());
        assert_eq!(copied(), second.len());
        assert_eq!(seat.turn(false, true).unwrap(), Next::Leaves);
        assert!(!seat.lend(&piece(second, false)).unwrap(), "it has left");
        client.recall();
        client.mailbox.push(end());
        expect_post(&mut peer, &body).await;
        peer.write_all(ACCEPTED).await.unwrap();
        client.recorder.line("3 204").await;
        client.close().await;
    });
}

#[test]
fn a_request_whose_end_does_not_come_is_waited_for_on_the_io_thread() {
    run(async {
        for is_answered in [true, false] {
            let (client, _listener, mut peer, seat) = Client::away().await;
            let body = body(64 * 1024);
            client.begins_to_post(&seat, 3, body.len());
            let (first, second) = body.split_at(32 * 1024);
            assert!(seat.lend(&piece(first, false)).unwrap());
            assert_eq!(seat.turn(false, true).unwrap(), Next::Waits);
            if is_answered {
                peer.write_all(ACCEPTED).await.unwrap();
                while seat.turn(true, true).unwrap() == Next::Waits {
                    tokio::task::yield_now().await;
                }
                client.recall();
                client.recorder.line("3 204").await;
            } else {
                client.recorder.line("resumes 3").await;
                client.mailbox.push(piece(second, true).kept());
                expect_post(&mut peer, &body).await;
            }
            client.close().await;
        }
    });
}

#[test]
fn a_piece_that_holds_the_head_is_sent_from_where_it_is_as_well() {
    run(async {
        let (client, _listener, mut peer, seat) = Client::away().await;
        let begin = Begin {
            idempotent: false,
            ..client.begins(3)
        };
        assert!(seat.begin(begin));
        let body = body(32 * 1024);
        let whole = [head(body.len()).as_bytes(), &body].concat();
        assert!(seat.lend(&piece(&whole, false)).unwrap());
        assert_eq!(seat.turn(false, true).unwrap(), Next::Waits);
        assert_eq!(copied(), 0);
        expect_post(&mut peer, &body).await;
        assert!(seat.input(end()).is_none());
        peer.write_all(ACCEPTED).await.unwrap();
        assert_eq!(receive(&seat).await, Next::Rests);
        client.recorder.line("3 204").await;
        client.close().await;
    });
}

#[test]
fn a_reset_between_a_piece_and_the_requests_end_is_told_as_one() {
    run(async {
        let (client, _listener, peer, seat) = Client::away().await;
        let body = body(64 * 1024);
        client.begins_to_post(&seat, 3, body.len());
        assert!(seat.lend(&piece(&body[..32 * 1024], false)).unwrap());
        assert_eq!(seat.turn(false, true).unwrap(), Next::Waits);
        // Loopback delivers it at once. A look at it would take it: the kernel tells a reset once.
        reset(peer);
        assert_eq!(seat.turn(true, true).unwrap(), Next::Leaves);
        client.recall();
        client
            .recorder
            .line("3 failed early ECONNRESET read ECONNRESET")
            .await;
        client.close().await;
    });
}
