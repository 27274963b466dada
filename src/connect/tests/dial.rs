//! One address or several: what is tried, what is reported, when it ends.

use std::cell::Cell;

use super::*;

#[tokio::test]
async fn a_connection_knows_its_ends() {
    let (listener, port) = listener().await;
    let connected = connect(&profile(port)).await.unwrap();
    let (_peer, seen) = listener.accept().await.unwrap();
    assert_eq!(connected.local, Some(seen));
    assert_eq!(connected.remote, Some(listener.local_addr().unwrap()));
    assert_eq!(connected.dns_ms, 0.0, "a literal address takes no lookup");
}

#[tokio::test]
async fn a_name_is_resolved_first() {
    let (listener, port) = listener().await;
    let connected = connect(&Profile {
        host: "localhost".to_owned(),
        family: 4,
        ..profile(port)
    })
    .await
    .unwrap();
    assert_eq!(connected.remote, Some(listener.local_addr().unwrap()));
    assert!(connected.dns_ms > 0.0);
}

fn named(port: u16) -> Profile {
    Profile {
        host: "made-up.test".to_owned(),
        ..profile(port)
    }
}

fn answering(texts: &[&str]) -> Option<impl Fn() -> std::future::Ready<Vec<String>>> {
    let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
    Some(move || std::future::ready(texts.clone()))
}

#[tokio::test]
async fn whoever_looks_the_name_up_says_what_is_tried() {
    let (listener, port) = listener().await;
    let looked_up = answering(&["nonsense", "127.0.0.1"]);
    let connected = connect_by(&named(port), looked_up, Offer::All)
        .await
        .unwrap();
    assert_eq!(connected.remote, Some(listener.local_addr().unwrap()));
    let failure = connect_by(&named(port), answering(&[]), Offer::All)
        .await
        .unwrap_err();
    assert_eq!(failure.message, "getaddrinfo ENOTFOUND made-up.test");
    let many = Profile {
        auto_select_family: true,
        ..named(port)
    };
    let looked_up = answering(&["127.0.0.9", "127.0.0.1"]);
    let connected = connect_by(&many, looked_up, Offer::All).await.unwrap();
    assert_eq!(connected.remote, Some(listener.local_addr().unwrap()));
}

// Other systems have one loopback address.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_an_agent_remembers_of_a_name_is_asked_for_once_and_again_when_nobody_is_there() {
    let (listener, port) = listener().await;
    let names = Names::new(CacheSettings {
        ttl_ms: 3_600_000,
        negative_ttl_ms: 0,
        max_stale_ms: 0,
        max_entries: 8,
        max_threads: 8,
        rotates: false,
    });
    let profile = Profile {
        names: Some(names.clone()),
        ..named(port)
    };
    let asked = Cell::new(0);
    let lookup = |address: &'static str| {
        Some(|| {
            asked.set(asked.get() + 1);
            std::future::ready(vec![address.to_owned()])
        })
    };
    for _ in 0..3 {
        let connected = connect_by(&profile, lookup("127.0.0.1"), Offer::All)
            .await
            .unwrap();
        assert_eq!(connected.remote, Some(listener.local_addr().unwrap()));
    }
    assert_eq!(asked.take(), 1);
    // The service moves: here, from where nobody listens.
    let failure = connect_by(&profile, lookup("127.0.0.1"), Offer::All).await;
    assert!(failure.is_ok());
    drop(listener);
    let failure = connect_by(&profile, lookup("127.0.0.1"), Offer::All)
        .await
        .unwrap_err();
    assert_eq!((failure.code.as_ref(), asked.take()), ("ECONNREFUSED", 1));
    let listener = tokio::net::TcpListener::bind(("127.0.0.9", port))
        .await
        .unwrap();
    let connected = connect_by(&profile, lookup("127.0.0.9"), Offer::All)
        .await
        .unwrap();
    assert_eq!(connected.remote, Some(listener.local_addr().unwrap()));
    assert_eq!(asked.take(), 1);
    drop(listener);
    let listener = tokio::net::TcpListener::bind(("127.0.0.8", port))
        .await
        .unwrap();
    let connected = connect_by(&profile, lookup("127.0.0.8"), Offer::All)
        .await
        .unwrap();
    assert_eq!(connected.remote, Some(listener.local_addr().unwrap()));
    let stats = names.stats();
    assert_eq!((stats.entries, stats.dropped), (1, 3));
}

#[tokio::test]
async fn an_address_is_nothing_to_look_up() {
    let (_listener, port) = listener().await;
    let never = Some(std::future::pending::<Vec<String>>);
    connect_by(&profile(port), never, Offer::All).await.unwrap();
}

#[tokio::test]
async fn the_limit_holds_for_whoever_looks_the_name_up() {
    let profile = Profile {
        connect_timeout_ms: 20,
        ..named(9)
    };
    let never = Some(std::future::pending::<Vec<String>>);
    let failure = connect_by(&profile, never, Offer::All).await.unwrap_err();
    assert_eq!(&*failure.code, "ERR_KEEPWIRE_CONNECT_TIMEOUT");
}

#[tokio::test]
async fn a_refused_port_is_reported_in_the_runtimes_words() {
    let Refusing { _socket, port } = refusing();
    let failure = connect(&profile(port)).await.unwrap_err();
    assert_eq!(
        (&*failure.code, failure.syscall),
        ("ECONNREFUSED", "connect")
    );
    assert_eq!(
        (failure.address.as_deref(), failure.port),
        (Some("127.0.0.1"), Some(port))
    );
    assert_eq!(
        failure.message,
        format!("connect ECONNREFUSED 127.0.0.1:{port}")
    );
    assert_eq!(failure.local, None);
    #[cfg(target_os = "linux")]
    assert_eq!(failure.errno, -111);
}

#[tokio::test]
async fn an_ipv6_address_is_written_without_brackets() {
    let Ok(probe) = StdListener::bind(("::1", 0)) else {
        return; // This machine has no IPv6.
    };
    let port = probe.local_addr().unwrap().port();
    drop(probe);
    let failure = connect(&Profile {
        host: "::1".to_owned(),
        ..profile(port)
    })
    .await
    .unwrap_err();
    assert_eq!(failure.message, format!("connect ECONNREFUSED ::1:{port}"));
}

#[tokio::test]
async fn the_next_address_is_tried_when_the_first_refuses() {
    let refusing = refusing();
    let (listener, port) = listener().await;
    let targets = vec![
        target("127.0.0.1", refusing.port),
        target("127.0.0.1", port),
    ];
    let connected = open_any(&profile(0), targets, 0.0).await.unwrap();
    assert_eq!(connected.remote, Some(listener.local_addr().unwrap()));
}

#[tokio::test]
async fn when_every_address_refuses_each_is_told() {
    let (one, two) = (refusing(), refusing());
    let targets = vec![target("127.0.0.1", one.port), target("127.0.0.1", two.port)];
    let failure = open_any(&profile(0), targets, 0.0).await.unwrap_err();
    assert_eq!(
        (&*failure.code, failure.message.as_str(), failure.syscall),
        ("ECONNREFUSED", "", "")
    );
    let ports: Vec<_> = failure.causes.iter().map(|cause| cause.port).collect();
    assert_eq!(ports, [Some(one.port), Some(two.port)]);
}

#[tokio::test]
async fn only_the_first_address_is_tried_where_the_runtime_tries_only_one() {
    let (listener, port) = listener().await;
    let narrowed = [
        Profile {
            auto_select_family: false,
            ..profile(0)
        },
        Profile {
            family: 4,
            ..profile(0)
        },
        Profile {
            local_address: Some(Ipv4Addr::LOCALHOST.into()),
            ..profile(0)
        },
    ];
    for profile in narrowed {
        let refusing = refusing();
        let targets = vec![
            target("127.0.0.1", refusing.port),
            target("127.0.0.1", port),
        ];
        let failure = open_any(&profile, targets, 0.0).await.unwrap_err();
        assert_eq!(
            (failure.port, failure.causes.len()),
            (Some(refusing.port), 0)
        );
    }
    drop(listener);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_that_says_nothing_is_left_for_the_next() {
    let hole = hole();
    let (listener, port) = listener().await;
    let profile = Profile {
        auto_select_family_attempt_timeout_ms: 30,
        ..profile(0)
    };
    let targets = vec![target("127.0.0.1", hole.port), target("127.0.0.1", port)];
    let connected = open_any(&profile, targets, 0.0).await.unwrap();
    assert_eq!(connected.remote, Some(listener.local_addr().unwrap()));
    assert!(connected.connect_ms >= 30.0, "{}", connected.connect_ms);
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn the_connect_timeout_ends_the_wait() {
    let hole = hole();
    let began = Instant::now();
    let failure = connect(&Profile {
        connect_timeout_ms: 1_500,
        ..profile(hole.port)
    })
    .await
    .unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_millis(1_500) + GRACE);
    assert_eq!(
        (&*failure.code, failure.errno),
        ("ERR_KEEPWIRE_CONNECT_TIMEOUT", 0)
    );
    let wording = format!(
        "No connection to 127.0.0.1:{} within connectTimeout, 1500 ms",
        hole.port
    );
    assert_eq!(failure.message, wording);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_user_timeout_holds_for_an_attempt_that_nobody_answers() {
    let hole = hole();
    let profile = Profile {
        tcp_user_timeout_ms: 200,
        ..profile(hole.port)
    };
    let failure = connect(&profile).await.unwrap_err();
    assert_eq!((&*failure.code, failure.errno), ("ETIMEDOUT", -110));
    let wording = format!("connect ETIMEDOUT 127.0.0.1:{}", hole.port);
    assert_eq!(failure.message, wording);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn dropping_the_future_closes_the_socket_under_way() {
    let hole = hole();
    let (local, local_port) = bound_port().unwrap();
    drop(local);
    let bind_again = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, local_port)).into())
    };
    let profile = Profile {
        local_port,
        ..profile(hole.port)
    };
    {
        let mut dial = std::pin::pin!(connect(&profile));
        tokio::select! {
            biased;
            _ = &mut dial => panic!("nobody answers there"),
            () = tokio::task::yield_now() => {}
        }
        assert!(bind_again().is_err(), "the attempt holds its local port");
    }
    bind_again().expect("and lets go of it");
}

#[tokio::test]
async fn socket_options_are_set_as_the_profile_says() {
    let (_listener, port) = listener().await;
    let plain = connect(&profile(port)).await.unwrap();
    let tuned = Profile {
        no_delay: true,
        keep_alive: true,
        keep_alive_initial_delay_ms: 65_500,
        tcp_user_timeout_ms: 4_321,
        ..profile(port)
    };
    let tuned = connect(&tuned).await.unwrap();
    let options = |connected: &Connected| {
        let socket = tcp_socket(&connected.transport);
        (socket.tcp_nodelay().unwrap(), socket.keepalive().unwrap())
    };
    assert_eq!(options(&plain), (false, false));
    assert_eq!(options(&tuned), (true, true));
    #[cfg(target_os = "linux")]
    {
        let kernels = |connected: &Connected| {
            let socket = tcp_socket(&connected.transport);
            let patience = socket.tcp_user_timeout().unwrap();
            (socket.tcp_keepalive_time().unwrap(), patience)
        };
        let (time, patience) = kernels(&tuned);
        assert_eq!(time, Duration::from_secs(65));
        assert_eq!(patience, Some(Duration::from_millis(4_321)));
        assert!(kernels(&plain).1.is_none_or(|patience| patience.is_zero()));
    }
}
