//! Connections whose local end the user has chosen.

use super::*;

#[tokio::test]
async fn the_local_end_is_the_one_asked_for() {
    let (listener, port) = listener().await;
    let (probe, local_port) = bound_port().unwrap();
    drop(probe);
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, local_port));
    let profile = Profile {
        local_address: Some(local.ip()),
        local_port,
        ..profile(port)
    };
    let connected = connect(&profile).await.unwrap();
    assert_eq!(connected.local, Some(local));
    assert_eq!(listener.accept().await.unwrap().1, local);
}

#[tokio::test]
async fn a_local_address_of_another_machine_cannot_be_bound() {
    let (_listener, port) = listener().await;
    let foreign = IpAddr::from([203, 0, 113, 7]);
    let failure = connect(&Profile {
        local_address: Some(foreign),
        ..profile(port)
    })
    .await
    .unwrap_err();
    assert_eq!((&*failure.code, failure.syscall), ("EADDRNOTAVAIL", "bind"));
    assert_eq!(
        (failure.address.as_deref(), failure.port),
        (Some("203.0.113.7"), None)
    );
    assert_eq!(failure.message, "bind EADDRNOTAVAIL 203.0.113.7");
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    assert_eq!((failure.local, failure.target), (None, Some(target)));
}

#[tokio::test]
async fn a_local_address_of_the_other_family_is_invalid() {
    let (_listener, port) = listener().await;
    let other = "::1".parse().unwrap();
    let failure = connect(&Profile {
        local_address: Some(other),
        ..profile(port)
    })
    .await
    .unwrap_err();
    assert_eq!(failure.message, "bind EINVAL ::1");
}

#[tokio::test]
async fn a_local_port_that_is_taken_is_reported_with_its_number() {
    let (_listener, port) = listener().await;
    let (_other, taken) = listener().await;
    let local_address = Some(Ipv4Addr::LOCALHOST.into());
    let failure = connect(&Profile {
        local_address,
        local_port: taken,
        ..profile(port)
    })
    .await
    .unwrap_err();
    assert_eq!((&*failure.code, failure.port), ("EADDRINUSE", Some(taken)));
    assert_eq!(
        failure.message,
        format!("bind EADDRINUSE 127.0.0.1:{taken}")
    );
}

#[tokio::test]
async fn a_refusal_names_the_local_port_that_was_asked_for() {
    let refusing = refusing();
    let (probe, local_port) = bound_port().unwrap();
    drop(probe);
    let failure = connect(&Profile {
        local_port,
        ..profile(refusing.port)
    })
    .await
    .unwrap_err();
    let wording = format!(
        "connect ECONNREFUSED 127.0.0.1:{} - Local (0.0.0.0:{local_port})",
        refusing.port
    );
    assert_eq!(failure.message, wording);
    assert_eq!(
        failure.local,
        Some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, local_port)))
    );
}

/// The kernel refuses it before anything is sent.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_refusal_on_the_spot_names_the_local_end_as_the_system_has_it() {
    let failure = connect(&Profile {
        host: "255.255.255.255".to_owned(),
        ..profile(1)
    })
    .await
    .unwrap_err();
    assert_eq!(
        failure.message,
        "connect ENETUNREACH 255.255.255.255:1 - Local (0.0.0.0:0)"
    );
    assert_eq!(failure.local, None);
}
