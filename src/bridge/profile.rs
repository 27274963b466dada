//! Ways to connect as JavaScript describes them: to a host, with TLS or without, through a proxy.

use napi::bindgen_prelude::Result;
use napi::Status;
use napi_derive::napi;

use crate::connect::{tls, Asks, Login, Profile, Proxy, Version, Way};

/// How to connect.
#[napi(object)]
pub struct BindingProfile {
    pub host: String,
    pub port: u32,
    pub socket_path: Option<String>,
    pub family: u32,
    pub local_address: Option<String>,
    pub local_port: u32,
    pub keep_alive: bool,
    pub keep_alive_initial_delay_ms: f64,
    pub no_delay: bool,
    pub auto_select_family: bool,
    pub first_family: u32,
    pub attempt_timeout_ms: f64,
    pub connect_timeout_ms: f64,
    pub tls: Option<u32>,
    pub servername: Option<String>,
    pub keylog: Option<bool>,
    pub tcp_user_timeout_ms: f64,
    pub max_streams: Option<f64>,
    pub asks: u32,
    pub ping_after_ms: Option<f64>,
    pub proxy: Option<BindingProxy>,
}

/// A proxy on the way.
#[napi(object)]
pub struct BindingProxy {
    pub host: String,
    pub port: u32,
    /// How it is told where to: 0: by CONNECT, 1: by each request, 4, 5: by SOCKS.
    pub way: u32,
    /// Whether a SOCKS proxy looks names up.
    pub resolves: bool,
    /// Who asks a SOCKS proxy; `null`: nobody in particular.
    pub user: Option<String>,
    pub password: Option<String>,
    /// How it is secured itself; `null`: it is not.
    pub tls: Option<u32>,
    pub servername: Option<String>,
    /// Header lines for it.
    pub fields: String,
    /// Its URL, without credentials.
    pub name: String,
}

impl TryFrom<BindingProfile> for Profile {
    type Error = napi::Error;

    fn try_from(profile: BindingProfile) -> Result<Self> {
        let local_address = profile.local_address.filter(|address| !address.is_empty());
        let keylog = profile.keylog.unwrap_or_default();
        let tls = endpoint(profile.tls, profile.servername, keylog)?;
        let given = profile.proxy;
        let mut profile = Profile {
            host: profile.host,
            port: u16::try_from(profile.port).map_err(|_| invalid("port"))?,
            socket_path: profile.socket_path,
            family: u8::try_from(profile.family).map_err(|_| invalid("family"))?,
            local_address: local_address
                .map(|address| address.parse().map_err(|_| invalid("localAddress")))
                .transpose()?,
            local_port: u16::try_from(profile.local_port).map_err(|_| invalid("localPort"))?,
            keep_alive: profile.keep_alive,
            keep_alive_initial_delay_ms: profile.keep_alive_initial_delay_ms as u32,
            no_delay: profile.no_delay,
            auto_select_family: profile.auto_select_family,
            first_family: u8::try_from(profile.first_family).map_err(|_| invalid("firstFamily"))?,
            auto_select_family_attempt_timeout_ms: profile.attempt_timeout_ms as u32,
            connect_timeout_ms: profile.connect_timeout_ms as u32,
            tls,
            tcp_user_timeout_ms: profile.tcp_user_timeout_ms as u32,
            // Its agent's: the engine knows.
            names: None,
            spread: None,
            http2: profile.max_streams.map(|most| most as u32),
            asks: match profile.asks {
                0 => Asks::AsOthers,
                1 => Asks::ForNames,
                2 => Asks::Always,
                _ => Asks::AlwaysElse,
            },
            ping_after_ms: profile.ping_after_ms.unwrap_or_default() as u32,
            proxy: None,
        };
        if let Some(given) = given {
            let reached_by = Profile {
                host: given.host,
                port: u16::try_from(given.port).map_err(|_| invalid("port"))?,
                tls: endpoint(given.tls, given.servername, false)?,
                http2: None,
                ..profile.clone()
            };
            let resolves = given.resolves;
            let way = match given.way {
                0 => Way::Tunnel,
                1 => Way::Forward,
                4 => Way::Socks {
                    version: Version::V4,
                    resolves,
                },
                5 => Way::Socks {
                    version: Version::V5,
                    resolves,
                },
                _ => return Err(invalid("way")),
            };
            profile.proxy = Some(Box::new(Proxy {
                profile: reached_by,
                way,
                fields: given.fields,
                login: given.user.map(|user| Login {
                    user,
                    password: given.password.unwrap_or_default(),
                }),
                name: given.name,
                counters: None,
            }));
        }
        Ok(profile)
    }
}

fn invalid(what: &str) -> napi::Error {
    napi::Error::new(Status::InvalidArg, format!("invalid {what}"))
}

/// TLS by the number of its settings; without one there is none.
fn endpoint(
    settings: Option<u32>,
    servername: Option<String>,
    keylog: bool,
) -> Result<Option<tls::Endpoint>> {
    settings
        .map(|id| {
            Ok(tls::Endpoint {
                tls: tls::get(id).ok_or_else(|| invalid("tls"))?,
                servername: servername.unwrap_or_default(),
                keylog,
            })
        })
        .transpose()
}
