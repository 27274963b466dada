//! Names to addresses, through the system's `getaddrinfo` as the runtime's `dns.lookup` asks it: hosts file, `nsswitch` and
//! all. One question is one blocking call, on a thread for that (`threads`), for all who ask it meanwhile (`flights`).

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, SockType};
use once_cell::sync::Lazy;
use socket2::Domain;

use super::flights::Flights;
use super::name_cache::{Answer, Found, Names, Question};
use super::threads::{off_thread, LOOKUPS, MOST};
use super::{Asks, Profile, Target};
use crate::error::Failure;

/// libuv's limit for a name.
const LONGEST_NAME: usize = 255;

/// `AI_ADDRCONFIG`: no addresses of a family that this machine has none of. The runtime asks for it except on Windows, and
/// only when the user has left the family open.
#[cfg(target_os = "linux")]
const ADDRCONFIG: i32 = 0x20;
#[cfg(windows)]
const ADDRCONFIG: i32 = 0;
#[cfg(not(any(target_os = "linux", windows)))]
const ADDRCONFIG: i32 = 0x400;

/// The profile's host, with the runtime's default.
pub(super) fn host(profile: &Profile) -> &str {
    if profile.host.is_empty() {
        "localhost"
    } else {
        &profile.host
    }
}

/// The address that `host` spells, if it is one and has no zone.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

/// `fe80::1%eth0`: a literal all the same, but only the resolver knows the number of the zone.
fn has_zone(host: &str) -> bool {
    host.split_once('%')
        .is_some_and(|(ip, _zone)| ip.parse::<Ipv6Addr>().is_ok())
}

/// Whether `host` is an address already.
pub(super) fn is_literal(host: &str) -> bool {
    literal(host).is_some() || has_zone(host)
}

/// All addresses of the profile's host, in the resolver's order unless the profile prefers a family; at least one.
pub(super) async fn resolve(profile: &Profile) -> Result<Vec<Target>, Failure> {
    let host = host(profile);
    if is_literal(host) {
        return Ok(vec![spelled(host, profile.port).await?]);
    }
    if host.len() > LONGEST_NAME {
        return Err(Failure::lookup_io(
            &io::ErrorKind::InvalidInput.into(),
            host,
        ));
    }
    let question = question(profile);
    let answer = system(question.clone(), most_threads(profile)).await;
    if let Some(names) = &profile.names {
        names.store(question, &answer);
    }
    Ok(in_order(profile, answer.map_err(|failure| *failure)?))
}

/// What the profile's cache knows of its host, past its time too: then it is asked for again meanwhile. Not if the
/// answer is to be had from `by_others` only, who are asked for a connection.
pub(super) fn known(profile: &Profile, by_others: bool) -> Option<Result<Vec<Target>, Failure>> {
    let names = profile.names.as_ref()?;
    if is_literal(host(profile)) {
        return None;
    }
    let question = question(profile);
    let addresses = match names.look(&question, !by_others) {
        Found::Nothing => return None,
        Found::Fresh(answer) => answer.map_err(|failure| *failure),
        Found::Stale(addresses, asks) => {
            if asks {
                let (names, of) = (names.clone(), question.clone());
                // Without a thread what is stale stays so, and is asked for when it is known no more.
                let most = most_threads(profile);
                let store = move |answer| names.store(of, &answer);
                drop(UNDER_WAY.then(&LOOKUPS, most, question, store));
            }
            Ok(addresses)
        }
    };
    Some(addresses.map(|addresses| in_order(profile, addresses)))
}

/// Nobody could be reached at what the profile's cache says.
pub(super) fn forget(profile: &Profile) {
    if let Some(names) = &profile.names {
        names.forget(&question(profile));
    }
}

/// A name whose open connections leave addresses that it stands for no more (the option `dns.rotate`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Rotation {
    names: Names,
    question: Question,
    /// How often it is asked for.
    pub every: Duration,
}

impl Rotation {
    /// Of connections that are opened in this way; `None`: they stay where they are.
    pub fn of(profile: &Profile) -> Option<Self> {
        let dialed = profile
            .proxy
            .as_ref()
            .map_or(profile, |proxy| &proxy.profile);
        let names = dialed.names.as_ref()?;
        let every = names.rotation()?;
        let by_system = matches!(dialed.asks, Asks::AsOthers | Asks::Always);
        if !by_system || dialed.socket_path.is_some() || is_literal(host(dialed)) {
            return None;
        }
        Some(Self {
            names: names.clone(),
            question: question(dialed),
            every,
        })
    }
}

/// Asks for a name again, and tells what it stands for, on a thread for look-ups. Nobody hears of a resolver that can't be
/// asked, or knows of no such name any more: connections stay then.
pub(crate) fn refresh(rotation: &Rotation, tell: impl FnOnce(Vec<IpAddr>) + Send + 'static) {
    let Rotation {
        names, question, ..
    } = rotation.clone();
    let (most, asked) = (names.max_threads(), question.clone());
    let told = move |answer: Answer| {
        names.renew(question, &answer);
        if let Ok(addresses) = answer {
            tell(addresses.into_iter().map(|addr| addr.ip()).collect());
        }
    };
    // Without a thread it is asked for the next time.
    drop(UNDER_WAY.then(&LOOKUPS, most, asked, told));
}

fn most_threads(profile: &Profile) -> usize {
    profile.names.as_ref().map_or(MOST, Names::max_threads)
}

fn question(profile: &Profile) -> Question {
    (host(profile).to_owned(), profile.family)
}

fn in_order(profile: &Profile, mut addresses: Vec<SocketAddr>) -> Vec<Target> {
    put_first(&mut addresses, profile.first_family);
    let target = |mut addr: SocketAddr| {
        addr.set_port(profile.port);
        let text = addr.ip().to_string();
        Target { addr, text }
    };
    addresses.into_iter().map(target).collect()
}

/// What somebody else says are the addresses of the profile's host, in that order; at least one.
pub(super) async fn targets(profile: &Profile, texts: &[String]) -> Result<Vec<Target>, Failure> {
    let mut targets = Vec::with_capacity(texts.len());
    for text in texts.iter().filter(|text| is_literal(text)) {
        targets.push(spelled(text, profile.port).await?);
    }
    if targets.is_empty() {
        return Err(not_found(host(profile)));
    }
    // A literal may have been asked for, too: it is no name.
    if let (Some(names), false) = (&profile.names, is_literal(host(profile))) {
        let addresses = targets.iter().map(|target| target.addr).collect();
        names.store(question(profile), &Ok(addresses));
    }
    Ok(targets)
}

/// What an address stands for.
async fn spelled(text: &str, port: u16) -> Result<Target, Failure> {
    let mut addr = match literal(text) {
        Some(ip) => SocketAddr::new(ip, port),
        None => match off_thread({
            let text = text.to_owned();
            move || addresses(&text, hints(6))
        })
        .await
        {
            Ok(found) => *found
                .ok()
                .as_deref()
                .and_then(<[SocketAddr]>::first)
                .ok_or_else(|| no_such_zone(text, port))?,
            Err(err) => return Err(Failure::lookup_io(&err, text)),
        },
    };
    addr.set_port(port);
    Ok(Target {
        addr,
        text: text.to_owned(),
    })
}

/// All addresses of `name`, of whatever family, without a port; at least one.
///
/// # Errors
///
/// The runtime's own for a name that has none.
pub(crate) async fn lookup(name: &str) -> Result<Vec<SocketAddr>, Failure> {
    let answer = system((name.to_owned(), 0), MOST).await;
    answer.map_err(|failure| *failure)
}

static UNDER_WAY: Lazy<Flights<Question, Answer>> =
    Lazy::new(|| Flights::new(|(name, family)| ask(name, *family)));

/// What the system's resolver says.
async fn system(question: Question, most: usize) -> Answer {
    let name = question.0.clone();
    match UNDER_WAY.ask(&LOOKUPS, most, question).await {
        Ok(answer) => answer,
        Err(err) => Err(Failure::lookup_io(&err, &name).into()),
    }
}

fn ask(name: &str, family: u8) -> Answer {
    match addresses(name, hints(family)) {
        Ok(addresses) if addresses.is_empty() => Err(not_found(name).into()),
        Ok(addresses) => Ok(addresses),
        Err(err) => Err(failure(err, name).into()),
    }
}

/// Within a family the order stays.
fn put_first(addresses: &mut [SocketAddr], family: u8) {
    match family {
        4 => addresses.sort_by_key(SocketAddr::is_ipv6),
        6 => addresses.sort_by_key(SocketAddr::is_ipv4),
        _ => {}
    }
}

fn hints(family: u8) -> AddrInfoHints {
    let (address, flags) = match family {
        4 => (Domain::IPV4.into(), 0),
        6 => (Domain::IPV6.into(), 0),
        _ => (0, ADDRCONFIG),
    };
    AddrInfoHints {
        flags,
        address,
        socktype: SockType::Stream.into(),
        protocol: 0,
    }
}

fn addresses(name: &str, hints: AddrInfoHints) -> Result<Vec<SocketAddr>, LookupError> {
    let answers = dns_lookup::getaddrinfo(Some(name), None, Some(hints))?;
    // An answer of a family that is not IP is of no use here, and no reason to fail.
    Ok(answers.flatten().map(|info| info.sockaddr).collect())
}

/// For the runtime it is `connect` that fails then, before it has a local end.
fn no_such_zone(host: &str, port: u16) -> Failure {
    let nowhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    Failure::from_name("EINVAL", "connect", Some(host), Some(port)).with_local_detail(nowhere)
}

fn not_found(host: &str) -> Failure {
    Failure::lookup("ENOTFOUND", -3008, host)
}

/// libuv's numbers; for both kinds of "there is no such address" the runtime says `ENOTFOUND`.
fn failure(err: LookupError, host: &str) -> Failure {
    let (code, errno) = match err.kind() {
        LookupErrorKind::NoName => return not_found(host),
        LookupErrorKind::NoData => ("ENOTFOUND", -3007),
        LookupErrorKind::Again => ("EAI_AGAIN", -3001),
        LookupErrorKind::Badflags => ("EAI_BADFLAGS", -3002),
        LookupErrorKind::Fail => ("EAI_FAIL", -3004),
        LookupErrorKind::Family => ("EAI_FAMILY", -3005),
        LookupErrorKind::Memory => ("EAI_MEMORY", -3006),
        LookupErrorKind::Service => ("EAI_SERVICE", -3010),
        LookupErrorKind::Socktype => ("EAI_SOCKTYPE", -3011),
        // A NUL in the name is an InvalidInput of the standard library's; EAI_SYSTEM has its errno inside.
        LookupErrorKind::System => return Failure::lookup_io(&err.into(), host),
        LookupErrorKind::IO if err.error_num() == 0 => {
            return Failure::lookup_io(&err.into(), host)
        }
        LookupErrorKind::IO | LookupErrorKind::Unknown => ("EAI_FAIL", -3004),
    };
    Failure::lookup(Cow::Borrowed(code), errno, host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_family_comes_first_and_keeps_its_order() {
        let parse = |texts: [&str; 4]| texts.map(|text| text.parse::<SocketAddr>().unwrap());
        let resolved = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1"];
        let orders = [
            (0, resolved),
            (4, ["1.1.1.1:1", "2.2.2.2:1", "[::1]:1", "[::2]:1"]),
            (6, ["[::1]:1", "[::2]:1", "1.1.1.1:1", "2.2.2.2:1"]),
        ];
        for (family, expected) in orders {
            let mut addresses = parse(resolved);
            put_first(&mut addresses, family);
            assert_eq!(addresses, parse(expected));
        }
    }
    use crate::connect::tests::profile;
    use crate::connect::CacheSettings;

    async fn texts(host: &str, family: u8) -> Result<Vec<String>, Failure> {
        let profile = Profile {
            host: host.to_owned(),
            family,
            ..profile(80)
        };
        Ok(resolve(&profile)
            .await?
            .into_iter()
            .map(|target| target.text)
            .collect())
    }

    #[tokio::test]
    async fn a_literal_address_is_taken_as_it_is_written() {
        assert_eq!(texts("127.0.0.1", 6).await.unwrap(), ["127.0.0.1"]);
        assert_eq!(texts("0:0::1", 4).await.unwrap(), ["0:0::1"]);
    }

    #[tokio::test]
    async fn an_empty_host_is_localhost() {
        assert_eq!(texts("", 4).await.unwrap()[0], "127.0.0.1");
    }

    #[tokio::test]
    async fn the_family_is_the_resolvers_to_honour() {
        let answers = texts("localhost", 4).await.unwrap();
        assert!(
            answers
                .iter()
                .all(|text| text.parse::<std::net::Ipv4Addr>().is_ok()),
            "{answers:?}"
        );
    }

    #[tokio::test]
    async fn an_old_style_number_is_the_resolvers_to_understand() {
        assert_eq!(texts("127.1", 0).await.unwrap(), ["127.0.0.1"]);
    }

    #[tokio::test]
    async fn a_name_that_no_resolver_takes_is_invalid() {
        for name in ["a".repeat(300), "nul\0inside".to_owned()] {
            let failure = texts(&name, 0).await.unwrap_err();
            assert_eq!((&*failure.code, failure.syscall), ("EINVAL", "getaddrinfo"));
            assert_eq!(failure.message, format!("getaddrinfo EINVAL {name}"));
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_address_with_a_zone_is_a_literal_whatever_the_family() {
        for family in [0, 4, 6] {
            assert_eq!(texts("fe80::1%lo", family).await.unwrap(), ["fe80::1%lo"]);
            let failure = texts("fe80::1%nolink", family).await.unwrap_err();
            assert_eq!(
                failure.message,
                "connect EINVAL fe80::1%nolink:80 - Local (:::0)"
            );
        }
    }

    #[test]
    fn connections_follow_names_that_the_system_is_asked_for() {
        let settings = CacheSettings {
            ttl_ms: 1_000,
            negative_ttl_ms: 0,
            max_stale_ms: 0,
            max_entries: 1,
            max_threads: 1,
            rotates: true,
        };
        let names = Some(Names::new(settings));
        let named = |asks| Profile {
            host: "service.test".to_owned(),
            names: names.clone(),
            asks,
            ..profile(80)
        };
        let followed = Rotation::of(&named(Asks::AsOthers)).unwrap();
        assert_eq!(followed.every, Duration::from_secs(1));
        // Who judges addresses asks the system, too.
        assert_eq!(Rotation::of(&named(Asks::Always)).as_ref(), Some(&followed));
        assert_eq!(Rotation::of(&named(Asks::ForNames)), None);
        assert_eq!(Rotation::of(&named(Asks::AlwaysElse)), None);
        let literal = Profile {
            host: "127.0.0.1".to_owned(),
            ..named(Asks::AsOthers)
        };
        assert_eq!(Rotation::of(&literal), None);
        let path = Profile {
            socket_path: Some("/socket".to_owned()),
            ..named(Asks::AsOthers)
        };
        assert_eq!(Rotation::of(&path), None);
        let still = Profile {
            names: Some(Names::new(CacheSettings {
                rotates: false,
                ..settings
            })),
            ..named(Asks::AsOthers)
        };
        assert_eq!(Rotation::of(&still), None);
    }

    #[test]
    fn an_unknown_name_is_reported_with_the_runtimes_fields() {
        let failure = not_found("nope.invalid");
        assert_eq!(
            (&*failure.code, failure.errno, failure.syscall),
            ("ENOTFOUND", -3008, "getaddrinfo")
        );
        assert_eq!(failure.hostname.as_deref(), Some("nope.invalid"));
        assert_eq!(failure.message, "getaddrinfo ENOTFOUND nope.invalid");
        assert_eq!((failure.address, failure.port), (None, None));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn the_resolvers_numbers_become_libuvs() {
        let told = |number| {
            let failure = failure(LookupError::new(number), "x");
            (failure.code.into_owned(), failure.errno)
        };
        assert_eq!(told(-2), ("ENOTFOUND".to_owned(), -3008));
        assert_eq!(told(-5), ("ENOTFOUND".to_owned(), -3007));
        assert_eq!(told(-3), ("EAI_AGAIN".to_owned(), -3001));
        assert_eq!(told(-4), ("EAI_FAIL".to_owned(), -3004));
        assert_eq!(told(-9), ("EAI_FAIL".to_owned(), -3004));
    }
}
